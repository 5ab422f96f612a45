package gcp_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwk renders a public key by hand, so that what JWKSet reads was not written
// by the library that checks it.
func jwk(t testing.TB, key crypto.PublicKey, kid, alg string) map[string]any {
	t.Helper()
	members := map[string]any{"kid": kid, "alg": alg, "use": "sig"}
	switch k := key.(type) {
	case *rsa.PublicKey:
		members["kty"], members["n"], members["e"] = "RSA", b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // 4, x, y
		if err != nil {
			t.Fatal(err)
		}
		n := len(point) / 2
		members["kty"], members["crv"] = "EC", k.Params().Name
		members["x"], members["y"] = b64(point[1:1+n]), b64(point[1+n:])
	case ed25519.PublicKey:
		members["kty"], members["crv"], members["x"] = "OKP", "Ed25519", b64(k)
	default:
		t.Fatalf("a key of type %T", key)
	}
	return members
}

// must is for what only fails when the machine has no entropy.
func must[K any](key K, err error) K {
	if err != nil {
		panic(err)
	}
	return key
}

type testKeys struct{ rsa, p256, p256b, p384, ed map[string]any }

func newTestKeys(t testing.TB) testKeys {
	t.Helper()
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	return testKeys{
		rsa:   jwk(t, must(rsa.GenerateKey(rand.Reader, 2048)).Public(), "r", "RS256"),
		p256:  jwk(t, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).Public(), "e", "ES256"),
		p256b: jwk(t, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).Public(), "f", "ES256"),
		p384:  jwk(t, must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)).Public(), "g", "ES384"),
		ed:    jwk(t, must(ed, err), "h", "EdDSA"),
	}
}

func jwkSet(t testing.TB, members map[string]any, keys ...map[string]any) []byte {
	t.Helper()
	b, err := json.Marshal(cloudtest.Merge(map[string]any{"keys": keys}, members))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// with returns key with changes; nil removes.
func with(key, changes map[string]any) map[string]any {
	return cloudtest.Merge(cloudtest.Merge(map[string]any{}, key), changes)
}

func TestJWKSet(t *testing.T) {
	k := newTestKeys(t)
	for _, tt := range []struct {
		name       string
		give, want []byte
	}{
		{"as it is", jwkSet(t, nil, k.rsa, k.p256), jwkSet(t, nil, k.rsa, k.p256)},
		{"other order", jwkSet(t, nil, k.p256b, k.rsa, k.p256), jwkSet(t, nil, k.p256b, k.rsa, k.p256)},
		{
			"members that Google refuses",
			jwkSet(t, map[string]any{"x": 1}, with(k.rsa, map[string]any{"x5c": []string{"MII"}, "x5t": "a", "key_ops": []string{"verify"}, "exp": 1}),
				with(k.p256, map[string]any{"iat": 1, "KID": "shadow", "Alg": "none"})),
			jwkSet(t, nil, k.rsa, k.p256),
		},
		{"other algorithms", jwkSet(t, nil, k.p384, k.ed, k.p256, with(k.rsa, map[string]any{"alg": "PS256"})), jwkSet(t, nil, k.p256)},
		{"no alg", jwkSet(t, nil, with(k.rsa, map[string]any{"alg": nil}), k.p256), jwkSet(t, nil, k.p256)},
		{"encryption", jwkSet(t, nil, with(k.rsa, map[string]any{"use": "enc"}), k.p256), jwkSet(t, nil, k.p256)},
		{"no use", jwkSet(t, nil, with(k.rsa, map[string]any{"use": nil})), jwkSet(t, nil, with(k.rsa, map[string]any{"use": nil}))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := gcp.JWKSet(tt.give)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decode(t, tt.want), decode(t, got)); diff != "" {
				t.Errorf("JWKSet (-want +got):\n%s", diff)
			}
		})
	}
}

