package conformance_test

import (
	"encoding/base64"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// candidate is a token with the expectations of its relying party.
type candidate struct {
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	Issuer    string `json:"issuer"`
	Audience  string `json:"audience"`
	Token     string `json:"token"`

	subject string // of a good one; empty when it is to be refused
}

// verdict is a verifier's decision about a candidate.
type verdict struct {
	Subject string `json:"subject"` // if it was admitted
	Error   string `json:"error"`
}

// verifier is a library that verifies tokens. It is given only the issuer's
// URL, and finds the keys through the discovery document.
type verifier struct {
	name   string
	eddsa  bool // has EdDSA
	verify func(*testing.T, []candidate) (version string, verdicts []verdict)
}

// Foreign verifiers accept the issuer's tokens and refuse every changed one:
// T01 T03 T04 T05 T06 T09 T12 T13 P01 P02 P03 P04
func TestVerifiers(t *testing.T) {
	all := append(goVerifiers(), nodeVerifiers()...)
	all = append(all, pythonVerifiers()...)
	candidates := newCandidates(t)
	for _, v := range all {
		t.Run(v.name, func(t *testing.T) {
			given := make([]candidate, 0, len(candidates))
			for _, c := range candidates {
				if c.Algorithm != "EdDSA" || v.eddsa {
					given = append(given, c)
				}
			}
			version, verdicts := v.verify(t, given)
			if len(verdicts) != len(given) {
				t.Fatalf("%d verdicts on %d tokens", len(verdicts), len(given))
			}
			for i, c := range given {
				checkVerdict(t, c, verdicts[i])
			}
			row(t, v.name, version, strconv.Itoa(len(given))+" tokens, found the keys by discovery")
		})
	}
}

func checkVerdict(t *testing.T, c candidate, v verdict) {
	t.Helper()
	switch admitted := v.Error == ""; {
	case c.subject != "" && !admitted:
		t.Errorf("%s: refused: %s", c.Name, v.Error)
	case c.subject == "" && admitted:
		t.Errorf("%s: admitted", c.Name)
	case c.subject != v.Subject && admitted:
		t.Errorf("%s: the subject is %q, want %q", c.Name, v.Subject, c.subject)
	case admitted:
		t.Logf("%-40s admitted", c.Name)
	default:
		t.Logf("%-40s refused: %.90q", c.Name, v.Error)
	}
	if v.Error != "" && strings.Contains(v.Error, c.Token) {
		t.Errorf("%s: the error shows the token", c.Name)
	}
}

// newCandidates returns, for each algorithm and kind of issuer, a good token
// and tokens that resemble it.
func newCandidates(t *testing.T) []candidate {
	var candidates []candidate
	for _, kind := range []struct{ name, path string }{
		{"issuer", ""},
		{"an account's issuer", "/{account_id}"},
	} {
		now := time.Now
		keys := oidctoken.StaticKeys{
			oidctokentest.NewKey(t, "RS256"), oidctokentest.NewKey(t, "ES256"), oidctokentest.NewKey(t, "EdDSA"),
		}
		var config oidctoken.Config
		served := oidctokentest.NewIssuer(t, func(c *oidctoken.Config) {
			c.URL += kind.path
			c.Keys, c.Now = keys, now
			config = *c
		})
		config.Now = func() time.Time { return now().Add(-2 * time.Hour) }
		past := unserved(t, config)
		config.Now = now
		config.Keys = oidctoken.StaticKeys{
			oidctokentest.NewKey(t, "RS256"), oidctokentest.NewKey(t, "ES256"), oidctokentest.NewKey(t, "EdDSA"),
		}
		impostor := unserved(t, config)
		url := strings.ReplaceAll(config.URL, "{account_id}", "acme")
		for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
			add := func(name, subject, token string) {
				candidates = append(candidates, candidate{
					Name:      algorithm + " of " + kind.name + ": " + name,
					Algorithm: algorithm, Issuer: url, Audience: audience, Token: token, subject: subject,
				})
			}
			good := mint(t, served.Issuer, algorithm, audience).JWT()
			add("good", "account/acme:org/payments:project/ledger", good)
			add("claims changed", "", withClaims(t, good, `"sub":"account/acme`, `"sub":"account/evil`))
			add("signature changed", "", withSignature(t, good))
			add("no signature", "", withoutSignature(good))
			add("another audience", "", mint(t, served.Issuer, algorithm, "https://other.example.com").JWT())
			add("expired", "", mint(t, past, algorithm, audience).JWT())
			add("keys of another", "", mint(t, impostor, algorithm, audience).JWT())
		}
	}
	return candidates
}

const audience = "https://api.example.com"

func unserved(t *testing.T, c oidctoken.Config) *oidctoken.Issuer {
	t.Helper()
	issuer, err := oidctoken.NewIssuer(c)
	if err != nil {
		t.Fatal(err)
	}
	return issuer
}

func mint(t *testing.T, issuer *oidctoken.Issuer, algorithm, audience string) *oidctoken.Token {
	t.Helper()
	isFork := false
	token, err := issuer.Mint(t.Context(), oidctoken.Scope{
		Audience:     audience,
		Profile:      &oidctoken.Profile{Algorithms: []string{algorithm}, NullUnknown: true},
		Account:      oidctoken.Entity{ID: "acme", UID: "Gx3_vA0TQOCb4"},
		Organization: oidctoken.Entity{ID: "payments"},
		Project:      oidctoken.Entity{ID: "ledger"},
		Pipeline:     &oidctoken.Pipeline{ID: "release", Ref: "refs/heads/größer", SHA: strings.Repeat("4f", 20)},
		Execution:    &oidctoken.Execution{ID: "run-4711", Sequence: "42"},
		Source:       &oidctoken.Source{Repository: "acme/ledger", IsFork: &isFork},
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// withClaims returns jwt with one thing in its claims replaced.
func withClaims(t *testing.T, jwt, old, replacement string) string {
	t.Helper()
	parts := strings.Split(jwt, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(claims), old, replacement, 1)
	if changed == string(claims) {
		t.Fatalf("the claims have no %s", old)
	}
	return parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(changed)) + "." + parts[2]
}

// withSignature returns jwt with one bit of its signature flipped.
func withSignature(t *testing.T, jwt string) string {
	t.Helper()
	head, signature, _ := cutLast(jwt, ".")
	bytes, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	bytes[len(bytes)/2] ^= 1
	return head + "." + base64.RawURLEncoding.EncodeToString(bytes)
}

// withoutSignature returns jwt as an attacker would present it to a verifier that
// believes the header (RFC 8725, section 2.1).
func withoutSignature(jwt string) string {
	parts := strings.Split(jwt, ".")
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
