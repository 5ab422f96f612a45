package oteloidc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
)

// The outcome and the duration of an exchange, and the attributes of a
// refusal's span.
func TestExchange(t *testing.T) {
	refusal := func(e exchange.Error) error { return fmt.Errorf("broker: connector c: %w", &e) }
	for _, tt := range []struct {
		name  string
		cloud string
		err   error
		want  string // outcome
		span  string // further attributes
	}{
		{"a credential", "gcp", nil, "ok", ""},
		{"no cloud", "", nil, "ok", ""},
		{"a cloud of the host's own", "acme_cloud", nil, "ok", ""},
		{"a refusal", "gcp", refusal(exchange.Error{Provider: "gcp", Op: "sts:token", Status: 400, Code: "invalid_grant", Description: "a cloud's words"}), "refused",
			"exchange.code=invalid_grant exchange.operation=sts:token http.response.status_code=400"},
		{"an outage", "aws", refusal(exchange.Error{Op: "sts:AssumeRoleWithWebIdentity", Status: 503, Retryable: true}), "unavailable",
			"exchange.operation=sts:AssumeRoleWithWebIdentity http.response.status_code=503"},
		{"no answer", "azure", refusal(exchange.Error{Op: "entra:token", Retryable: true, Err: context.DeadlineExceeded}), "unavailable",
			"exchange.operation=entra:token"},
		{"another call", "gcp", refusal(exchange.Error{Op: "sts:token?jwt=eyJ", Status: 1 << 20, Code: "AADSTS700016"}), "refused",
			"exchange.code=AADSTS700016 exchange.operation=other"},
		{"a sentence for a code", "gcp", refusal(exchange.Error{Code: "no such pool"}), "refused", "exchange.code=other exchange.operation=other"},
		{"a token for a code", "gcp", refusal(exchange.Error{Code: strings.Repeat("e", 65)}), "refused", "exchange.code=other exchange.operation=other"},
		{"the longest code", "gcp", refusal(exchange.Error{Code: strings.Repeat("e", 64)}), "refused", "exchange.code=" + strings.Repeat("e", 64) + " exchange.operation=other"},
		{"the end of the broker", "gcp", refusal(exchange.Error{Op: "sts:token", Err: context.Canceled}), "canceled", "exchange.operation=sts:token"},
		{"a slow cloud", "gcp", context.DeadlineExceeded, "canceled", ""},
		{"policy", "gcp", fmt.Errorf("mint: %w", oidctoken.ErrDenied), "denied", ""},
		{"a signer", "gcp", fmt.Errorf("mint: %w", oidctoken.ErrSignerUnavailable), "signer", ""},
		{"another error", "gcp", errors.New("the disk is full of eyJhbGciOi"), "error", ""},
	} {
		for _, kind := range []broker.EventKind{broker.Exchanged, broker.Refreshed} {
			t.Run(tt.name+"/"+string(kind), func(t *testing.T) {
				o := newTelemetry()
				ended := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
				ctx, parent := o.tracer.Tracer("").Start(t.Context(), "step")
				o.Broker(nil)(ctx, broker.Event{Kind: kind, Time: ended, Took: 300 * time.Millisecond, Late: 90 * time.Second, Cloud: tt.cloud, Err: tt.err})

				cloud := map[string]string{"": "none", "acme_cloud": "other"}[tt.cloud]
				if cloud == "" {
					cloud = tt.cloud
				}
				want := map[string]any{
					fmt.Sprintf("exchange.duration{cloud=%s,exchange.kind=%s,outcome=%s}", cloud, kind, tt.want): distribution{"0.3", map[string]uint64{"0.5": 1}},
				}
				if kind == broker.Refreshed {
					want["refresh.lag{cloud="+cloud+"}"] = distribution{"90", map[string]uint64{"120": 1}}
				}
				if diff := cmp.Diff(want, o.series("")); diff != "" {
					t.Errorf("series (-want +got):\n%s", diff)
				}

				status := "Error(" + tt.want + ")"
				if tt.want == "ok" {
					status = "Unset()"
				}
				attributes := append(strings.Fields(tt.span), "cloud="+cloud, "exchange.kind="+string(kind), "outcome="+tt.want)
				slices.Sort(attributes)
				if diff := cmp.Diff([]string{"exchange client " + status + " " + strings.Join(attributes, " ")}, o.spanTexts()); diff != "" {
					t.Fatalf("spans (-want +got):\n%s", diff)
				}
				span := o.spans.Ended()[0]
				if span.Parent().SpanID() != parent.SpanContext().SpanID() || len(span.Events()) != 0 {
					t.Errorf("the span's parent is %v, and it has %d events", span.Parent(), len(span.Events()))
				}
				if !span.EndTime().Equal(ended) || span.EndTime().Sub(span.StartTime()) != 300*time.Millisecond {
					t.Errorf("the span is from %v to %v", span.StartTime(), span.EndTime())
				}
			})
		}
	}
}