// P04
func TestJWKSetRefuses(t *testing.T) {
	k := newTestKeys(t)
	small := jwk(t, must(smallKey()).Public(), "s", "RS256")
	const (
		notPublic = "is not a public key: do not publish it"
		notValid  = "is not a valid public key for its alg"
		notKid    = "is missing, or another key's"
	)
	for _, tt := range []struct {
		name string
		give []byte
		want oidctoken.ConfigError
	}{
		{"nothing", nil, oidctoken.ConfigError{Package: "gcp", Field: "document", Reason: "is not a JWK Set"}},
		{"a key", jwkSet(t, map[string]any{"keys": nil}), oidctoken.ConfigError{Package: "gcp", Field: "document", Reason: "is not a JWK Set"}},
		{"null", []byte(`{"keys":null}`), oidctoken.ConfigError{Package: "gcp", Field: "document", Reason: "is not a JWK Set"}},
		{"keys are numbers", []byte(`{"keys":[1]}`), oidctoken.ConfigError{Package: "gcp", Field: "document", Reason: "is not a JWK Set"}},
		{"two documents", []byte(`{"keys":[]}{}`), oidctoken.ConfigError{Package: "gcp", Field: "document", Reason: "is not a JWK Set"}},
		{"too long", []byte(`{"keys":[]}` + strings.Repeat(" ", 256<<10)), oidctoken.ConfigError{Package: "gcp", Field: "document", Reason: "is longer than 256 KiB"}},
		{"empty", []byte(`{"keys":[]}`), oidctoken.ConfigError{Package: "gcp", Field: "keys", Reason: "has no key for ES256 or RS256"}},
		{"none that Google takes", jwkSet(t, nil, k.ed, k.p384), oidctoken.ConfigError{Package: "gcp", Field: "keys", Reason: "has no key for ES256 or RS256"}},
		{"private key", jwkSet(t, nil, k.p256, with(k.p256b, map[string]any{"d": "AA"})), oidctoken.ConfigError{Package: "gcp", Field: "keys[1]", Reason: notPublic}},
		{"private key of another alg", jwkSet(t, nil, k.p256, with(k.ed, map[string]any{"d": "AA"})), oidctoken.ConfigError{Package: "gcp", Field: "keys[1]", Reason: notPublic}},
		{"private prime", jwkSet(t, nil, with(k.rsa, map[string]any{"dq": "AA"})), oidctoken.ConfigError{Package: "gcp", Field: "keys[0]", Reason: notPublic}},
		{"symmetric", jwkSet(t, nil, map[string]any{"kty": "oct", "k": "AA", "alg": "HS256"}), oidctoken.ConfigError{Package: "gcp", Field: "keys[0]", Reason: notPublic}},
		{"no kid", jwkSet(t, nil, with(k.rsa, map[string]any{"kid": nil})), oidctoken.ConfigError{Package: "gcp", Field: "keys[0].kid", Reason: notKid}},
		{"same kid", jwkSet(t, nil, k.p256, with(k.p256b, map[string]any{"kid": "e"})), oidctoken.ConfigError{Package: "gcp", Field: "keys[1].kid", Reason: notKid}},
		{"kid is a number", jwkSet(t, nil, with(k.rsa, map[string]any{"kid": 1})), oidctoken.ConfigError{Package: "gcp", Field: "keys[0]", Reason: "has a member that is not a string"}},
		{"alg of another key", jwkSet(t, nil, with(k.p256, map[string]any{"alg": "RS256"})), oidctoken.ConfigError{Package: "gcp", Field: "keys[0]", Reason: notValid}},
		{"curve", jwkSet(t, nil, with(k.p384, map[string]any{"alg": "ES256"})), oidctoken.ConfigError{Package: "gcp", Field: "keys[0]", Reason: notValid}},
		{"point is not on the curve", jwkSet(t, nil, with(k.p256, map[string]any{"x": k.p256b["x"]})), oidctoken.ConfigError{Package: "gcp", Field: "keys[0]", Reason: notValid}},
		{"no y", jwkSet(t, nil, with(k.p256, map[string]any{"y": nil})), oidctoken.ConfigError{Package: "gcp", Field: "keys[0]", Reason: notValid}},
		{"no n", jwkSet(t, nil, with(k.rsa, map[string]any{"n": nil})), oidctoken.ConfigError{Package: "gcp", Field: "keys[0]", Reason: notValid}},
		{"kty", jwkSet(t, nil, with(k.rsa, map[string]any{"kty": "EC"})), oidctoken.ConfigError{Package: "gcp", Field: "keys[0]", Reason: notValid}},
		{"small RSA", jwkSet(t, nil, small), oidctoken.ConfigError{Package: "gcp", Field: "keys[0]", Reason: notValid}},
		{"both kinds", jwkSet(t, nil, with(k.rsa, map[string]any{"x": k.p256["x"]})), oidctoken.ConfigError{Package: "gcp", Field: "keys[0]", Reason: notValid}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := gcp.JWKSet(tt.give)
			var got *oidctoken.ConfigError
			errors.As(err, &got)
			if diff := cmp.Diff(&tt.want, got); diff != "" || b != nil {
				t.Errorf("JWKSet = %s (-want +got):\n%s", b, diff)
			}
		})
	}
}

// smallKey has a modulus that the standard library makes no more.
func smallKey() (*rsa.PrivateKey, error) {
	p, err := rand.Prime(rand.Reader, 512)
	if err != nil {
		return nil, err
	}
	q, err := rand.Prime(rand.Reader, 512)
	if err != nil {
		return nil, err
	}
	return &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}}, nil
}
