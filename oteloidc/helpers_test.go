package oteloidc_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oteloidc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// observed is a Telemetry with the data that it exports.
type observed struct {
	*oteloidc.Telemetry
	reader *sdkmetric.ManualReader
	spans  *tracetest.SpanRecorder
	tracer *sdktrace.TracerProvider
}

func newTelemetry() *observed {
	o := &observed{reader: sdkmetric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	o.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(o.spans))
	o.Telemetry = must(oteloidc.New(oteloidc.Config{
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(o.reader)),
		TracerProvider: o.tracer,
	}))
	return o
}

func (o *observed) metrics() []metricdata.Metrics {
	var collected metricdata.ResourceMetrics
	if err := o.reader.Collect(context.Background(), &collected); err != nil {
		panic(err)
	}
	var all []metricdata.Metrics
	for _, scope := range collected.ScopeMetrics {
		all = append(all, scope.Metrics...)
	}
	return all
}

// distribution is a histogram's series. A bucket is named by its upper bound.
type distribution struct {
	Sum     string // of seconds, rounded
	Buckets map[string]uint64
}

// series returns the values of all metrics whose names begin with prefix, by name
// and labels: "mints{outcome=ok,stage.type=CI}".
func (o *observed) series(prefix string) map[string]any {
	all := make(map[string]any)
	add := func(m metricdata.Metrics, labels attribute.Set, value any) {
		if strings.HasPrefix(m.Name, prefix) {
			all[brief(m.Name)+"{"+labelText(labels)+"}"] = value
		}
	}
	for _, m := range o.metrics() {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				add(m, p.Attributes, int(p.Value))
			}
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				d := distribution{fmt.Sprintf("%.6g", p.Sum), make(map[string]uint64)}
				for i, n := range p.BucketCounts {
					bound := "inf"
					if i < len(p.Bounds) {
						bound = fmt.Sprint(p.Bounds[i])
					}
					if n != 0 {
						d.Buckets[bound] = n
					}
				}
				add(m, p.Attributes, d)
			}
		default:
			panic(fmt.Sprintf("%s is a %T", m.Name, m.Data))
		}
	}
	return all
}

// counts is series with the number of a histogram's values only.
func (o *observed) counts(prefix string) map[string]any {
	all := o.series(prefix)
	for name, value := range all {
		if d, ok := value.(distribution); ok {
			n := 0
			for _, count := range d.Buckets {
				n += int(count)
			}
			all[name] = n
		}
	}
	return all
}

func brief(name string) string { return strings.TrimPrefix(name, "oidctoken.") }

func labelText(labels attribute.Set) string {
	var texts []string
	for _, kv := range labels.ToSlice() {
		texts = append(texts, brief(string(kv.Key))+"="+kv.Value.String())
	}
	return strings.Join(texts, ",")
}

// spanTexts returns the spans that ended: "exchange client Error(refused) cloud=gcp".
func (o *observed) spanTexts() []string {
	var texts []string
	for _, s := range o.spans.Ended() {
		var attributes []string
		for _, kv := range s.Attributes() {
			attributes = append(attributes, brief(string(kv.Key))+"="+kv.Value.String())
		}
		slices.Sort(attributes)
		texts = append(texts, fmt.Sprintf("%s %s %s(%s) %s",
			brief(s.Name()), s.SpanKind(), s.Status().Code, s.Status().Description, strings.Join(attributes, " ")))
	}
	return texts
}

// signerFunc is a Signer that a test answers for.
type signerFunc struct {
	key  oidctoken.Signer
	sign func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

func (s *signerFunc) Public() crypto.PublicKey { return s.key.Public() }

func (s *signerFunc) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.sign(ctx, digest, opts)
}

func newSigner() oidctoken.Signer {
	return must(oidctoken.NewSigner(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))))
}

// newIssuer returns an issuer with an ES256 key, unless c has another.
func newIssuer(c oidctoken.Config) *oidctoken.Issuer {
	c.URL = "https://ci.example.com"
	c.Profile = oidctoken.Profile{Algorithms: []string{"ES256"}}
	if c.Keys == nil {
		c.Keys = oidctoken.StaticKeys{{Signer: newSigner()}}
	}
	return must(oidctoken.NewIssuer(c))
}

func scope() oidctoken.Scope {
	return oidctoken.Scope{
		Audience:     "https://vault.example.com",
		Account:      oidctoken.Entity{ID: "acme"},
		Organization: oidctoken.Entity{ID: "payments"},
		Project:      oidctoken.Entity{ID: "ledger"},
		Pipeline:     &oidctoken.Pipeline{ID: "release"},
		Stage:        oidctoken.CI{ID: "build"},
	}
}
