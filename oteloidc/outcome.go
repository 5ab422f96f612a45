package oteloidc

import (
	"context"
	"errors"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// outcomeOf returns how a mint or an exchange ended. A denial by policy comes
// before the error that it wraps, and a canceled caller before the error that
// this caused. A deadline does not: a slow operation is of interest.
func outcomeOf(err error) string {
	if err == nil {
		return "ok"
	}
	_, badScope := errors.AsType[*oidctoken.ScopeError](err)
	refusal, refused := errors.AsType[*exchange.Error](err)
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, oidctoken.ErrDenied):
		return "denied"
	case badScope:
		return "scope"
	case errors.Is(err, oidctoken.ErrNoKey):
		return "no_key"
	case errors.Is(err, oidctoken.ErrBadSignature):
		return "bad_signature"
	case errors.Is(err, oidctoken.ErrSignerUnavailable):
		return "signer"
	case refused && refusal.Temporary():
		return "unavailable"
	case refused:
		return "refused"
	case errors.Is(err, context.DeadlineExceeded):
		return "canceled"
	}
	return "error"
}

// outcomeOfSigner returns the outcome of a signature, from the signer's own
// error.
func outcomeOfSigner(err error) string {
	var temporary interface{ Temporary() bool }
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &temporary) && temporary.Temporary():
		return "unavailable"
	}
	return "error"
}

// conclude gives a span its outcome. An error's text is never in it: that may
// hold the words of a cloud or a signer.
func conclude(span trace.Span, outcome string) {
	span.SetAttributes(outcomes.attribute(outcome))
	if outcome != "ok" {
		span.SetStatus(codes.Error, outcome)
	}
}
