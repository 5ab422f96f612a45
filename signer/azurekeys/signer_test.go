package azurekeys_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/azurekeys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// parts returns the fields of an error without its text.
func parts(t *testing.T, err error) signer.Error {
	t.Helper()
	var e *signer.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want a *signer.Error", err)
	}
	got := *e
	got.Err = nil
	return got
}

// patient waits for RSA keys of a stand-in on a busy machine.
func patient() *signer.Guard { return signer.NewGuard(signer.Limits{Timeout: time.Minute}) }

func newSigner(t *testing.T, s *standIn, v *version) *azurekeys.Signer {
	t.Helper()
	client := s.client(v.vault, s)
	got, err := azurekeys.New(t.Context(), client, v.kid(), patient())
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return got
}

// T06 T07
func TestSigner(t *testing.T) {
	for _, tt := range []struct {
		vault, kty, kind string
		algorithms       []string
	}{
		{vaultURL, "RSA", "2048", []string{"RS256", "RS384", "RS512"}},
		{hsmURL, "RSA-HSM", "3072", []string{"RS256"}},
		{vaultURL, "EC", "P-256", []string{"ES256"}},
		{hsmURL, "EC-HSM", "P-384", []string{"ES384"}},
		{vaultURL, "EC-HSM", "P-521", []string{"ES512"}},
	} {
		t.Run(tt.kty+" "+tt.kind, func(t *testing.T) {
			s := start(t)
			v := s.add(tt.vault, "Tokens-1", tt.kty, tt.kind, "sign", "verify")
			remote := newSigner(t, s, v)
			oidctokentest.TestSigner(t, func(*testing.T) oidctoken.Signer { return remote }, tt.algorithms...)
			if n := s.count("GetKey"); n != 1 {
				t.Errorf("the public key was fetched %d times", n)
			}
		})
	}
}

// A Signer is one of a version: after a rotation it signs with the same key.
func TestSignerIsPinned(t *testing.T) {
	s := start(t)
	old := s.add(vaultURL, "tokens", "EC", "P-256", "sign")
	remote := newSigner(t, s, old)
	s.add(vaultURL, "tokens", "EC", "P-256", "sign")
	mint(t, remote)
	want := old.key.(interface{ Public() crypto.PublicKey }).Public()
	if !remote.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(want) {
		t.Error("Public is another version's")
	}
}

// mint mints a token and verifies it with the published key.
func mint(t *testing.T, remote oidctoken.Signer) {
	t.Helper()
	issuer := must(oidctoken.NewIssuer(oidctoken.Config{URL: "https://ci.example.com", Keys: oidctoken.StaticKeys{{Signer: remote}}}))
	verified(t, issuer, "RS256", "ES256", "ES384", "ES512")
}

func verified(t *testing.T, issuer *oidctoken.Issuer, algorithms ...string) {
	t.Helper()
	token, err := issuer.Mint(t.Context(), oidctoken.Scope{
		Audience: "https://example.com", Account: oidctoken.Entity{ID: "acme"},
		Profile: &oidctoken.Profile{Algorithms: algorithms},
	})
	if err != nil {
		t.Fatalf("Mint: %v", err)
	}
	set := must(jose.ParseSet(must(issuer.JWKSet(t.Context()))))
	if _, err := set.Verify(token.JWT(), algorithms...); err != nil {
		t.Errorf("the published key does not verify the token: %v", err)
	}
}

// An identifier without a version is refused without a call.
func TestNewRefusesIdentifiers(t *testing.T) {
	s := start(t)
	client := s.client(vaultURL, s)
	version := strings.Repeat("0a", 16)
	for _, id := range []string{
		"", "tokens", vaultURL, vaultURL + "/", vaultURL + "/keys", vaultURL + "/keys/",
		vaultURL + "/keys/tokens", vaultURL + "/keys/tokens/", vaultURL + "/keys/tokens/latest",
		vaultURL + "/keys/tokens/" + version + "/", vaultURL + "/keys/tokens/" + version + "?a=b", vaultURL + "/keys/tokens/" + version + "#",
		vaultURL + "/secrets/tokens/" + version, vaultURL + "//keys/tokens/" + version, vaultURL + "/keys/to%6bens/" + version,
		vaultURL + "/keys/to_kens/" + version, vaultURL + "/keys//" + version, vaultURL + "/keys/" + strings.Repeat("a", 128) + "/" + version,
		"http://ci.vault.azure.net/keys/tokens/" + version, "https://user@ci.vault.azure.net/keys/tokens/" + version,
		"https:///keys/tokens/" + version, "https://[::1/keys/tokens/" + version, vaultURL + "/keys/tokens/" + version + strings.Repeat("a", 1024),
	} {
		_, err := azurekeys.New(t.Context(), client, id, nil)
		want := signer.Error{Service: "azurekeys", Op: "New", Kind: signer.Refused}
		if diff := cmp.Diff(want, parts(t, err)); diff != "" {
			t.Errorf("New(%q) (-want +got):\n%s", id, diff)
		}
	}
	if _, err := azurekeys.New(t.Context(), nil, vaultURL+"/keys/tokens/"+version, nil); parts(t, err).Kind != signer.Refused {
		t.Errorf("New without a client: %v", err)
	}
	if len(s.calls) != 0 {
		t.Errorf("the service was called: %v", s.calls)
	}
}

