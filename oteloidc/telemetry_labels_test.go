package oteloidc_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/oteloidc"
)

// closed has all values of the labels, without the names that a host chooses:
// 16 of them, and other.
var closed = map[attribute.Key][]string{
	"oidctoken.outcome":            {"ok", "denied", "scope", "no_key", "signer", "bad_signature", "canceled", "refused", "unavailable", "error"},
	"oidctoken.stage.type":         {"CI", "Deployment", "Custom", "Approval", "IACM", "SecurityTests", "FeatureFlag", "Pipeline", "none", "other"},
	"oidctoken.cloud":              {"gcp", "aws", "azure", "none", "other"},
	"oidctoken.rule":               {"Accounts", "Organizations", "Projects", "Pipelines", "StageTypes", "Environments", "Untrusted", "audience", "no_connector", "placeholder", "endpoint", "reference", "other"},
	"oidctoken.exchange.kind":      {"exchanged", "refreshed"},
	"oidctoken.delivery.form":      {"environment", "file", "endpoint"},
	"oidctoken.algorithm":          {"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA", "none", "other"},
	"oidctoken.keyring.transition": {"created", "published", "activated", "extended", "rotated", "revoked", "removed", "raised", "rewrapped", "named", "other"},
	"oidctoken.keyring.cause":      {"store", "wrapper", "provisioner", "unseen", "too_many_keys", "clock", "corrupt", "tampered", "older", "newer", "other_ring", "not_migrated", "other"},
	"oidctoken.cache.result":       {"hit", "miss"},
}

// most is the largest number of series of each instrument.
var most = map[string]int{
	"oidctoken.mints":               10 * 10,
	"oidctoken.mint.duration":       10,
	"oidctoken.broker.refusals":     13,
	"oidctoken.exchange.duration":   5 * 2 * 10,
	"oidctoken.refresh.lag":         5,
	"oidctoken.deliveries":          5 * 3,
	"oidctoken.keyring.transitions": 11 * 9,
	"oidctoken.keyring.failures":    13,
	"oidctoken.keyring.failing":     1,
	"oidctoken.signer.duration":     17 * 9 * 10,
	"oidctoken.cache.entries":       17,
	"oidctoken.cache.size":          17,
	"oidctoken.cache.lookups":       17 * 2,
}

// Further attributes of spans.
var (
	operations = []string{"sts:token", "iamcredentials:generateAccessToken", "iamcredentials:generateIdToken", "sts:AssumeRoleWithWebIdentity", "entra:token", "other"}
	code       = regexp.MustCompile(`\A[A-Za-z0-9_.:-]{1,64}\z`)
	name       = regexp.MustCompile(`\A[a-z][a-z0-9_]{0,31}\z`)
)

