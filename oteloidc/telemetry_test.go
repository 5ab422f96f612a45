package oteloidc_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/oteloidc"
)

// touch measures something with every instrument.
func touch(t *oteloidc.Telemetry) {
	ctx := context.Background()
	t.Mint(nil)(ctx, oidctoken.Event{})
	hook := t.Broker(nil)
	hook(ctx, broker.Event{Kind: broker.Refused, Err: broker.ErrNoConnector})
	hook(ctx, broker.Event{Kind: broker.Exchanged, Cloud: "gcp"})
	hook(ctx, broker.Event{Kind: broker.Refreshed, Cloud: "gcp", Late: time.Minute})
	hook(ctx, broker.Event{Kind: broker.Delivered, Cloud: "gcp"})
	ring := t.Ring(nil)
	ring(ctx, keyring.Event{Kind: keyring.Created, Algorithm: "ES256"})
	ring(ctx, keyring.Event{Kind: keyring.Failed, Err: keyring.ErrStore})
	must(t.Signer(newSigner(), "memory").Sign(ctx, make([]byte, 32), crypto.SHA256))
	must(t.Cache("tokens", func() oteloidc.CacheStats { return oteloidc.CacheStats{Entries: 1, Bytes: 2, Hits: 3, Misses: 4} }))
}

// Names, kinds, units and buckets are what dashboards and alerts are written
// for.
func TestInstruments(t *testing.T) {
	const (
		signature = " s [0.0001 0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10]"
		exchange  = " s [0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 20 30 60]"
		lag       = " s [1 5 15 30 60 120 300 600 1200 1800 3600]"
	)
	want := map[string]string{
		"oidctoken.mints":               "counter {request}",
		"oidctoken.mint.duration":       "histogram" + signature,
		"oidctoken.broker.refusals":     "counter {refusal}",
		"oidctoken.exchange.duration":   "histogram" + exchange,
		"oidctoken.refresh.lag":         "histogram" + lag,
		"oidctoken.deliveries":          "counter {delivery}",
		"oidctoken.keyring.transitions": "counter {transition}",
		"oidctoken.keyring.failures":    "counter {failure}",
		"oidctoken.keyring.failing":     "up-down counter {ring}",
		"oidctoken.signer.duration":     "histogram" + signature,
		"oidctoken.cache.entries":       "up-down counter {entry}",
		"oidctoken.cache.size":          "up-down counter By",
		"oidctoken.cache.lookups":       "counter {lookup}",
	}
	o := newTelemetry()
	touch(o.Telemetry)
	readme := string(must(os.ReadFile("README.md")))
	got := make(map[string]string)
	for _, m := range o.metrics() {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			kind := "up-down counter"
			if data.IsMonotonic {
				kind = "counter"
			}
			got[m.Name] = kind + " " + m.Unit
		case metricdata.Histogram[float64]:
			got[m.Name] = fmt.Sprintf("histogram %s %v", m.Unit, data.DataPoints[0].Bounds)
		}
		if m.Description == "" {
			t.Errorf("%s has no description", m.Name)
		}
		if !strings.Contains(readme, "| `"+m.Name+"` |") {
			t.Errorf("README.md has no row for %s", m.Name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("instruments (-want +got):\n%s", diff)
	}
}

// The global providers serve a host that names none, also when they do nothing.
func TestNoProviders(t *testing.T) {
	telemetry, err := oteloidc.New(oteloidc.Config{})
	if err != nil {
		t.Fatal(err)
	}
	touch(telemetry)
	told := 0
	telemetry.Mint(func(context.Context, oidctoken.Event) { told++ })(t.Context(), oidctoken.Event{})
	telemetry.Broker(func(context.Context, broker.Event) { told++ })(t.Context(), broker.Event{})
	telemetry.Ring(func(context.Context, keyring.Event) { told++ })(t.Context(), keyring.Event{})
	if told != 3 {
		t.Errorf("%d of 3 hooks were handed on", told)
	}
}

// refusing is a MeterProvider that makes no histograms and takes no callbacks.
type refusing struct{ noop.MeterProvider }

func (refusing) Meter(string, ...metric.MeterOption) metric.Meter { return refusingMeter{} }

type refusingMeter struct{ noop.Meter }

var errNone = errors.New("none is left")

func (refusingMeter) Float64Histogram(string, ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return nil, errNone
}

// uncalled is a MeterProvider that takes no callbacks.
type uncalled struct{ noop.MeterProvider }

func (uncalled) Meter(string, ...metric.MeterOption) metric.Meter { return uncalledMeter{} }

type uncalledMeter struct{ noop.Meter }

func (uncalledMeter) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	return nil, errNone
}

func TestProviderRefuses(t *testing.T) {
	_, err := oteloidc.New(oteloidc.Config{MeterProvider: refusing{}})
	if want := "oteloidc: Config.MeterProvider: none is left"; !errors.Is(err, errNone) || err.Error() != want {
		t.Errorf("New: %v, want %s", err, want)
	}
	telemetry := must(oteloidc.New(oteloidc.Config{MeterProvider: uncalled{}}))
	registration, err := telemetry.Cache("tokens", func() oteloidc.CacheStats { return oteloidc.CacheStats{} })
	if want := "oteloidc: cache: none is left"; registration != nil || !errors.Is(err, errNone) || err.Error() != want {
		t.Errorf("Cache: %v, %v, want %s", registration, err, want)
	}
}

// The hooks are called from every goroutine of a host, and each call counts.
func TestConcurrency(t *testing.T) {
	const goroutines, rounds = 8, 50
	o := newTelemetry()
	mint, hook, ring := o.Mint(nil), o.Broker(nil), o.Ring(nil)
	signers := o.Signer(newSigner(), "shared")
	var group sync.WaitGroup
	for i := range goroutines {
		group.Go(func() {
			for range rounds {
				mint(t.Context(), oidctoken.Event{})
				hook(t.Context(), broker.Event{Kind: broker.Exchanged, Cloud: "aws"})
				ring(t.Context(), keyring.Event{Kind: keyring.Failed, Err: keyring.ErrClock})
				must(signers.Sign(t.Context(), make([]byte, 32), crypto.SHA256))
				must(o.Signer(newSigner(), fmt.Sprint("own", i)).Sign(t.Context(), make([]byte, 32), crypto.SHA256))
				o.metrics()
			}
		})
	}
	group.Wait()
	const n = goroutines * rounds
	want := wellRing()
	for name, value := range map[string]int{
		"mint.duration{outcome=ok}":                                       n,
		"mints{outcome=ok,stage.type=none}":                               n,
		"exchange.duration{cloud=aws,exchange.kind=exchanged,outcome=ok}": n,
		"keyring.failures{keyring.cause=clock}":                           n,
		"keyring.failing{}":                                               1,
		"signer.duration{algorithm=ES256,outcome=ok,signer=shared}":       n,
	} {
		want[name] = value
	}
	for i := range goroutines {
		want[fmt.Sprintf("signer.duration{algorithm=ES256,outcome=ok,signer=own%d}", i)] = rounds
	}
	if diff := cmp.Diff(want, o.counts("")); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}
