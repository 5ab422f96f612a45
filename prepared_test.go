package oidctoken_test

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

// A Prepared hashes the beginning of its tokens once for each header. The keys, and with
// them the hash, may change between any two tokens. Each token verifies with the key that
// it names.
func TestPreparedFollowsKeys(t *testing.T) {
	var rings [][]oidctoken.Key
	var algorithms []string
	for alg, key := range keyFor {
		rings = append(rings, []oidctoken.Key{{ID: alg, Algorithm: alg, Signer: memory(key())}})
		algorithms = append(algorithms, alg)
	}
	slices.Sort(algorithms)
	var turn atomic.Uint64
	issuer := newIssuer(t, oidctoken.Config{
		Keys: keysFunc(func(context.Context) ([]oidctoken.Key, error) {
			return rings[turn.Add(1)%uint64(len(rings))], nil
		}),
		Profile: oidctoken.Profile{Algorithms: algorithms},
	})
	prepared, err := issuer.Prepare(t.Context(), full())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 6 * len(rings) {
				token, err := prepared.Mint(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				alg := token.KeyID()
				if !verifyPlainly(t, token.JWT(), alg, keyFor[alg]().Public()) {
					t.Errorf("a token of %s does not verify", alg)
				}
			}
		})
	}
	wg.Wait()
}

// shared returns the paths by which a and b point to the same memory.
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

// A Prepared shares no memory with its scope, except the Profile. So a later change of the
// scope does not change the scope that policy gets, or the claims.
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
					t.Errorf("memory shared with the host's scope: %v", paths)
				}
			}
		})
	}
}

// A later change has no effect on policy, the claims or the token.
func TestPreparedKeepsItsScope(t *testing.T) {
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
	*s.Source.IsFork = true // Mint would now refuse the scope
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
