package oteloidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"time"

	"github.com/oidctoken/oidctoken"
	"go.opentelemetry.io/otel/trace"
)

// Signer returns a Signer that does what s does, measures how long each
// signature takes and how it ends, and makes a span of it, in which the spans of
// a service's client are. If s is nil, it returns nil.
//
// Use it for a signer that calls a service. An issuer trusts a signer of
// [oidctoken.NewSigner] and verifies the signatures of all others, so a wrapped
// signer in memory costs a verification per token.
//
// The service is a constant of the host, such as "awskms": a lower case letter
// and up to 31 lower case letters, digits and underscores. Whatever else it is,
// and the 17th name of a Telemetry, is "other".
func (t *Telemetry) Signer(s oidctoken.Signer, service string) oidctoken.Signer {
	if s == nil {
		return nil
	}
	service = t.signers.of(service)
	return &signer{
		telemetry: t,
		inner:     func() oidctoken.Signer { return s },
		service:   service,
		public:    s.Public(),
		labels:    newTable(set{signerKey, []string{service}}, algorithms, outcomes),
	}
}

// signer keeps the measured Signer in a func, so that no print verb reaches its
// values.
type signer struct {
	telemetry *Telemetry
	inner     func() oidctoken.Signer
	service   string
	public    crypto.PublicKey
	labels    table
}

func (s *signer) Public() crypto.PublicKey { return s.public }

func (s *signer) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	algorithm := algorithmOf(s.public, opts)
	ctx, span := s.telemetry.tracer.Start(ctx, "oidctoken.sign", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	began := time.Now()
	signature, err := s.inner().Sign(ctx, digest, opts)
	took := time.Since(began)
	outcome := outcomeOfSigner(err)
	if span.IsRecording() {
		span.SetAttributes(signerKey.String(s.service), algorithms.attribute(algorithm))
		conclude(span, outcome)
	}
	s.telemetry.signerTime.Record(ctx, took.Seconds(), s.labels.of(s.service, algorithm, outcome).record...)
	return signature, err
}

// Format names the service, for every verb.
func (s *signer) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "oteloidc.Signer(%s)", s.service) }

// algorithmOf returns the "alg" of the signatures of a key (RFC 7518, section
// 3.1; RFC 8037).
func algorithmOf(key crypto.PublicKey, opts crypto.SignerOpts) string {
	var hash crypto.Hash
	if opts != nil {
		hash = opts.HashFunc()
	}
	switch k := key.(type) {
	case *rsa.PublicKey:
		switch hash {
		case crypto.SHA256:
			return "RS256"
		case crypto.SHA384:
			return "RS384"
		case crypto.SHA512:
			return "RS512"
		}
	case *ecdsa.PublicKey:
		switch {
		case hash == crypto.SHA256 && k.Curve == elliptic.P256():
			return "ES256"
		case hash == crypto.SHA384 && k.Curve == elliptic.P384():
			return "ES384"
		case hash == crypto.SHA512 && k.Curve == elliptic.P521():
			return "ES512"
		}
	case ed25519.PublicKey:
		if hash == 0 {
			return "EdDSA"
		}
	}
	return other
}
