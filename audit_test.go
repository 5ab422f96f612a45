package oidctoken_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken"
)

// recorder keeps what Audit is told.
type recorder struct{ events []oidctoken.Event }

func (r *recorder) audit(_ context.Context, e oidctoken.Event) { r.events = append(r.events, e) }

// only returns the one event since the last call.
func (r *recorder) only(t *testing.T) oidctoken.Event {
	t.Helper()
	defer func() { r.events = nil }()
	if len(r.events) != 1 {
		t.Fatalf("Audit was told %d times, want once", len(r.events))
	}
	return r.events[0]
}

// leaks reports whether text holds the token, or 12 bytes in a row of its
// signature.
func leaks(t *testing.T, text, jwt string) bool {
	t.Helper()
	signature := jwt[strings.LastIndexByte(jwt, '.')+1:]
	_, _, bytes, _ := parts(t, jwt)
	windows := []string{jwt}
	for _, form := range []string{signature, string(bytes), fmt.Sprint(bytes), fmt.Sprintf("%x", bytes)} {
		for i := 0; i+12 <= len(form); i += 4 {
			windows = append(windows, form[i:i+12])
		}
	}
	for _, w := range windows {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

func TestAuditOfTokens(t *testing.T) {
	var r recorder
	issuer := newIssuer(t, oidctoken.Config{Audit: r.audit})
	s := inStage("deployment")
	prepared, err := issuer.Prepare(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.events) != 0 {
		t.Errorf("Prepare told Audit %v", r.events)
	}
	for name, try := range map[string]func() (*oidctoken.Token, error){
		"Mint":          func() (*oidctoken.Token, error) { return issuer.Mint(t.Context(), s) },
		"Prepared.Mint": func() (*oidctoken.Token, error) { return prepared.Mint(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			token, err := try()
			if err != nil {
				t.Fatal(err)
			}
			e := r.only(t)
			got := []any{e.ID, e.KeyID, e.Expires.Equal(token.Expires()), e.Time.Equal(noon), e.Err, e.Scope.Project.ID}
			want := []any{token.ID(), token.KeyID(), true, true, nil, "ledger"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
			_, payload, _, _ := parts(t, token.JWT())
			if claims := string(must(e.Claims.MarshalJSON())); !strings.HasPrefix(string(payload), strings.TrimSuffix(claims, "}")) {
				t.Errorf("the event's claims are %s, the token's %s", claims, payload)
			}
			for _, text := range []string{fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e), fmt.Sprint(&e), string(must(json.Marshal(e)))} {
				if leaks(t, text, token.JWT()) {
					t.Errorf("the event reveals the token: %s", text)
				}
			}
			if !leaks(t, "x"+token.JWT()[len(token.JWT())-16:], token.JWT()) {
				t.Error("this test would not see a leak")
			}
		})
	}
}

// Audit is told of each refusal, with the error that Mint returns.
func TestAuditOfRefusals(t *testing.T) {
	fork := minimal()
	fork.Untrusted = true
	bad := minimal()
	bad.Account.ID = ""
	rsaOnly := minimal()
	rsaOnly.Profile = &oidctoken.Profile{}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		scope  oidctoken.Scope
		claims bool
		want   func(error) bool
	}{
		{"a bad scope", t.Context(), bad, false, func(err error) bool { return scopeError(err) != nil }},
		{"policy", t.Context(), fork, true, is(oidctoken.ErrDenied)},
		{"no key", t.Context(), rsaOnly, true, is(oidctoken.ErrNoKey)},
		{"a context that ended", cancelled, minimal(), true, is(context.Canceled)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r recorder
			issuer := newIssuer(t, oidctoken.Config{Audit: r.audit})
			token, err := issuer.Mint(tt.ctx, tt.scope)
			if token != nil || !tt.want(err) {
				t.Errorf("Mint: %v, %v", token, err)
			}
			e := r.only(t)
			if e.Err != err || e.ID != "" || e.KeyID != "" || !e.Expires.IsZero() || (e.Claims != nil) != tt.claims {
				t.Errorf("event %+v, want the refusal %v", e, err)
			}
		})
	}
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// Preview asks neither policy nor a key, and nobody is told.
func TestPreviewIsSilent(t *testing.T) {
	var r recorder
	asked := 0
	keys := oidctoken.StaticKeys{{Signer: memory(edKey())}}
	issuer := newIssuer(t, oidctoken.Config{
		Audit: r.audit,
		Allow: func(context.Context, oidctoken.Scope) error { asked++; return errors.New("no") },
		Keys: keysFunc(func(ctx context.Context) ([]oidctoken.Key, error) {
			asked++
			return keys, nil
		}),
	})
	asked = 0
	if _, err := issuer.Preview(t.Context(), minimal()); err != nil {
		t.Fatal(err)
	}
	if asked != 0 || len(r.events) != 0 {
		t.Errorf("policy and keys were asked %d times, Audit was told %d times", asked, len(r.events))
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

// Nothing is begun for a caller that has gone.
func TestContextEnded(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	prepared, err := issuer.Prepare(t.Context(), minimal())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, try := range map[string]func() error{
		"Mint":          func() error { _, err := issuer.Mint(ctx, minimal()); return err },
		"Preview":       func() error { _, err := issuer.Preview(ctx, minimal()); return err },
		"Prepare":       func() error { _, err := issuer.Prepare(ctx, minimal()); return err },
		"Prepared.Mint": func() error { _, err := prepared.Mint(ctx); return err },
	} {
		if err := try(); !errors.Is(err, context.Canceled) || strings.Count(err.Error(), "oidctoken: ") != 1 {
			t.Errorf("%s: %v, want context.Canceled", name, err)
		}
	}
}
