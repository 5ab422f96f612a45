package oteloidc_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// A Signer that is measured is a Signer still.
func TestSignerContract(t *testing.T) {
	for _, alg := range []string{"RS256", "RS512", "ES256", "ES384", "ES512", "EdDSA"} {
		o := newTelemetry()
		inner := oidctokentest.NewKey(t, alg).Signer
		oidctokentest.TestSigner(t, func(*testing.T) oidctoken.Signer { return o.Signer(inner, "memory") }, alg)
		if o.counts("")["signer.duration{algorithm="+alg+",outcome=ok,signer=memory}"] == nil {
			t.Errorf("%s: the signatures were measured as %v", alg, o.counts(""))
		}
	}
}

// temporary is a temporary error of a service.
type temporary struct{}

func (temporary) Error() string   { return "throttled" }
func (temporary) Temporary() bool { return true }

// How long a signature takes, how it ends, and its span, in which the client's
// spans are.
func TestSigner(t *testing.T) {
	key := oidctokentest.NewKey(t, "ES256").Signer
	for _, tt := range []struct {
		name  string
		err   error
		want  string
		span  string
		mints string
	}{
		{"a signature", nil, "ok", "Unset()", "ok"},
		{"no rights", errors.New("AccessDenied"), "error", "Error(error)", "signer"},
		{"throttled", fmt.Errorf("kms: %w", temporary{}), "unavailable", "Error(unavailable)", "signer"},
		{"too slow", context.DeadlineExceeded, "unavailable", "Error(unavailable)", "signer"},
		{"left", context.Canceled, "canceled", "Error(canceled)", "canceled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newTelemetry()
				var inside trace.SpanContext
				slow := &signerFunc{key, func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
					inside = trace.SpanContextFromContext(ctx)
					time.Sleep(200 * time.Millisecond)
					if tt.err != nil {
						return nil, tt.err
					}
					return key.Sign(ctx, digest, opts)
				}}
				issuer := newIssuer(oidctoken.Config{Keys: oidctoken.StaticKeys{{Signer: o.Signer(slow, "awskms")}}, Audit: o.Mint(nil)})
				ctx, parent := o.tracer.Tracer("").Start(t.Context(), "step")
				issuer.Mint(ctx, scope())

				want := map[string]any{
					"signer.duration{algorithm=ES256,outcome=" + tt.want + ",signer=awskms}": distribution{"0.2", map[string]uint64{"0.25": 1}},
					"mint.duration{outcome=" + tt.mints + "}":                                distribution{"0.2", map[string]uint64{"0.25": 1}},
					"mints{outcome=" + tt.mints + ",stage.type=CI}":                          1,
				}
				if diff := cmp.Diff(want, o.series("")); diff != "" {
					t.Errorf("series (-want +got):\n%s", diff)
				}
				spans := []string{
					"sign client " + tt.span + " algorithm=ES256 outcome=" + tt.want + " signer=awskms",
					"mint internal " + strings.Replace(tt.span, tt.want, tt.mints, 1) + " outcome=" + tt.mints + " stage.type=CI",
				}
				if diff := cmp.Diff(spans, o.spanTexts()); diff != "" {
					t.Fatalf("spans (-want +got):\n%s", diff)
				}
				span := o.spans.Ended()[0]
				if span.Parent().SpanID() != parent.SpanContext().SpanID() || span.SpanContext().SpanID() != inside.SpanID() {
					t.Errorf("the span is not between the step's and the client's")
				}
				if d := span.EndTime().Sub(span.StartTime()); d != 200*time.Millisecond {
					t.Errorf("the span took %v, want 200ms", d)
				}
			})
		})
	}
}

// A signature that fits no "alg" has the algorithm "other".
func TestSignerAlgorithms(t *testing.T) {
	for _, tt := range []struct {
		alg  string
		opts crypto.SignerOpts
		want string
	}{
		{"RS256", crypto.SHA256, "RS256"},
		{"RS256", crypto.SHA384, "RS384"},
		{"RS256", crypto.SHA512, "RS512"},
		{"RS256", crypto.SHA1, "other"},
		{"RS256", nil, "other"},
		{"ES256", crypto.SHA256, "ES256"},
		{"ES256", crypto.SHA384, "other"},
		{"ES384", crypto.SHA384, "ES384"},
		{"ES512", crypto.SHA512, "ES512"},
		{"EdDSA", crypto.Hash(0), "EdDSA"},
		{"EdDSA", crypto.SHA512, "other"},
	} {
		o := newTelemetry()
		answers := &signerFunc{oidctokentest.NewKey(t, tt.alg).Signer, func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return nil, nil }}
		if _, err := o.Signer(answers, "kms").Sign(t.Context(), nil, tt.opts); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"signer.duration{algorithm=" + tt.want + ",outcome=ok,signer=kms}": 1}
		if diff := cmp.Diff(want, o.counts("")); diff != "" {
			t.Errorf("a key for %s with %v (-want +got):\n%s", tt.alg, tt.opts, diff)
		}
	}
}

// Any number of names of a host makes a limited number of series.
func TestNamesAreBounded(t *testing.T) {
	o := newTelemetry()
	sign := func(service string) {
		must(o.Signer(newSigner(), service).Sign(t.Context(), make([]byte, 32), crypto.SHA256))
	}
	want := make(map[string]any)
	for _, bad := range []string{"", "AWS", "aws-kms", "1kms", "kms é", "arn:aws:kms", strings.Repeat("a", 33)} {
		sign(bad)
	}
	for i := range 16 {
		name := fmt.Sprintf("kms_%d", i)
		sign(name)
		want["signer.duration{algorithm=ES256,outcome=ok,signer="+name+"}"] = 1
	}
	for i := range 1000 {
		sign(fmt.Sprintf("tenant_%d", i))
	}
	sign("kms_0")
	want["signer.duration{algorithm=ES256,outcome=ok,signer=kms_0}"] = 2
	want["signer.duration{algorithm=ES256,outcome=ok,signer=other}"] = 1007
	if diff := cmp.Diff(want, o.counts("")); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}

// The issuer refuses a nil Signer.
func TestNilSigner(t *testing.T) {
	s := newTelemetry().Signer(nil, "kms")
	_, err := oidctoken.NewIssuer(oidctoken.Config{URL: "https://ci.example.com", Keys: oidctoken.StaticKeys{{Signer: s}}})
	var wrong *oidctoken.ConfigError
	if s != nil || !errors.As(err, &wrong) || wrong.Field != "Keys" {
		t.Errorf("the Signer is %v, and NewIssuer: %v", s, err)
	}
}

// secretive is a Signer of a host that shows its secret when it is printed.
type secretive struct {
	oidctoken.Signer
	Secret string
}

// D08: print verbs do not show the content of the wrapped Signer.
func TestSignerDoesNotPrint(t *testing.T) {
	const secret = "c4n4ry-pin-of-a-token"
	s := newTelemetry().Signer(secretive{newSigner(), secret}, "pkcs11")
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("made", "signer", s)
	texts := []string{logged.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p", "%T"} {
		texts = append(texts, fmt.Sprintf(verb, s), fmt.Sprintf(verb, []any{s}), fmt.Sprintf(verb, struct{ s oidctoken.Signer }{s}))
	}
	for _, text := range texts {
		if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
			t.Errorf("the secret is printed: %s", text)
		}
	}
	if got := fmt.Sprint(s); got != "oteloidc.Signer(pkcs11)" {
		t.Errorf("it prints %s", got)
	}
}
