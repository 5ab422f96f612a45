package oidctoken_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

func TestScopeIsUntrusted(t *testing.T) {
	for _, tt := range []struct {
		name  string
		scope oidctoken.Scope
		want  bool
	}{
		{"nothing known", minimal(), false},
		{"flagged", oidctoken.Scope{Untrusted: true}, true},
		{"a source", oidctoken.Scope{Source: &oidctoken.Source{}}, false},
		{"no fork", oidctoken.Scope{Source: &oidctoken.Source{IsFork: ptr(false)}}, false},
		{"a fork", oidctoken.Scope{Source: &oidctoken.Source{IsFork: ptr(true)}}, true},
		{"flagged, and no fork", oidctoken.Scope{Untrusted: true, Source: &oidctoken.Source{IsFork: ptr(false)}}, true},
	} {
		if got := tt.scope.IsUntrusted(); got != tt.want {
			t.Errorf("%s: IsUntrusted = %t, want %t", tt.name, got, tt.want)
		}
	}
}

// T22
func TestUntrusted(t *testing.T) {
	errFork := errors.New("no forks here")
	allow := func(err error) func(context.Context, oidctoken.Scope) error {
		return func(_ context.Context, s oidctoken.Scope) error {
			if s.Account.ID != "acme" {
				return errors.New("another scope")
			}
			return err
		}
	}
	flagged, fork, trusted := minimal(), minimal(), minimal()
	flagged.Untrusted = true
	fork.Source = &oidctoken.Source{IsFork: ptr(true)}
	trusted.Source = &oidctoken.Source{IsFork: ptr(false)}
	for _, tt := range []struct {
		name  string
		allow func(context.Context, oidctoken.Scope) error
		scope oidctoken.Scope
		want  []error
	}{
		{"flagged", nil, flagged, []error{oidctoken.ErrDenied}},
		{"a fork", nil, fork, []error{oidctoken.ErrDenied}},
		{"no fork", nil, trusted, nil},
		{"nothing known", nil, minimal(), nil},
		{"flagged, and allowed", allow(nil), flagged, nil},
		{"a fork, and allowed", allow(nil), fork, nil},
		{"flagged, and denied", allow(errFork), flagged, []error{oidctoken.ErrDenied, errFork}},
		{"a fork, and denied", allow(errFork), fork, []error{oidctoken.ErrDenied, errFork}},
		{"trusted, and denied", allow(errFork), trusted, []error{oidctoken.ErrDenied, errFork}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			issuer := newIssuer(t, oidctoken.Config{Allow: tt.allow})
			prepared, err := issuer.Prepare(t.Context(), tt.scope)
			if err != nil {
				t.Fatal(err)
			}
			for name, try := range map[string]func() (*oidctoken.Token, error){
				"Mint":          func() (*oidctoken.Token, error) { return issuer.Mint(t.Context(), tt.scope) },
				"Prepared.Mint": func() (*oidctoken.Token, error) { return prepared.Mint(t.Context()) },
			} {
				token, err := try()
				if (err == nil) != (tt.want == nil) || (token == nil) != (err != nil) {
					t.Errorf("%s: %v, %v; want %v", name, token, err, tt.want)
				}
				for _, want := range tt.want {
					if !errors.Is(err, want) {
						t.Errorf("%s: %v, want %v in it", name, err, want)
					}
				}
			}
		})
	}
}

// A Cache calls policy each time, with the scope of the call, including the fields that
// are not claims.
func TestCacheAsksPolicy(t *testing.T) {
	signer := newCounting(edKey())
	var events []oidctoken.Event
	audit := func(_ context.Context, e oidctoken.Event) { events = append(events, e) }
	var asked atomic.Int64
	refused := errors.New("refused")
	for name, allow := range map[string]func(context.Context, oidctoken.Scope) error{
		"none": nil,
		"own": func(_ context.Context, s oidctoken.Scope) error {
			asked.Add(1)
			if s.Untrusted {
				return refused
			}
			return nil
		},
	} {
		events = nil
		issuer := live(t, signer, oidctoken.Config{Allow: allow, Audit: audit})
		cache := newCache(t, issuer, oidctoken.CacheConfig{})
		token := cached(t, cache, inAccount("acme"))
		cached(t, cache, inAccount("acme"))
		untrusted := inAccount("acme")
		untrusted.Untrusted = true
		if _, err := cache.Mint(t.Context(), untrusted); !errors.Is(err, oidctoken.ErrDenied) || errors.Is(err, refused) != (allow != nil) {
			t.Errorf("%s: Mint for an untrusted execution: %v, want %v", name, err, oidctoken.ErrDenied)
		}
		if _, err := cache.Mint(t.Context(), inAccount("a b")); scopeError(err) == nil {
			t.Errorf("%s: Mint = %v, want a ScopeError", name, err)
		}
		var got []string
		for _, e := range events {
			got = append(got, fmt.Sprintf("%s %s %v", e.Scope.Account.ID, e.ID, e.Err != nil))
		}
		want := []string{"acme " + token.ID() + " false", "acme  true", "a b  true"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: Audit (-want +got):\n%s", name, diff)
		}
		if sub, _ := events[0].Claims.Get("sub"); sub != "account/acme" {
			t.Errorf("%s: Audit was called with the subject %q", name, sub)
		}
	}
	if asked.Load() != 3 {
		t.Errorf("policy was called %d times, want once for each of 3 calls", asked.Load())
	}
}

// Policy and Audit get the Scope with all its values, including those that the token
// leaves out.
func TestPolicySeesWhatIsLeftOut(t *testing.T) {
	long := strings.Repeat("x", 2000)
	var seen string
	issuer := newIssuer(t, oidctoken.Config{Allow: func(_ context.Context, s oidctoken.Scope) error {
		seen = s.Source.HeadRef
		return nil
	}})
	s := minimal()
	s.Source = &oidctoken.Source{HeadRef: long}
	mint(t, issuer, s)
	if seen != long {
		t.Errorf("policy got %d bytes", len(seen))
	}
}
