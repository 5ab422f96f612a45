//go:build !race

// The race detector uses additional memory, so these tests leave it out.

package oteloidc_test

import (
	"context"
	"crypto"
	"testing"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/oteloidc"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// A hook without a tracer allocates little per mint.
func TestAllocations(t *testing.T) {
	o := must(oteloidc.New(oteloidc.Config{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))}))
	ctx := t.Context()
	mint, hook, ring := o.Mint(nil), o.Broker(nil), o.Ring(nil)
	answer := []byte("a signature")
	signer := o.Signer(&signerFunc{newSigner(), func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return answer, nil }}, "kms")
	digest, event := make([]byte, 32), oidctoken.Event{Scope: scope()}
	for _, tt := range []struct {
		name string
		most float64
		run  func()
	}{
		{"mint", 0, func() { mint(ctx, event) }},
		{"refusal", 0, func() { hook(ctx, broker.Event{Kind: broker.Refused, Err: broker.ErrNoConnector}) }},
		{"delivery", 0, func() { hook(ctx, broker.Event{Kind: broker.Delivered, File: "token"}) }},
		{"exchange", 8, func() { hook(ctx, broker.Event{Kind: broker.Exchanged, Cloud: "gcp"}) }},
		{"transition", 0, func() { ring(ctx, keyring.Event{Kind: keyring.Created, Algorithm: "ES256"}) }},
		{"signature", 6, func() { signer.Sign(ctx, digest, crypto.SHA256) }},
	} {
		if got := testing.AllocsPerRun(1000, tt.run); got > tt.most {
			t.Errorf("%s: %v allocations, want %v at most", tt.name, got, tt.most)
		}
	}
}