// The answer of GetKey is checked. T08
func TestNewChecksTheKey(t *testing.T) {
	jwk := func(edit func(jwk map[string]any)) func(map[string]any) {
		return func(answer map[string]any) { edit(answer["key"].(map[string]any)) }
	}
	attribute := func(name string, value any) func(map[string]any) {
		return func(answer map[string]any) { answer["attributes"].(map[string]any)[name] = value }
	}
	set := func(name string, value any) func(map[string]any) {
		return jwk(func(jwk map[string]any) { jwk[name] = value })
	}
	now := time.Now().Unix()
	rsaKey := func(n []byte, e []byte) func(map[string]any) {
		return jwk(func(jwk map[string]any) { jwk["kty"], jwk["n"], jwk["e"] = "RSA", binary(n), binary(e) })
	}
	odd := append([]byte{0xc0}, random(255)...)
	odd[255] |= 1
	for _, tt := range []struct {
		name string
		edit func(answer map[string]any)
		want signer.Kind
	}{
		{"disabled", attribute("enabled", false), signer.Gone},
		{"expired", attribute("exp", now-1), signer.Gone},
		{"not yet", attribute("nbf", now+3600), signer.Refused},
		{"for no signatures", set("key_ops", []string{"verify", "encrypt"}), signer.Refused},
		{"without key_ops", set("key_ops", nil), signer.Refused},
		{"key_ops null", set("key_ops", []any{nil}), signer.Refused},
		{"a symmetric key", set("kty", "oct-HSM"), signer.Refused},
		{"a curve of no JWS", set("crv", "P-256K"), signer.Refused},
		{"an RSA key that is short", rsaKey(odd[:128], []byte{1, 0, 1}), signer.Refused},
		{"an RSA key with an even exponent", rsaKey(odd, []byte{1, 0, 0}), signer.Refused},
		{"an RSA key without a modulus", rsaKey(nil, []byte{1, 0, 1}), signer.Malformed},
		{"an RSA key with a long exponent", rsaKey(odd, odd[:5]), signer.Malformed},
		{"no kty", set("kty", nil), signer.Malformed},
		{"no crv", set("crv", nil), signer.Malformed},
		{"another crv", set("crv", "P-384"), signer.Malformed},
		{"a short coordinate", set("x", binary(random(31))), signer.Malformed},
		{"a coordinate with zeros before it", jwk(func(jwk map[string]any) { jwk["y"] = append(binary{0}, jwk["y"].(binary)...) }), signer.Malformed},
		{"a point off the curve", jwk(func(jwk map[string]any) { jwk["y"] = jwk["x"] }), signer.Malformed},
		{"no attributes", func(answer map[string]any) { delete(answer, "attributes") }, signer.Malformed},
		{"no enabled", attribute("enabled", nil), signer.Malformed},
		{"no key", func(answer map[string]any) { delete(answer, "key") }, signer.Malformed},
		{"no kid", set("kid", nil), signer.Malformed},
		{"another version", set("kid", vaultURL+"/keys/tokens/"+strings.Repeat("b", 32)), signer.Malformed},
		{"another key", jwk(func(jwk map[string]any) { jwk["kid"] = strings.Replace(jwk["kid"].(string), "tokens", "others", 1) }), signer.Malformed},
		{"another vault", jwk(func(jwk map[string]any) { jwk["kid"] = strings.Replace(jwk["kid"].(string), "ci.", "eve.", 1) }), signer.Malformed},
		{"a kid that is no URL", set("kid", "x"), signer.Malformed},
		{"a coordinate that is not base64url", set("x", "+"), signer.Malformed},
		{"a key that is no object", func(answer map[string]any) { answer["key"] = 7 }, signer.Malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			v := s.add(vaultURL, "tokens", "EC", "P-256", "sign")
			s.edit = func(_ string, answer map[string]any) { tt.edit(answer) }
			_, err := azurekeys.New(t.Context(), s.client(vaultURL, s), v.kid(), nil)
			want := signer.Error{Service: "azurekeys", Op: "GetKey", Kind: tt.want}
			if diff := cmp.Diff(want, parts(t, err)); diff != "" {
				t.Errorf("New: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// A client of another vault has another key, or none, under the same name.
func TestNewOtherVault(t *testing.T) {
	s := start(t)
	v := s.add(vaultURL, "tokens", "EC", "P-256", "sign")
	_, err := azurekeys.New(t.Context(), s.client("https://other.vault.azure.net", s), v.kid(), nil)
	want := signer.Error{Service: "azurekeys", Op: "GetKey", Kind: signer.Gone, Code: "KeyNotFound"}
	if diff := cmp.Diff(want, parts(t, err)); diff != "" {
		t.Errorf("New (-want +got):\n%s", diff)
	}
}

// The answer of Sign is checked. T07
func TestSignChecksTheAnswer(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(answer map[string]any)
	}{
		{"no signature", func(a map[string]any) { delete(a, "value") }},
		{"an empty signature", func(a map[string]any) { a["value"] = "" }},
		{"null", func(a map[string]any) { a["value"] = nil }},
		{"a short signature", func(a map[string]any) { a["value"] = a["value"].(binary)[:63] }},
		{"a long signature", func(a map[string]any) { a["value"] = append(a["value"].(binary), 0) }},
		{"one of another curve", func(a map[string]any) { a["value"] = binary(random(96)) }},
		{"r is 0", func(a map[string]any) { clear(a["value"].(binary)[:32]) }},
		{"not base64url", func(a map[string]any) { a["value"] = "&" }},
		{"no text", func(a map[string]any) { a["value"] = map[string]any{} }},
		{"no kid", func(a map[string]any) { delete(a, "kid") }},
		{"another version", func(a map[string]any) { a["kid"] = vaultURL + "/keys/tokens/" + strings.Repeat("b", 32) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			remote := newSigner(t, s, s.add(vaultURL, "tokens", "EC", "P-256", "sign"))
			s.edit = func(_ string, answer map[string]any) { tt.edit(answer) }
			digest := sha256.Sum256(nil)
			got, err := remote.Sign(t.Context(), digest[:], crypto.SHA256)
			want := signer.Error{Service: "azurekeys", Op: "Sign", Kind: signer.Malformed}
			if diff := cmp.Diff(want, parts(t, err)); diff != "" || got != nil {
				t.Errorf("Sign: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// A digest that the key does not sign is never sent.
func TestSignRefuses(t *testing.T) {
	s := start(t)
	remote := newSigner(t, s, s.add(vaultURL, "tokens", "RSA", "2048", "sign"))
	for _, tt := range []struct {
		name   string
		digest int
		opts   crypto.SignerOpts
	}{
		{"PSS", 32, &rsa.PSSOptions{Hash: crypto.SHA256}},
		{"SHA-1", 20, crypto.SHA1},
		{"no hash", 32, crypto.Hash(0)},
		{"no opts", 32, nil},
		{"a short digest", 31, crypto.SHA256},
		{"an empty digest", 0, crypto.SHA256},
	} {
		_, err := remote.Sign(t.Context(), make([]byte, tt.digest), tt.opts)
		want := signer.Error{Service: "azurekeys", Op: "Sign", Kind: signer.Refused}
		if diff := cmp.Diff(want, parts(t, err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	if n := s.count("Sign"); n != 0 {
		t.Errorf("the service was asked %d times", n)
	}
}

// D08
func TestSignerFormat(t *testing.T) {
	s := start(t)
	v := s.add(vaultURL, "tokens", "EC", "P-256", "sign")
	remote := newSigner(t, s, v)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{remote, *remote} {
			if got, want := fmt.Sprintf(verb, value), "azurekeys.Signer("+v.kid()+")"; got != want {
				t.Errorf("%s: %s, want %s", verb, got, want)
			}
		}
	}
	//lint:ignore SA9005 an empty object is the expected result
	if got := string(must(json.Marshal(remote))); got != "{}" {
		t.Errorf("JSON: %s, want none of it", got)
	}
}
