package oidctoken_test

import (
	"context"
	"reflect"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken"
)

// shared lists the paths by which a and b reach the same memory.
func shared(path string, a, b reflect.Value) (paths []string) {
	switch a.Kind() {
	case reflect.Pointer, reflect.Map:
		if a.IsNil() || b.IsNil() {
			return nil
		}
		if a.Pointer() == b.Pointer() {
			return []string{path}
		}
		if a.Kind() == reflect.Pointer {
			return shared(path, a.Elem(), b.Elem())
		}
	case reflect.Interface:
		if !a.IsNil() && !b.IsNil() {
			return shared(path, a.Elem(), b.Elem())
		}
	case reflect.Struct:
		for i := range a.NumField() {
			paths = append(paths, shared(path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))...)
		}
	}
	return paths
}

// A Prepared shares nothing with the scope that it was made from, but for the
// Profile: nothing that the host changes later can change what policy is asked
// or what a token says.
func TestPreparedSharesNothing(t *testing.T) {
	for name := range stages() {
		t.Run(name, func(t *testing.T) {
			var asked, told oidctoken.Scope
			issuer := newIssuer(t, oidctoken.Config{
				ExtraPrefix: "acme_",
				Allow:       func(_ context.Context, s oidctoken.Scope) error { asked = s; return nil },
				Audit:       func(_ context.Context, e oidctoken.Event) { told = e.Scope },
			})
			s := inStage(name)
			s.Extra = map[string]string{"acme_cell": "7"}
			prepared, err := issuer.Prepare(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := prepared.Mint(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, got := range []oidctoken.Scope{asked, told} {
				if diff := cmp.Diff(s, got); diff != "" {
					t.Errorf("scope (-prepared +used):\n%s", diff)
				}
				if paths := shared("Scope", reflect.ValueOf(s), reflect.ValueOf(got)); paths != nil {
					t.Errorf("shared with the host's scope: %v", paths)
				}
			}
		})
	}
}

// A later change has no effect on policy, the claims or the token.
func TestPreparedIsSettled(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	s := inStage("deployment")
	prepared, err := issuer.Prepare(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	preview, err := issuer.Preview(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	before := string(must(prepared.Claims().MarshalJSON()))
	*s.Source.IsFork = true // as of now, Mint would refuse it
	s.Pipeline.ID = "another"
	s.Stage.(oidctoken.Deployment).Environment.ID = "another"
	*s.Stage.(oidctoken.Deployment).Environment.Protected = false
	token, err := prepared.Mint(t.Context())
	if err != nil {
		t.Fatalf("Prepared.Mint: %v", err)
	}
	for name, claims := range map[string]*oidctoken.Claims{"Prepared.Claims": prepared.Claims(), "Preview": preview} {
		if diff := cmp.Diff(before, string(must(claims.MarshalJSON()))); diff != "" {
			t.Errorf("%s (-before +after):\n%s", name, diff)
		}
	}
	claims := payloadOf(t, token)
	for name, want := range map[string]string{"is_fork": "false", "pipeline_id": "release", "environment_id": "prod", "environment_protected": "true"} {
		if claims[name] != want {
			t.Errorf("%s = %v, want %v", name, claims[name], want)
		}
	}
}

// One issuer mints for many scopes at once, and none has another's claims.
func TestConcurrentMint(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{ExtraPrefix: "acme_"})
	var wg sync.WaitGroup
	for name := range stages() {
		s := inStage(name)
		s.Project.ID = name
		s.Extra = map[string]string{"acme_stage": name}
		want, err := issuer.Preview(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		prepared, err := issuer.Prepare(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			wanted := object(t, must(want.MarshalJSON()))
			for i := range 100 {
				token, err := issuer.Mint(t.Context(), s)
				if i%2 == 0 {
					token, err = prepared.Mint(t.Context())
				}
				if err != nil {
					t.Error(err)
					return
				}
				got := payloadOf(t, token)
				for _, name := range []string{"iat", "nbf", "exp", "jti"} {
					delete(got, name)
				}
				if diff := cmp.Diff(wanted, got); diff != "" {
					t.Errorf("payload (-want +got):\n%s", diff)
				}
			}
		})
	}
	wg.Wait()
}

// The drafts that tokens are made in are used again: a token that exists does
// not change, and nothing of a scope is left for the next.
func TestTokensDoNotShareMemory(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	first := mint(t, issuer, inStage("deployment"))
	before := string(append([]byte(nil), first.JWT()...))
	for range 50 {
		second := mint(t, issuer, minimal())
		if got := len(payloadOf(t, second)); got != len([]string{"iss", "sub", "aud", "account_id", "context", "iat", "nbf", "exp", "jti"}) {
			t.Fatalf("a token of the smallest scope has %d claims", got)
		}
		if _, err := issuer.Mint(t.Context(), oidctoken.Scope{Audience: "a", Account: oidctoken.Entity{ID: "acme"}, Stage: &oidctoken.CI{}}); err == nil {
			t.Fatal("a pointer to a stage was taken")
		}
	}
	if first.JWT() != before {
		t.Error("a token changed after it was minted")
	}
}
