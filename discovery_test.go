package oidctoken_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

// get sends a request for target to issuer.
func get(issuer *oidctoken.Issuer, method, target string, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	issuer.ServeHTTP(w, r)
	return w.Result()
}

func body(t testing.TB, r *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const (
	discovery = "/.well-known/openid-configuration"
	jwks      = "/.well-known/jwks.json"
)

// allAlgorithms returns a key of each type.
func allAlgorithms() oidctoken.StaticKeys {
	return oidctoken.StaticKeys{
		{Signer: memory(rsaKey())}, {Signer: memory(p256Key())}, {Signer: memory(p384Key())},
		{Signer: memory(p521Key())}, {Signer: memory(edKey())}, {Signer: memory(otherEd()), ID: "other"},
	}
}

// P01, P02, P03
func TestDiscoveryDocument(t *testing.T) {
	claims := []any{"iss", "sub", "aud", "iat", "nbf", "exp", "jti"}
	for _, row := range oidctoken.ClaimTable() {
		claims = append(claims, row.Name)
	}
	for _, tt := range []struct{ url, path, issuer string }{
		{"https://tokens.example.com", "", "https://tokens.example.com"},
		{"https://tokens.example.com:8443/a/b", "/a/b", "https://tokens.example.com:8443/a/b"},
		{"https://tokens.example.com/{account_id}", "/acme", "https://tokens.example.com/acme"},
		{"https://tokens.example.com/t/{account_id}/oidc", "/t/_Acme9/oidc", "https://tokens.example.com/t/_Acme9/oidc"},
	} {
		issuer := newIssuer(t, oidctoken.Config{URL: tt.url, Keys: allAlgorithms()})
		// A proxy or an attacker sets the Host of the request.
		response := get(issuer, "GET", "http://attacker.example"+tt.path+discovery, "X-Forwarded-Host", "attacker.example")
		if response.StatusCode != 200 || response.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s, %v", tt.url, response.Status, response.Header)
		}
		want := map[string]any{
			"issuer":                                tt.issuer,
			"jwks_uri":                              tt.issuer + jwks,
			"response_types_supported":              []any{"id_token"},
			"subject_types_supported":               []any{"public"},
			"id_token_signing_alg_values_supported": []any{"ES256", "ES384", "ES512", "EdDSA", "RS256"},
			"claims_supported":                      claims,
		}
		if diff := cmp.Diff(want, object(t, []byte(body(t, response)))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.url, diff)
		}
		// Following jwks_uri gives the JWK Set.
		set := get(issuer, "GET", strings.Replace(tt.issuer, "tokens.example.com", "other.example", 1)+jwks)
		if diff := cmp.Diff(string(must(issuer.JWKSet(t.Context()))), body(t, set)); diff != "" || set.StatusCode != 200 {
			t.Errorf("%s: %s (-JWKSet +served):\n%s", tt.url, set.Status, diff)
		}
	}
}

// The issuer of an account's discovery document is the "iss" of its tokens.
func TestDiscoveryMatchesTokens(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{URL: "https://tokens.example.com/t/{account_id}"})
	for _, account := range []string{"acme", "other_2"} {
		s := minimal()
		s.Account.ID = account
		iss := payloadOf(t, mint(t, issuer, s))["iss"].(string)
		document := object(t, []byte(body(t, get(issuer, "GET", iss+discovery))))
		if document["issuer"] != iss {
			t.Errorf("iss = %q, but the document has %v", iss, document["issuer"])
		}
	}
}

// P04, P05, P07, T02, T04
func TestJWKSet(t *testing.T) {
	keys := allAlgorithms()
	issuer := newIssuer(t, oidctoken.Config{Keys: keys})
	document := object(t, must(issuer.JWKSet(t.Context())))
	var want []any
	number := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	coordinates := func(key crypto.PublicKey) (x, y string) {
		point := must(key.(*ecdsa.PublicKey).ECDH()).Bytes()[1:] // 4 || x || y
		return number(point[:len(point)/2]), number(point[len(point)/2:])
	}
	rsaPublic := rsaKey().Public().(*rsa.PublicKey)
	want = append(want, map[string]any{"kty": "RSA", "alg": "RS256", "n": number(rsaPublic.N.Bytes()), "e": "AQAB"})
	for _, ec := range []struct {
		key      func() crypto.Signer
		crv, alg string
	}{{p256Key, "P-256", "ES256"}, {p384Key, "P-384", "ES384"}, {p521Key, "P-521", "ES512"}} {
		x, y := coordinates(ec.key().Public())
		want = append(want, map[string]any{"kty": "EC", "alg": ec.alg, "crv": ec.crv, "x": x, "y": y})
	}
	for _, key := range []func() crypto.Signer{edKey, otherEd} {
		want = append(want, map[string]any{"kty": "OKP", "alg": "EdDSA", "crv": "Ed25519", "x": number(publicBytes(key()))})
	}
	for i, k := range want {
		k := k.(map[string]any)
		k["use"], k["kid"] = "sig", thumbprintOf(t, keys[i].Signer.Public())
		if keys[i].ID != "" {
			k["kid"] = keys[i].ID
		}
	}
	byKid := func(a, b any) int {
		return strings.Compare(a.(map[string]any)["kid"].(string), b.(map[string]any)["kid"].(string))
	}
	got := document["keys"].([]any)
	slices.SortFunc(got, byKid)
	slices.SortFunc(want, byKid)
	// Compare all members, so that there is no d, p, q, dp, dq, qi, oth or k.
	if diff := cmp.Diff(map[string]any{"keys": want}, document); diff != "" {
		t.Errorf("JWK Set (-want +got):\n%s", diff)
	}
	first, second := must(issuer.JWKSet(t.Context())), must(issuer.JWKSet(t.Context()))
	clear(first)
	if string(second) == string(first) || get(issuer, "GET", jwks).ContentLength != int64(len(second)) {
		t.Error("JWKSet returns shared bytes")
	}
}

