package exchange_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

// X14: two targets that differ in anything share no credential, and two equal
// ones do.
func TestTargetsThatDiffer(t *testing.T) {
	config := oidctoken.Config{
		Keys: oidctoken.StaticKeys{newKey(t)}, ExtraPrefix: "x_", Allow: func(context.Context, oidctoken.Scope) error { return nil },
	}
	issuer, twin, b := newIssuer(t, config), newIssuer(t, config), &bank{}
	base := func() exchange.Target {
		t := target(issuer, b, "acme")
		t.Scope.Organization = oidctoken.Entity{ID: "payments"}
		t.Scope.Project = oidctoken.Entity{ID: "ledger"}
		t.Scope.Pipeline = &oidctoken.Pipeline{ID: "release"}
		t.Scope.Stage = oidctoken.CI{ID: "build"}
		t.Scope.Step = &oidctoken.Step{ID: "push"}
		t.SessionName = "session"
		return t
	}
	changes := map[string]func(*exchange.Target){
		"issuer":             func(t *exchange.Target) { t.Issuer = twin },
		"exchanger":          func(t *exchange.Target) { t.Exchanger = &bank{} },
		"connector":          func(t *exchange.Target) { t.Connector = "bank2" },
		"connector of scope": func(t *exchange.Target) { t.Scope.Connector = &oidctoken.Connector{ID: "bank"} },
		"session name":       func(t *exchange.Target) { t.SessionName = "session2" },
		"scopes":             func(t *exchange.Target) { t.Scopes = []string{"a", "b"} },
		"scopes, joined":     func(t *exchange.Target) { t.Scopes = []string{"a b"} },
		"no scopes":          func(t *exchange.Target) { t.Scopes = []string{} },
		"session and scopes": func(t *exchange.Target) { t.SessionName = ""; t.Scopes = []string{"session"} },
		"account":            func(t *exchange.Target) { t.Scope.Account.ID = "globex" },
		"account's uid":      func(t *exchange.Target) { t.Scope.Account.UID = "1" },
		"no project":         func(t *exchange.Target) { t.Scope.Project = oidctoken.Entity{} },
		"step":               func(t *exchange.Target) { t.Scope.Step = nil },
		"stage":              func(t *exchange.Target) { t.Scope.Stage = oidctoken.Approval{ID: "build"} },
		"untrusted":          func(t *exchange.Target) { t.Scope.Untrusted = true },
		"what is no claim":   func(t *exchange.Target) { t.Scope.Pipeline = &oidctoken.Pipeline{ID: "release", UID: "1"} },
		"long head ref":      func(t *exchange.Target) { t.Scope.Source = &oidctoken.Source{HeadRef: strings.Repeat("a", 2000)} },
		"other long one":     func(t *exchange.Target) { t.Scope.Source = &oidctoken.Source{HeadRef: strings.Repeat("b", 2000)} },
		"no UTF-8":           func(t *exchange.Target) { t.Scope.Trigger = &oidctoken.Trigger{ByName: "a\xff"} },
		"other, no UTF-8":    func(t *exchange.Target) { t.Scope.Trigger = &oidctoken.Trigger{ByName: "a\xfe"} },
		"no UTF-8 elsewhere": func(t *exchange.Target) { t.Scope.Trigger = &oidctoken.Trigger{ByEmail: "a\xff"} },
		"artifact, no UTF-8": func(t *exchange.Target) {
			t.Scope.Stage = oidctoken.CI{ID: "build", Artifact: &oidctoken.Artifact{Name: "\xff"}}
		},
		"other artifact": func(t *exchange.Target) {
			t.Scope.Stage = oidctoken.CI{ID: "build", Artifact: &oidctoken.Artifact{Name: "\xfe"}}
		},
		"extra":              func(t *exchange.Target) { t.Scope.Extra = map[string]string{"x_a": "1"} },
		"profile's lifetime": func(t *exchange.Target) { p := b.Profile(); p.Lifetime = 60e9; t.Scope.Profile = &p },
		"profile's subject":  func(t *exchange.Target) { p := b.Profile(); p.MaxSubject = 200; t.Scope.Profile = &p },
		"profile's algorithm": func(t *exchange.Target) {
			p := b.Profile()
			p.Algorithms = []string{"EdDSA", "RS256"}
			t.Scope.Profile = &p
		},
		"profile's unknown": func(t *exchange.Target) { p := b.Profile(); p.NullUnknown = true; t.Scope.Profile = &p },
		"profile's claims": func(t *exchange.Target) {
			p := b.Profile()
			p.Claims = func(*oidctoken.Claims) (map[string]any, error) { return map[string]any{"tags": "x"}, nil }
			t.Scope.Profile = &p
		},
	}
	cache := newCache(t, exchange.CacheConfig{})
	got := map[*exchange.Credential]string{}
	get := func(name string, target exchange.Target) *exchange.Credential {
		c, err := newLease(t, cache, target).Get(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return c
	}
	got[get("base", base())] = "base"
	for name, change := range changes {
		changed := base()
		change(&changed)
		c := get(name, changed)
		if other := got[c]; other != "" {
			t.Errorf("a target with another %s has the credential of %s", name, other)
		}
		got[c] = name
		if again := get(name, changed); again != c {
			t.Errorf("%s: the same target has another credential", name)
		}
	}
	if c := get("base", base()); got[c] != "base" {
		t.Errorf("the base has the credential of %q, want its own", got[c])
	}
}

// A host may change its Scope after Credential was called: the key and the
// token are made from the same copy.
func TestTargetIsCopied(t *testing.T) {
	b, cache := &bank{}, newCache(t, exchange.CacheConfig{})
	scopes := []string{"a", "b"}
	mine := target(newIssuer(t, oidctoken.Config{}), b, "acme")
	template := oidctoken.Profile{Algorithms: []string{"EdDSA"}, Subject: "account/{account_id}:pipeline/{pipeline_id}"}
	mine.Scope.Profile, mine.Scope.Pipeline, mine.Scopes = &template, &oidctoken.Pipeline{ID: "release"}, scopes
	lease := newLease(t, cache, mine)
	mine.Scope.Pipeline.ID, scopes[0] = "other", "admin"
	c, err := lease.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.Value("SUBJECT"), c.Value("SCOPES")}
	if diff := cmp.Diff([]string{"account/acme:pipeline/release", `["a" "b"]`}, got); diff != "" {
		t.Errorf("credential (-want +got):\n%s", diff)
	}
}

