package oteloidc_test

import (
	"context"
	"crypto"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

// Every result of an issuer's Mint has an outcome.
func TestMint(t *testing.T) {
	fails := func(err error) oidctoken.KeySource {
		return oidctoken.StaticKeys{{Signer: &signerFunc{newSigner(), func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return nil, err }}}}
	}
	ended, end := context.WithCancel(context.Background())
	end()
	late, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		config oidctoken.Config
		change func(*oidctoken.Scope)
		want   string
	}{
		{name: "a token", want: "ok"},
		{name: "policy", config: oidctoken.Config{Allow: func(context.Context, oidctoken.Scope) error { return errors.New("no") }}, want: "denied"},
		{name: "policy for want of a key", config: oidctoken.Config{Allow: func(context.Context, oidctoken.Scope) error { return oidctoken.ErrNoKey }}, want: "denied"},
		{name: "a fork", change: func(s *oidctoken.Scope) { s.Untrusted = true }, want: "denied"},
		{name: "no account", change: func(s *oidctoken.Scope) { s.Account.ID = "" }, want: "scope"},
		{name: "no key", config: oidctoken.Config{Keys: oidctoken.StaticKeys{{Signer: newSigner(), NotBefore: time.Unix(1<<33, 0)}}}, want: "no_key"},
		{name: "a signer that is away", config: oidctoken.Config{Keys: fails(errors.New("away"))}, want: "signer"},
		{name: "a signer that is slow", config: oidctoken.Config{Keys: fails(context.DeadlineExceeded)}, want: "signer"},
		{name: "a signer that is left", config: oidctoken.Config{Keys: fails(context.Canceled)}, want: "canceled"},
		{name: "garbage", config: oidctoken.Config{Keys: fails(nil)}, want: "bad_signature"},
		{name: "a caller that has left", ctx: ended, want: "canceled"},
		{name: "a caller in a hurry", ctx: late, want: "canceled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newTelemetry()
			tt.config.Audit = o.Mint(nil)
			s := scope()
			if tt.change != nil {
				tt.change(&s)
			}
			if tt.ctx == nil {
				tt.ctx = t.Context()
			}
			_, err := newIssuer(tt.config).Mint(tt.ctx, s)
			if (err == nil) != (tt.want == "ok") {
				t.Errorf("Mint: %v", err)
			}
			want := map[string]any{"mints{outcome=" + tt.want + ",stage.type=CI}": 1}
			if diff := cmp.Diff(want, o.series("oidctoken.mints")); diff != "" {
				t.Errorf("series (-want +got):\n%s", diff)
			}
		})
	}
}

// The next hook receives the same event with the same ctx.
func TestMintHandsOn(t *testing.T) {
	type key struct{}
	var told []oidctoken.Event
	o := newTelemetry()
	issuer := newIssuer(oidctoken.Config{Audit: o.Mint(func(ctx context.Context, e oidctoken.Event) {
		if ctx.Value(key{}) != "caller's" {
			t.Error("the ctx is another")
		}
		told = append(told, e)
	})})
	token := must(issuer.Mint(context.WithValue(t.Context(), key{}, "caller's"), scope()))
	if len(told) != 1 || told[0].ID != token.ID() || told[0].Err != nil {
		t.Errorf("the hook behind was told %d events", len(told))
	}
}

// How long minting took, and its span in the caller's.
func TestMintDuration(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want string // of the span, and its outcome
	}{
		{"a token", nil, "Unset() outcome=ok"},
		{"a refusal", oidctoken.ErrDenied, "Error(denied) outcome=denied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newTelemetry()
			ended := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
			event := oidctoken.Event{Time: ended, Took: 3 * time.Millisecond, Scope: scope(), ID: "jti", KeyID: "kid", Err: tt.err}
			o.Mint(nil)(t.Context(), event) // in no span
			ctx, parent := o.tracer.Tracer("").Start(t.Context(), "step")
			o.Mint(nil)(ctx, event)

			status, outcome, _ := strings.Cut(tt.want, " ")
			want := map[string]any{"mint.duration{" + outcome + "}": distribution{"0.006", map[string]uint64{"0.005": 2}}}
			if diff := cmp.Diff(want, o.series("oidctoken.mint.")); diff != "" {
				t.Errorf("series (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"mint internal " + status + " " + outcome + " stage.type=CI"}, o.spanTexts()); diff != "" {
				t.Fatalf("spans (-want +got):\n%s", diff)
			}
			span := o.spans.Ended()[0]
			if span.Parent().SpanID() != parent.SpanContext().SpanID() || !span.EndTime().Equal(ended) || span.EndTime().Sub(span.StartTime()) != 3*time.Millisecond {
				t.Errorf("the span is from %v to %v, in %v", span.StartTime(), span.EndTime(), span.Parent())
			}
		})
	}
}

// stages has a stage of every type.
var stages = []oidctoken.Stage{
	oidctoken.CI{ID: "s"}, oidctoken.Deployment{ID: "s"}, oidctoken.Custom{ID: "s"}, oidctoken.Approval{ID: "s"},
	oidctoken.IACM{ID: "s"}, oidctoken.SecurityTests{ID: "s"}, oidctoken.FeatureFlag{ID: "s"},
	oidctoken.PipelineStage{ID: "s"},
}

// The label equals the claim.
func TestStageTypes(t *testing.T) {
	o := newTelemetry()
	issuer := newIssuer(oidctoken.Config{Audit: o.Mint(nil)})
	want := map[string]any{
		"mints{outcome=ok,stage.type=none}":     1,
		"mints{outcome=scope,stage.type=other}": 2, // a scope that cannot be minted
		"mints{outcome=ok,stage.type=other}":    1, // a kind that the host names is no label
	}
	s := scope()
	for _, s.Stage = range stages {
		claims := must(issuer.Preview(t.Context(), s))
		kind, _ := claims.Get("stage_type")
		want["mints{outcome=ok,stage.type="+kind+"}"] = 1
	}
	embedded := struct{ oidctoken.CI }{oidctoken.CI{ID: "s"}}
	for _, s.Stage = range append(slices.Clip(stages), nil, oidctoken.OpenStage{Kind: "Train"}, &oidctoken.CI{ID: "s"}, embedded) {
		issuer.Mint(t.Context(), s) // the labels tell how it ends
	}
	if diff := cmp.Diff(want, o.series("oidctoken.mints")); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}