// P07: a coordinate that begins with a zero byte keeps that byte.
func TestFullWidthCoordinates(t *testing.T) {
	for {
		key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		point := must(key.PublicKey.ECDH()).Bytes()
		if point[1] != 0 {
			continue // one key of 256 has such a coordinate
		}
		issuer := newIssuer(t, oidctoken.Config{Keys: oidctoken.StaticKeys{{Signer: memory(key)}}})
		jwk := object(t, must(issuer.JWKSet(t.Context())))["keys"].([]any)[0].(map[string]any)
		x := must(base64.RawURLEncoding.DecodeString(jwk["x"].(string)))
		if diff := cmp.Diff(point[1:33], x); diff != "" {
			t.Errorf("x (-want +got):\n%s", diff)
		}
		return
	}
}

// The set has all keys that have not expired, including keys that begin later.
func TestPublishedKeys(t *testing.T) {
	keys := oidctoken.StaticKeys{
		{ID: "old", Signer: memory(edKey()), NotAfter: noon.Add(-time.Hour), Expires: noon},
		{ID: "current", Signer: memory(p256Key()), Expires: noon.Add(time.Hour)},
		{ID: "next", Signer: memory(rsaKey()), NotBefore: noon.Add(24 * time.Hour)},
	}
	now := noon
	issuer := newIssuer(t, oidctoken.Config{Keys: keys, Now: func() time.Time { return now }})
	for _, tt := range []struct {
		at   time.Duration
		want string
		algs string
	}{
		{-1, "current next old", "ES256 EdDSA RS256"},
		{0, "current next", "ES256 RS256"},
		{time.Hour - 1, "current next", "ES256 RS256"},
		{time.Hour, "next", "RS256"},
		{100 * time.Hour, "next", "RS256"},
		{-1, "current next old", "ES256 EdDSA RS256"}, // a clock that was set back
	} {
		now = noon.Add(tt.at)
		var kids []string
		for _, k := range object(t, must(issuer.JWKSet(t.Context())))["keys"].([]any) {
			kids = append(kids, k.(map[string]any)["kid"].(string))
		}
		slices.Sort(kids)
		var algs []string
		for _, a := range object(t, []byte(body(t, get(issuer, "GET", discovery))))["id_token_signing_alg_values_supported"].([]any) {
			algs = append(algs, a.(string))
		}
		if got := strings.Join(kids, " "); got != tt.want {
			t.Errorf("at noon%+v, the keys are %s, want %s", tt.at, got, tt.want)
		}
		if got := strings.Join(algs, " "); got != tt.algs {
			t.Errorf("at noon%+v, the algorithms are %s, want %s", tt.at, got, tt.algs)
		}
	}
}

// P05: the response is 503 instead of an empty set.
func TestNoKeyToPublish(t *testing.T) {
	var failure error
	keys := oidctoken.StaticKeys{{Signer: memory(edKey()), Expires: noon}}
	now := noon.Add(-time.Hour)
	issuer := newIssuer(t, oidctoken.Config{
		Keys: keysFunc(func(context.Context) ([]oidctoken.Key, error) { return keys, failure }),
		Now:  func() time.Time { return now },
	})
	check := func(t *testing.T) {
		for _, path := range []string{discovery, jwks} {
			response := get(issuer, "GET", path)
			if response.StatusCode != 503 || response.Header.Get("Cache-Control") != "no-store" || response.Header.Get("Retry-After") != "10" || response.Header.Get("Etag") != "" {
				t.Errorf("%s: %s, %v", path, response.Status, response.Header)
			}
			if text := body(t, response); text != "the keys are not available\n" {
				t.Errorf("%s: body %q", path, text)
			}
		}
		if set, err := issuer.JWKSet(t.Context()); set != nil || !errors.Is(err, oidctoken.ErrNoKey) || !strings.HasPrefix(err.Error(), "oidctoken: JWK Set: ") {
			t.Errorf("JWKSet: %s, %v; want ErrNoKey", set, err)
		}
	}
	t.Run("a source that fails", func(t *testing.T) {
		failure = errors.New("postgres://user:s3cr3t@db is away")
		defer func() { failure = nil }()
		check(t)
	})
	if got := get(issuer, "GET", jwks).StatusCode; got != 200 {
		t.Errorf("after the failure: status %d", got)
	}
	t.Run("all keys expired", func(t *testing.T) {
		now = noon
		check(t)
	})
}
