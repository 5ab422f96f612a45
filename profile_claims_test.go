package oidctoken_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

// making returns a profile whose Claims function returns claims and err.
func making(claims map[string]any, err error) *oidctoken.Profile {
	return &oidctoken.Profile{
		Algorithms: []string{"EdDSA"},
		Claims:     func(*oidctoken.Claims) (map[string]any, error) { return claims, err },
	}
}

// T18
func TestProfileClaimsRefused(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{ExtraPrefix: "acme_"})
	for _, tt := range []struct {
		name          string
		claims        map[string]any
		err           error
		field, reason string
	}{
		{"a failing hook", nil, errors.New("no role"), "Profile.Claims", "failed: no role"},
		{"a name of Extra", map[string]any{"acme_cell": 8}, nil, `Profile.Claims["acme_cell"]`, "is also a name in Extra"},
		{"no name", map[string]any{"": 8}, nil, `Profile.Claims[""]`, "is not a claim's name: 1 to 256 bytes of printable ASCII"},
		{"a function", map[string]any{"f": func() {}}, nil, `Profile.Claims["f"]`, "cannot be encoded: json: unsupported type: func()"},
		{"no number", map[string]any{"f": math.NaN()}, nil, `Profile.Claims["f"]`, "cannot be encoded: json: unsupported value: NaN"},
	} {
		s := minimal()
		s.Extra = map[string]string{"acme_cell": "7"}
		s.Profile = making(tt.claims, tt.err)
		_, err := issuer.Mint(t.Context(), s)
		if diff := cmp.Diff(&oidctoken.ScopeError{Field: tt.field, Reason: tt.reason}, scopeError(err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// Profile.Claims gets the claims of the token, including Extra, as a copy.
func TestProfileClaimsHook(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{ExtraPrefix: "acme_"})
	var calls int
	var seen []byte
	s := inStage("deployment")
	s.Extra = map[string]string{"acme_cell": "7"}
	s.Profile = &oidctoken.Profile{
		Algorithms: []string{"EdDSA"},
		Claims: func(c *oidctoken.Claims) (map[string]any, error) {
			calls++
			seen, _ = c.MarshalJSON()
			project, _ := c.Get("project_id")
			return map[string]any{"tags": map[string]any{"project_id": []string{project}}}, nil
		},
	}
	token := mint(t, issuer, s)
	want := object(t, seen)
	want["tags"] = map[string]any{"project_id": []any{"ledger"}}
	got := payloadOf(t, token)
	for _, name := range []string{"iat", "nbf", "exp", "jti"} {
		delete(got, name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("payload (-claims of the hook +got):\n%s", diff)
	}
	if calls != 1 {
		t.Errorf("the hook was called %d times for a token", calls)
	}

	calls = 0
	prepared, err := issuer.Prepare(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := prepared.Mint(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if calls != 1 {
		t.Errorf("the hook was called %d times for a Prepared", calls)
	}
}

// textKey and jsonValue encode themselves, as types of a host may do.
type (
	textKey   struct{ text string }
	jsonValue string
)

func (k textKey) MarshalText() ([]byte, error) { return []byte(strings.TrimSuffix(k.text, "!")), nil }

func (v jsonValue) MarshalJSON() ([]byte, error) { return []byte(v), nil }

// T17, T18: two different values are never encoded the same, and no object has a name twice,
// at any depth and for all types.
func TestProfileClaimsAreStrict(t *testing.T) {
	const (
		notUTF8  = "is not valid UTF-8"
		replaced = `is not valid UTF-8, or has the escape \ufffd, which stands for that`
		half     = "has half of a surrogate pair"
		twice    = "has a member name twice"
	)
	deep := func(n int) any {
		var v any = "x"
		for range n {
			v = []any{v}
		}
		return v
	}
	issuer := newIssuer(t, oidctoken.Config{})
	for _, tt := range []struct {
		name  string
		value any
		want  string
	}{
		{"text", "a\xff", replaced},
		{"another text", "a\xfe", replaced},
		{"text of a surrogate", "\xed\xa0\x80", replaced},
		{"cut-off text", "é"[:1], replaced},
		{"in a list", []string{"a", "\xff"}, replaced},
		{"in a map", map[string]string{"a": "\xff"}, replaced},
		{"a key of a map", map[string]string{"\xff": "a"}, replaced},
		{"two keys of a map", map[string]string{"\xff": "a", "\xfe": "b"}, replaced},
		{"in a struct", struct{ A *struct{ B any } }{&struct{ B any }{"\xff"}}, replaced},
		{"of MarshalText", textKey{"\xff"}, replaced},
		{"raw text", json.RawMessage("\"\xff\""), notUTF8},
		{"raw name", map[string]any{"a": json.RawMessage("{\"\xff\":1}")}, notUTF8},
		{"raw escape of a replacement", json.RawMessage(`"\ufffd"`), replaced},
		{"raw half of a pair", json.RawMessage(`["\ud800"]`), half},
		{"raw half in a name", json.RawMessage(`{"\udc00":1}`), half},
		{"of MarshalJSON", jsonValue("\"\xff\""), notUTF8},
		{"name twice", json.RawMessage(`{"a":1,"a":2}`), twice},
		{"name twice, escaped", json.RawMessage(`{"a":1,"\u0061":2}`), twice},
		{"name twice, nested", map[string]any{"x": []any{json.RawMessage(`{"y":{"a":1,"b":2,"a":3}}`)}}, twice},
		{"name twice, of MarshalJSON", []any{jsonValue(`{"a":1,"a":1}`)}, twice},
		{"name twice, of MarshalText", map[textKey]int{{"a"}: 1, {"a!"}: 2}, twice},
		{"65 levels", deep(65), "is nested deeper than 64 levels"},
		{"64 levels", deep(64), ""},
		{"U+FFFD", map[string]string{"\uFFFD": "\uFFFD"}, ""},
		{"raw U+FFFD", json.RawMessage(`{"` + "\uFFFD" + `":"\\ufffd"}`), ""},
		{"raw pair", json.RawMessage(`"\ud83d\ude00"`), ""},
		{"names in another letter case", json.RawMessage(`{"a":1,"A":2}`), ""},
		{"HTML", `<a href="&">`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := minimal()
			s.Profile = making(map[string]any{"acme": tt.value}, nil)
			prepared, errPrepare := issuer.Prepare(t.Context(), s)
			_, errPreview := issuer.Preview(t.Context(), s)
			token, err := issuer.Mint(t.Context(), s)
			if tt.want == "" {
				if err != nil || errPrepare != nil || errPreview != nil || prepared == nil {
					t.Errorf("Mint, Prepare, Preview: %v, %v, %v", err, errPrepare, errPreview)
				}
				return
			}
			for name, err := range map[string]error{"Mint": err, "Prepare": errPrepare, "Preview": errPreview} {
				if diff := cmp.Diff(&oidctoken.ScopeError{Field: `Profile.Claims["acme"]`, Reason: tt.want}, scopeError(err)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			if token != nil {
				t.Errorf("Mint returned a token: %v", token)
			}
		})
	}
}
