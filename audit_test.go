package oidctoken_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

// leaks reports whether text contains the token, or 12 consecutive bytes of its
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
		t.Errorf("Prepare called Audit with %v", r.events)
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
				t.Errorf("the event has the claims %s, the token has %s", claims, payload)
			}
			for _, text := range []string{fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e), fmt.Sprint(&e), string(must(json.Marshal(e)))} {
				if leaks(t, text, token.JWT()) {
					t.Errorf("the event reveals the token: %s", text)
				}
			}
			if !leaks(t, "x"+token.JWT()[len(token.JWT())-16:], token.JWT()) {
				t.Error("leaks does not find the token in its own text")
			}
		})
	}
}

// Mint calls Audit for each refusal, with the error that it returns.
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

// Preview calls neither Allow, Keys nor Audit.
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
		t.Errorf("Allow and Keys were called %d times, Audit was called %d times", asked, len(r.events))
	}
}

// logged returns e as the JSON handler of log/slog writes it.
func logged(t *testing.T, e any) string {
	t.Helper()
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("mint", "event", e)
	var line struct {
		Event json.RawMessage `json:"event"`
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	return string(line.Event)
}

// JSON logs show refusals of every kind, and tokens.
func TestEventInLogs(t *testing.T) {
	var r recorder
	issuer := newIssuer(t, oidctoken.Config{Audit: r.audit})
	token := mint(t, issuer, minimal())
	minted := r.only(t)
	minted.Took = 1500 * time.Millisecond
	scope := strings.Replace(string(must(json.Marshal(minimal()))), `"Profile":null,`, "", 1)
	claims := string(must(minted.Claims.MarshalJSON()))
	short := minimal()
	short.Profile = &oidctoken.Profile{Lifetime: 90 * time.Second, Claims: func(*oidctoken.Claims) (map[string]any, error) { return nil, nil }}
	for _, tt := range []struct {
		name  string
		event oidctoken.Event
		want  string
	}{
		{"a token", minted, `{"Time":"2026-03-01T12:00:00Z","Scope":` + scope + `,"Claims":` + claims +
			`,"ID":"` + token.ID() + `","KeyID":"` + token.KeyID() + `","Expires":"` + token.Expires().Format(time.RFC3339) + `","Took":"1.5s"}`},
		{"a refusal", oidctoken.Event{Time: noon, Scope: minimal(), Err: fmt.Errorf("oidctoken: mint: %w: no forks", oidctoken.ErrDenied)},
			`{"Time":"2026-03-01T12:00:00Z","Scope":` + scope + `,"Err":"oidctoken: mint: denied by policy: no forks"}`},
		{"claims that were left out", oidctoken.Event{Scope: minimal(), Omitted: []string{"matrix", "head_ref"}}, `{"Scope":` + scope + `,"Omitted":["matrix","head_ref"]}`},
		{"a typed error", oidctoken.Event{Scope: minimal(), Err: &oidctoken.ScopeError{Field: "Audience", Reason: "is required"}},
			`{"Scope":` + scope + `,"Err":"oidctoken: scope: Audience is required"}`},
		{"several errors", oidctoken.Event{Scope: minimal(), Err: errors.Join(errors.New("a"), errors.New("b"))},
			`{"Scope":` + scope + `,"Err":"a\nb"}`},
		{"a profile", oidctoken.Event{Scope: short}, `{"Scope":` + strings.TrimSuffix(scope, "}") +
			`,"Profile":{"Subject":"","MaxSubject":0,"ShortenLifetime":false,"Algorithms":null,"NullUnknown":false,"Lifetime":"1m30s"}}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for form, got := range map[string]string{
				"json.Marshal":              string(must(json.Marshal(tt.event))),
				"json.Marshal of a pointer": string(must(json.Marshal(&tt.event))),
				"slog":                      logged(t, tt.event),
				"slog of a pointer":         logged(t, &tt.event),
			} {
				if diff := cmp.Diff(tt.want, strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(got)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", form, diff)
				}
				if leaks(t, got, token.JWT()) {
					t.Errorf("%s reveals the token: %s", form, got)
				}
			}
		})
	}
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("mint", "event", minted)
	if text := out.String(); !strings.Contains(text, "event.Took=1.5s") || !strings.Contains(text, `\"account_id\":\"acme\"`) || leaks(t, text, token.JWT()) {
		t.Errorf("the text handler wrote %s", text)
	}
}