// D06: labels have the values of closed sets, whatever tenants, clouds and
// hosts choose, and there are no more series than their combinations.
func TestLabelsAreClosed(t *testing.T) {
	o := newTelemetry()
	mint, hook, ring := o.Mint(nil), o.Broker(nil), o.Ring(nil)
	issuer := newIssuer(oidctoken.Config{Audit: mint, Allow: func(context.Context, oidctoken.Scope) error { return nil }})
	names := make(map[attribute.Key]map[string]bool)
	rapid.Check(t, func(t *rapid.T) {
		anything := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z]{1,5}`), rapid.SampledFrom(append(slices.Concat(operations, closed["oidctoken.rule"], closed["oidctoken.cloud"], closed["oidctoken.keyring.transition"]), "refused", "delivered")))
		word := func(what string) string { return anything.Draw(t, what) }
		err := drawError(t, anything)
		ctx := context.Background()
		s := oidctoken.Scope{
			Audience: word("aud"),
			Account:  oidctoken.Entity{ID: word("account"), UID: word("uid")},
			Project:  oidctoken.Entity{ID: word("project")},
			Stage:    rapid.SampledFrom(append(slices.Clip(stages), nil, &oidctoken.CI{})).Draw(t, "stage"),
		}
		issuer.Mint(ctx, s) // the labels tell how it ends
		mint(ctx, oidctoken.Event{Scope: s, ID: word("jti"), KeyID: word("kid"), Err: err})
		hook(ctx, broker.Event{
			Time:  time.Unix(rapid.Int64().Draw(t, "time"), 0),
			Kind:  rapid.SampledFrom([]broker.EventKind{broker.Refused, broker.Exchanged, broker.Refreshed, broker.Delivered, broker.EventKind(word("kind"))}).Draw(t, "event"),
			Scope: s, Connector: word("connector"), Cloud: word("cloud"), Audience: word("audience"), File: word("file"),
			Expires: rapid.SampledFrom([]time.Time{{}, time.Unix(1, 0)}).Draw(t, "expires"),
			Took:    time.Duration(rapid.Int64().Draw(t, "took")), Late: time.Duration(rapid.Int64().Draw(t, "late")),
			Err: err,
		})
		ring(ctx, keyring.Event{Kind: keyring.EventKind(word("transition")), Algorithm: word("alg"), KeyID: word("kid"), Err: err})
		ring(ctx, keyring.Event{Kind: keyring.Failed, Err: err})
		fails := &signerFunc{newSigner(), func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return nil, err }}
		hash := crypto.Hash(rapid.IntRange(0, 20).Draw(t, "hash"))
		o.Signer(fails, word("service")).Sign(ctx, nil, hash)
		registration := must(o.Cache(word("cache"), func() oteloidc.CacheStats { return oteloidc.CacheStats{Entries: 1} }))
		checkClosed(t, o, names)
		if err := registration.Unregister(); err != nil {
			t.Fatal(err)
		}
	})
}

// drawError returns an error as a tenant, a cloud or a host can cause it.
func drawError(t *rapid.T, text *rapid.Generator[string]) error {
	draw := func(what string) string { return text.Draw(t, what) }
	err := rapid.SampledFrom([]error{
		nil, errors.New(draw("text")), oidctoken.ErrDenied, oidctoken.ErrNoKey, oidctoken.ErrSignerUnavailable, oidctoken.ErrBadSignature,
		&oidctoken.ScopeError{Field: draw("field"), Reason: draw("reason")},
		&broker.DeniedError{Rule: draw("rule")}, &broker.RefError{Reason: draw("reason")}, broker.ErrNoConnector,
		&exchange.Error{
			Provider: draw("provider"), Op: draw("op"), Code: draw("code"), Description: draw("description"), Hint: draw("hint"),
			Status: rapid.Int().Draw(t, "status"), Retryable: rapid.Bool().Draw(t, "retryable"), Err: errors.New(draw("cause")),
		},
		keyring.ErrStore, keyring.ErrTampered, context.Canceled, context.DeadlineExceeded,
	}).Draw(t, "err")
	switch {
	case err == nil:
		return nil
	case rapid.Bool().Draw(t, "joined"):
		return errors.Join(errors.New(draw("other")), err)
	}
	return fmt.Errorf("%s: %w", draw("prefix"), err)
}

func checkClosed(t *rapid.T, o *observed, names map[attribute.Key]map[string]bool) {
	check := func(of string, labels []attribute.KeyValue) {
		for _, kv := range labels {
			value := kv.Value.String()
			switch kv.Key {
			case "oidctoken.signer", "oidctoken.cache":
				if names[kv.Key] == nil {
					names[kv.Key] = make(map[string]bool)
				}
				names[kv.Key][value] = true
				if !name.MatchString(value) || len(names[kv.Key]) > 17 {
					t.Fatalf("%s has the name %q, and there are %d", of, value, len(names[kv.Key]))
				}
			default:
				if !slices.Contains(closed[kv.Key], value) {
					t.Fatalf("%s has %s=%q", of, kv.Key, value)
				}
			}
		}
	}
	for _, m := range o.metrics() {
		points := 0
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			points = len(data.DataPoints)
			for _, p := range data.DataPoints {
				check(m.Name, p.Attributes.ToSlice())
			}
		case metricdata.Histogram[float64]:
			points = len(data.DataPoints)
			for _, p := range data.DataPoints {
				check(m.Name, p.Attributes.ToSlice())
			}
		}
		if points > most[m.Name] {
			t.Fatalf("%s has %d series, want %d at most", m.Name, points, most[m.Name])
		}
	}
	for _, s := range o.spans.Ended() {
		var labels []attribute.KeyValue
		for _, kv := range s.Attributes() {
			switch value := kv.Value; {
			case kv.Key == "oidctoken.exchange.operation" && slices.Contains(operations, value.AsString()):
			case kv.Key == "oidctoken.exchange.code" && code.MatchString(value.AsString()):
			case kv.Key == "http.response.status_code" && value.AsInt64() >= 100 && value.AsInt64() <= 599:
			default:
				labels = append(labels, kv)
			}
		}
		check("the span "+s.Name(), labels)
		if s.Name() != "oidctoken.exchange" && s.Name() != "oidctoken.sign" {
			t.Fatalf("there is a span %q", s.Name())
		}
		if status := s.Status().Description; status != "" && !slices.Contains(closed["oidctoken.outcome"], status) {
			t.Fatalf("a span's status says %q", status)
		}
	}
	o.spans.Reset()
}

// Every combination of event fields has the expected labels.
func TestEveryCombination(t *testing.T) {
	o := newTelemetry()
	hook := o.Broker(nil)
	errs := map[string]error{
		"ok": nil, "denied": oidctoken.ErrDenied, "scope": &oidctoken.ScopeError{}, "no_key": oidctoken.ErrNoKey, "signer": oidctoken.ErrSignerUnavailable,
		"bad_signature": oidctoken.ErrBadSignature, "canceled": context.Canceled, "refused": &exchange.Error{},
		"unavailable": &exchange.Error{Retryable: true}, "error": errors.New("another"),
	}
	want := make(map[string]any)
	for _, cloud := range closed["oidctoken.cloud"] {
		for _, kind := range closed["oidctoken.exchange.kind"] {
			for _, outcome := range closed["oidctoken.outcome"] {
				n := len(want) + 1
				for range n {
					hook(t.Context(), broker.Event{Kind: broker.EventKind(kind), Cloud: cloud, Err: errs[outcome]})
				}
				want[fmt.Sprintf("exchange.duration{cloud=%s,exchange.kind=%s,outcome=%s}", cloud, kind, outcome)] = n
			}
		}
	}
	if diff := cmp.Diff(want, o.counts("oidctoken.exchange")); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}
