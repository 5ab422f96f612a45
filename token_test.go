package oidctoken_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jose"
)

// renderings returns v in every form in which a program may write it. If an encoder refuses
// v, the form is its error.
func renderings(v any) map[string]string {
	r := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%T %[1]v", "%8.3s", "%w"} {
		r[verb] = fmt.Sprintf(verb, v)
	}
	r["Errorf"] = fmt.Errorf("refused: %v", v).Error()
	r["Println"] = fmt.Sprintln(v, []any{v}, map[string]any{"k": v}, struct{ V any }{v})
	encoders := map[string]func(*bytes.Buffer) error{
		"json": func(b *bytes.Buffer) error { return json.NewEncoder(b).Encode(v) },
		"xml":  func(b *bytes.Buffer) error { return xml.NewEncoder(b).Encode(v) },
		"gob":  func(b *bytes.Buffer) error { return gob.NewEncoder(b).Encode(v) },
		"slog text": func(b *bytes.Buffer) error {
			slog.New(slog.NewTextHandler(b, nil)).Info("m", "v", v, "in", []any{v}, slog.Group("g", "v", v))
			return nil
		},
		"slog json": func(b *bytes.Buffer) error {
			slog.New(slog.NewJSONHandler(b, nil)).Info("m", "v", v, "in", []any{v}, slog.Group("g", "v", v))
			return nil
		},
	}
	for name, encode := range encoders {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			fmt.Fprintf(&b, " error: %v", err)
		}
		r[name] = b.String()
	}
	return r
}

// T05, D08: a token shows only its ID, inside every other value, too.
func TestTokenDoesNotPrint(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	token := mint(t, issuer, full())
	name := "jwt:" + token.ID()
	type holder struct {
		Token   *oidctoken.Token
		Value   oidctoken.Token
		private oidctoken.Token
		pointer *oidctoken.Token
		list    []oidctoken.Token
	}
	for kind, v := range map[string]any{
		"pointer": token,
		"value":   *token,
		"slice":   []*oidctoken.Token{token},
		"map":     map[string]oidctoken.Token{"k": *token},
		"holder":  holder{token, *token, *token, token, []oidctoken.Token{*token}},
		"channel": func() any { c := make(chan *oidctoken.Token, 1); c <- token; return c }(),
		"issuer":  issuer,
	} {
		for how, text := range renderings(v) {
			if leaks(t, text, token.JWT()) || strings.Contains(text, token.JWT()[:40]) {
				t.Errorf("%s by %s reveals the token: %s", kind, how, text)
			}
			whole := kind == "pointer" || kind == "value"
			if whole && how != "gob" && how != "%w" && !strings.Contains(text, name) {
				t.Errorf("%s by %s is %q, want it to contain %q", kind, how, text, name)
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%50s"} {
		if got := fmt.Sprintf(verb, token); got != name {
			t.Errorf("%s is %q, want %q", verb, got, name)
		}
	}
	if got := token.LogValue().String(); got != name {
		t.Errorf("LogValue is %q, want %q", got, name)
	}
}

// T03, T04, T19
func TestHeader(t *testing.T) {
	for alg, key := range keyFor {
		t.Run(alg, func(t *testing.T) {
			issuer := issuerFor(t, alg)
			token := mint(t, issuer, full())
			header, _, _, _ := parts(t, token.JWT())
			thumbprint, err := jose.Thumbprint(key().Public())
			if err != nil {
				t.Fatal(err)
			}
			// Compare with the text, so that the header has only these members in this order.
			want := `{"alg":"` + alg + `","kid":"` + thumbprint + `","typ":"JWT"}`
			if string(header) != want {
				t.Errorf("header %s, want %s", header, want)
			}
			if token.KeyID() != thumbprint {
				t.Errorf("KeyID = %q, want the thumbprint %q", token.KeyID(), thumbprint)
			}
		})
	}
}

// T05
func TestCompactSerialization(t *testing.T) {
	form := regexp.MustCompile(`\A[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\z`)
	// Payloads of three consecutive lengths have all possible numbers of unused bits.
	for _, account := range []string{"a", "ab", "abc"} {
		s := minimal()
		s.Account.ID = account
		for alg := range keyFor {
			jwt := mint(t, issuerFor(t, alg), s).JWT()
			if !form.MatchString(jwt) {
				t.Errorf("%s: %q is not in the compact serialization", alg, jwt)
			}
			parts(t, jwt) // decodes strictly
		}
	}
}

// T16
func TestIDs(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{}) // its clock does not move
	prepared, err := issuer.Prepare(t.Context(), minimal())
	if err != nil {
		t.Fatal(err)
	}
	const n = 10_000
	seen := make(map[string]bool, n)
	var ones [128]int
	for i := range n {
		token := must(prepared.Mint(t.Context()))
		if i%2 == 0 {
			token = mint(t, issuer, minimal())
		}
		id, err := base64.RawURLEncoding.Strict().DecodeString(token.ID())
		if err != nil || len(id) != 16 {
			t.Fatalf("jti %q is not 16 bytes: %v", token.ID(), err)
		}
		seen[token.ID()] = true
		for bit := range ones {
			ones[bit] += int(id[bit/8] >> (bit % 8) & 1)
		}
	}
	if len(seen) != n {
		t.Errorf("%d tokens have %d ids", n, len(seen))
	}
	// Each bit is set with probability 1/2: 50 is a deviation of 10 sigma.
	for bit, count := range ones {
		if count < n/2-500 || count > n/2+500 {
			t.Errorf("bit %d is set in %d of %d ids", bit, count, n)
		}
	}
}
