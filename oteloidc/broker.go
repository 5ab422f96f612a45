package oteloidc

import (
	"context"
	"errors"
	"strings"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/expr"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Broker returns a hook for [broker.Config.Audit], which measures exchanges,
// counts refusals and deliveries, and then calls next, unless that is nil.
//
// Broker also records a span for each exchange, with the times of the event.
// The span is a child of the span in ctx, if there is one: the span of the step
// that began the exchange. Other steps that wait for the exchange get no span
// of it.
func (t *Telemetry) Broker(next func(context.Context, broker.Event)) func(context.Context, broker.Event) {
	return func(ctx context.Context, e broker.Event) {
		switch e.Kind {
		case broker.Refused:
			t.refusals.Add(ctx, 1, t.refused.of(ruleOf(&e)).add...)
		case broker.Exchanged, broker.Refreshed:
			t.exchange(ctx, &e)
		case broker.Delivered:
			t.deliveries.Add(ctx, 1, t.delivered.of(cloudOf(e.Cloud), formOf(&e)).add...)
		}
		if next != nil {
			next(ctx, e)
		}
	}
}

// exchange makes metrics and a span of an exchange that has ended.
func (t *Telemetry) exchange(ctx context.Context, e *broker.Event) {
	cloud, kind, outcome := cloudOf(e.Cloud), string(e.Kind), outcomeOf(e.Err)
	ctx, span := t.tracer.Start(ctx, "oidctoken.exchange",
		trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(e.Time.Add(-e.Took)))
	defer span.End(trace.WithTimestamp(e.Time))
	if span.IsRecording() {
		span.SetAttributes(clouds.attribute(cloud), exchangeKinds.attribute(kind))
		if refusal, ok := errors.AsType[*exchange.Error](e.Err); ok {
			span.SetAttributes(refusalAttributes(refusal)...)
		}
		conclude(span, outcome)
	}
	t.exchangeTime.Record(ctx, e.Took.Seconds(), t.exchanged.of(cloud, kind, outcome).record...)
	if e.Kind == broker.Refreshed {
		t.refreshLag.Record(ctx, max(0, e.Late.Seconds()), t.refreshed.of(cloud).record...)
	}
}

// refusalAttributes returns the attributes of a cloud's refusal. They do not
// include its description, which may hold any text of the cloud.
func refusalAttributes(e *exchange.Error) []attribute.KeyValue {
	attributes := []attribute.KeyValue{operations.attribute(e.Op)}
	if e.Status >= 100 && e.Status <= 599 {
		attributes = append(attributes, attribute.Int("http.response.status_code", e.Status))
	}
	if e.Code != "" {
		attributes = append(attributes, attribute.String("oidctoken.exchange.code", codeOf(e.Code)))
	}
	return attributes
}

// codeOf returns a cloud's code, if it looks like one. It is a word of at most 64
// bytes: a token is longer, and a sentence has spaces.
func codeOf(code string) string {
	const word = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-"
	if len(code) > 64 || strings.Trim(code, word) != "" {
		return other
	}
	return code
}

func cloudOf(cloud string) string {
	if cloud == "" {
		return "none"
	}
	return cloud
}

// formOf returns in which form a step got its credential. The environment of a
// connector has no expiry.
func formOf(e *broker.Event) string {
	switch {
	case e.File != "":
		return "file"
	case e.Expires.IsZero():
		return "environment"
	}
	return "endpoint"
}

// ruleOf returns which rule refused a step. Refusals without a connector,
// except those of the request's form, come from the endpoint.
func ruleOf(e *broker.Event) string {
	if denied, ok := errors.AsType[*broker.DeniedError](e.Err); ok {
		return denied.Rule
	}
	_, badReference := errors.AsType[*broker.RefError](e.Err)
	switch {
	case badReference:
		return "reference"
	case errors.Is(e.Err, expr.ErrPlaceholder):
		return "placeholder"
	case errors.Is(e.Err, broker.ErrNoConnector):
		return "no_connector"
	case errors.Is(e.Err, oidctoken.ErrDenied):
		return "audience"
	case e.Connector == "":
		return "endpoint"
	}
	return other
}
