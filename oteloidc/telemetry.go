// Package oteloidc makes OpenTelemetry metrics and spans of what an issuer, a
// broker, a key ring and a signer tell.
//
// A process has one [Telemetry]. Its methods return the hooks that the other
// packages' configurations have a field for:
//
//	telemetry, err := oteloidc.New(oteloidc.Config{})
//	issuer, err := oidctoken.NewIssuer(oidctoken.Config{Audit: telemetry.Mint(audit)})
//	b, err := broker.New(broker.Config{Issuer: issuer, Audit: telemetry.Broker(nil)})
//
// Every label of a metric has a value of a closed set, whatever tenants, steps
// and clouds do, so the number of series is bounded. No metric or span holds a
// secret or identifies a tenant. The audit log has the recipient of each token.
package oteloidc

import (
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

const scopeName = "github.com/oidctoken/oidctoken/oteloidc"

// Config is the destination of metrics and spans. The zero value works.
type Config struct {
	// MeterProvider makes the instruments. Optional, otel.GetMeterProvider() by
	// default.
	MeterProvider metric.MeterProvider
	// TracerProvider makes the spans. Optional, otel.GetTracerProvider() by
	// default.
	TracerProvider trace.TracerProvider
}

// Telemetry is the instruments of a process. It is made by [New] and safe for
// concurrent use, as are the hooks that it returns.
type Telemetry struct {
	tracer trace.Tracer
	meter  metric.Meter

	mints        metric.Int64Counter
	mintTime     metric.Float64Histogram
	refusals     metric.Int64Counter
	exchangeTime metric.Float64Histogram
	refreshLag   metric.Float64Histogram
	deliveries   metric.Int64Counter
	transitions  metric.Int64Counter
	failures     metric.Int64Counter
	failing      metric.Int64UpDownCounter
	signerTime   metric.Float64Histogram
	entries      metric.Int64ObservableUpDownCounter
	bytes        metric.Int64ObservableUpDownCounter
	lookups      metric.Int64ObservableCounter

	minted      table
	timed       table
	refused     table
	exchanged   table
	refreshed   table
	delivered   table
	transformed table
	failed      table
	signers     names
	caches      names
}

var (
	// A signature takes 30 microseconds in memory, and seconds when a key
	// management service is slow; an exchange takes a minute at most.
	signatureBounds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	exchangeBounds  = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30, 60}
	// A credential serves for half its life after its renewal was due.
	lagBounds = []float64{1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600}
)

// New makes the instruments. It fails when the MeterProvider refuses one.
func New(c Config) (*Telemetry, error) {
	if c.MeterProvider == nil {
		c.MeterProvider = otel.GetMeterProvider()
	}
	if c.TracerProvider == nil {
		c.TracerProvider = otel.GetTracerProvider()
	}
	t := &Telemetry{
		tracer:      c.TracerProvider.Tracer(scopeName),
		meter:       c.MeterProvider.Meter(scopeName),
		minted:      newTable(outcomes, stages),
		timed:       newTable(outcomes),
		refused:     newTable(rules),
		exchanged:   newTable(clouds, exchangeKinds, outcomes),
		refreshed:   newTable(clouds),
		delivered:   newTable(clouds, forms),
		transformed: newTable(transitions, algorithms),
		failed:      newTable(causes),
	}
	m := maker{meter: t.meter}
	t.mints = m.counter("oidctoken.mints", "{request}", "Requests for a token, by how they ended.")
	t.mintTime = m.histogram("oidctoken.mint.duration", "How long it took to mint or refuse a token.", signatureBounds)
	t.refusals = m.counter("oidctoken.broker.refusals", "{refusal}", "What steps asked for and may not have.")
	t.exchangeTime = m.histogram("oidctoken.exchange.duration", "How long it took to exchange a token at a cloud, with all tries.", exchangeBounds)
	t.refreshLag = m.histogram("oidctoken.refresh.lag", "How long after it was due the renewal of a credential began.", lagBounds)
	t.deliveries = m.counter("oidctoken.deliveries", "{delivery}", "What steps were given.")
	t.transitions = m.counter("oidctoken.keyring.transitions", "{transition}", "What happened to the keys of a ring.")
	t.failures = m.counter("oidctoken.keyring.failures", "{failure}", "How often a ring began to fail, or to fail differently.")
	t.signerTime = m.histogram("oidctoken.signer.duration", "How long a signer took.", signatureBounds)
	t.failing = m.upDownCounter("oidctoken.keyring.failing", "{ring}", "Rings that fail now, and answer from memory.")
	t.entries = m.observable("oidctoken.cache.entries", "{entry}", "What a cache holds.")
	t.bytes = m.observable("oidctoken.cache.size", "By", "The memory that a cache's entries take.")
	t.lookups = m.observableCounter("oidctoken.cache.lookups", "{lookup}", "Lookups in a cache, by what they found.")
	if m.err != nil {
		return nil, fmt.Errorf("oteloidc: Config.MeterProvider: %w", m.err)
	}
	return t, nil
}

// maker makes instruments, and keeps the first error.
type maker struct {
	meter metric.Meter
	err   error
}

func made[T any](m *maker, instrument T, err error) T {
	if m.err == nil {
		m.err = err
	}
	return instrument
}

func (m *maker) counter(name, unit, doc string) metric.Int64Counter {
	i, err := m.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(doc))
	return made(m, i, err)
}

func (m *maker) upDownCounter(name, unit, doc string) metric.Int64UpDownCounter {
	i, err := m.meter.Int64UpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(doc))
	return made(m, i, err)
}

// histogram is of seconds.
func (m *maker) histogram(name, doc string, bounds []float64) metric.Float64Histogram {
	i, err := m.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(doc), metric.WithExplicitBucketBoundaries(bounds...))
	return made(m, i, err)
}

func (m *maker) observable(name, unit, doc string) metric.Int64ObservableUpDownCounter {
	i, err := m.meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(doc))
	return made(m, i, err)
}

func (m *maker) observableCounter(name, unit, doc string) metric.Int64ObservableCounter {
	i, err := m.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(doc))
	return made(m, i, err)
}