// incomparable is an Exchanger that == cannot compare.
type incomparable struct {
	*bank
	_ []string
}

// greedy requests a token for another audience than its own.
type greedy struct{ bank }

func (g *greedy) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	_, err := r.Subject(ctx, "https://other.example")
	return nil, err
}

func TestBadTargets(t *testing.T) {
	issuer, cache := newIssuer(t, oidctoken.Config{}), newCache(t, exchange.CacheConfig{})
	for _, tt := range []struct {
		name   string
		change func(*exchange.Target)
		want   string
	}{
		{"no issuer", func(t *exchange.Target) { t.Issuer = nil }, "exchange: Target.Issuer is required"},
		{"no exchanger", func(t *exchange.Target) { t.Exchanger = nil }, "exchange: Target.Exchanger is required"},
		{"incomparable", func(t *exchange.Target) { t.Exchanger = incomparable{bank: &bank{}} }, "which cannot be compared: use a pointer"},
		{"audience", func(t *exchange.Target) { t.Scope.Audience = "https://other.example" }, "exchange: Target.Scope.Audience is not the Exchanger's"},
		{"scope", func(t *exchange.Target) { t.Scope.Account.ID = "" }, "Account.ID is required"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bad := target(issuer, &bank{}, "acme")
			tt.change(&bad)
			if _, err := cache.Lease(t.Context(), bad); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Lease = %v, want %s", err, tt.want)
			}
		})
	}
	bad := target(issuer, &bank{}, "")
	_, err := cache.Lease(t.Context(), bad)
	if e, ok := errors.AsType[*oidctoken.ScopeError](err); !ok || e.Field != "Account.ID" {
		t.Errorf("Lease = %v, want a ScopeError", err)
	}
	own := target(issuer, &bank{}, "acme")
	own.Scope.Audience = bankAudience
	checkSerial(t, newLease(t, cache, own), 1)

	const want = "exchange: the Exchanger requested a token for another audience than its Audience"
	if got := serial(t.Context(), newLease(t, cache, target(issuer, &greedy{}, "acme"))); got != want {
		t.Errorf("Get = %s, want %s", got, want)
	}
}
