package oidctoken_test

import (
	"bytes"
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

// logged is e as the JSON handler of log/slog writes it.
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

// A refusal is readable in JSON logs, whatever its kind, and so is a token.
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
