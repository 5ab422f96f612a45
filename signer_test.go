package oidctoken_test

//lint:file-ignore SA1019 only these fields give invalid keys and the secrets to search for

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken"
)

// secretsOf returns texts each of which would reveal a private key.
func secretsOf(key crypto.Signer) (secrets []string) {
	var numbers []*big.Int
	switch k := key.(type) {
	case *rsa.PrivateKey:
		numbers = append(append(numbers, k.D, k.Precomputed.Dp, k.Precomputed.Dq, k.Precomputed.Qinv), k.Primes...)
	case *ecdsa.PrivateKey:
		numbers = append(numbers, k.D)
	case ed25519.PrivateKey:
		numbers = append(numbers, new(big.Int).SetBytes(k.Seed()))
	}
	for _, n := range numbers {
		b := n.Bytes()
		middle := b[len(b)/2-6 : len(b)/2+6]
		words := n.Bits()
		secrets = append(secrets,
			n.String()[:20], fmt.Sprintf("%x", middle), fmt.Sprintf("%X", middle), string(middle),
			strings.Trim(fmt.Sprint(middle), "[]"), strings.Trim(fmt.Sprintf("%#v", middle), "[]byte{}"),
			base64.StdEncoding.EncodeToString(b)[:12], fmt.Sprint(uint(words[0])), fmt.Sprintf("%#x", uint(words[0])),
		)
	}
	return secrets
}

// K05
func TestKeysDoNotPrint(t *testing.T) {
	for alg, makeKey := range keyFor {
		key := makeKey()
		signer := memory(key)
		issuer := issuerFor(t, alg)
		mint(t, issuer, minimal())
		secrets := secretsOf(key)
		for kind, v := range map[string]any{
			"signer":   signer,
			"value":    reflect.ValueOf(signer).Elem().Interface(),
			"key":      oidctoken.Key{Signer: signer},
			"keys":     oidctoken.StaticKeys{{Signer: signer}},
			"config":   oidctoken.Config{Keys: oidctoken.StaticKeys{{Signer: signer}}},
			"issuer":   issuer,
			"embedded": struct{ oidctoken.Signer }{signer},
			"private":  struct{ s oidctoken.Signer }{signer},
		} {
			for how, text := range renderings(v) {
				for _, secret := range secrets {
					if strings.Contains(text, secret) {
						t.Errorf("%s, %s by %s reveals %q", alg, kind, how, secret)
					}
				}
			}
		}
		// The test must be able to find a leak.
		found := false
		for _, secret := range secrets {
			found = found || strings.Contains(fmt.Sprintf("%v %#v %x", key, key, key), secret)
		}
		if !found {
			t.Errorf("%s: printing the key itself shows none of the secrets", alg)
		}
	}
}

// weakRSA returns an RSA key of a size that crypto/rsa refuses to generate.
func weakRSA(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	for {
		p, q := must(rand.Prime(rand.Reader, (bits+1)/2)), must(rand.Prime(rand.Reader, bits/2))
		n := new(big.Int).Mul(p, q)
		one := big.NewInt(1)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		d := new(big.Int).ModInverse(big.NewInt(65537), phi)
		if n.BitLen() != bits || d == nil {
			continue
		}
		return &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 65537}, D: d, Primes: []*big.Int{p, q}}
	}
}

// foreignKey is a crypto.Signer of another package.
type foreignKey struct {
	public crypto.PublicKey
	sign   func(digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

func (k foreignKey) Public() crypto.PublicKey { return k.public }

func (k foreignKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.sign(digest, opts)
}

// badPublicKeys holds keys that must not sign tokens, and a part of each error.
func badPublicKeys(t *testing.T) map[string]struct {
	key  crypto.PublicKey
	want string
} {
	good := rsaKey().Public().(*rsa.PublicKey)
	p256 := p256Key().Public().(*ecdsa.PublicKey)
	type bad = struct {
		key  crypto.PublicKey
		want string
	}
	offCurve := &ecdsa.PublicKey{Curve: elliptic.P256(), X: p256.X, Y: new(big.Int).Add(p256.Y, big.NewInt(1))}
	return map[string]bad{
		"RSA of 1024 bits":      {&weakRSA(t, 1024).PublicKey, "an RSA key of 1024 bits is weak"},
		"RSA of 2047 bits":      {&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 2046, 1), E: 65537}, "an RSA key of 2047 bits is weak"},
		"RSA of an even e":      {&rsa.PublicKey{N: good.N, E: 65536}, "modulus or exponent is invalid"},
		"RSA of e = 1":          {&rsa.PublicKey{N: good.N, E: 1}, "modulus or exponent is invalid"},
		"RSA of e = 0":          {&rsa.PublicKey{N: good.N}, "modulus or exponent is invalid"},
		"RSA of a negative e":   {&rsa.PublicKey{N: good.N, E: -3}, "modulus or exponent is invalid"},
		"RSA of an even n":      {&rsa.PublicKey{N: new(big.Int).Lsh(good.N, 1), E: 65537}, "modulus or exponent is invalid"},
		"RSA of a negative n":   {&rsa.PublicKey{N: new(big.Int).Neg(good.N), E: 65537}, "modulus or exponent is invalid"},
		"RSA without n":         {&rsa.PublicKey{E: 65537}, "the RSA key is empty"},
		"RSA nil":               {(*rsa.PublicKey)(nil), "the RSA key is empty"},
		"RSA by value":          {*good, "a key of type rsa.PublicKey is not supported"},
		"P-224":                 {must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)).Public(), "curve is not P-256, P-384 or P-521"},
		"a curve of one's own":  {&ecdsa.PublicKey{Curve: &elliptic.CurveParams{Name: "P-256"}, X: p256.X, Y: p256.Y}, "curve is not P-256, P-384 or P-521"},
		"no curve":              {&ecdsa.PublicKey{X: p256.X, Y: p256.Y}, "curve is not P-256, P-384 or P-521"},
		"another curve's point": {&ecdsa.PublicKey{Curve: elliptic.P384(), X: p256.X, Y: p256.Y}, "is not on its curve"},
		"off the curve":         {offCurve, "is not on its curve"},
		"the point at infinity": {&ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int), Y: new(big.Int)}, "is not on its curve"},
		"a negative coordinate": {&ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).Neg(p256.X), Y: p256.Y}, "is not on its curve"},
		"a wide coordinate":     {&ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).Lsh(p256.X, 300), Y: p256.Y}, "is not on its curve"},
		"ECDSA without x":       {&ecdsa.PublicKey{Curve: elliptic.P256(), Y: p256.Y}, "the ECDSA key is empty"},
		"ECDSA nil":             {(*ecdsa.PublicKey)(nil), "the ECDSA key is empty"},
		"Ed25519 of 31 bytes":   {ed25519.PublicKey(make([]byte, 31)), "an Ed25519 public key has 32 bytes, not 31"},
		"Ed25519 nil":           {ed25519.PublicKey(nil), "an Ed25519 public key has 32 bytes, not 0"},
		"an HMAC key":           {[]byte("secret"), "a key of type []uint8 is not supported"},
		"nothing":               {nil, "a key of type <nil> is not supported"},
	}
}

// T01, T08
func TestBadPublicKeys(t *testing.T) {
	for name, tt := range badPublicKeys(t) {
		t.Run(name, func(t *testing.T) {
			_, err := oidctoken.NewSigner(foreignKey{public: tt.key})
			if err == nil || !strings.HasPrefix(err.Error(), "oidctoken: signer: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NewSigner: %v, want %q", err, tt.want)
			}
			_, err = oidctoken.NewIssuer(oidctoken.Config{
				URL: issuerURL, Keys: oidctoken.StaticKeys{{Signer: signerFunc{public: tt.key}}},
			})
			if got := configError(err); got == nil || got.Field != "Keys" || !strings.Contains(got.Reason, tt.want) {
				t.Errorf("NewIssuer: %v, want %q", err, tt.want)
			}
		})
	}
}

// T08
func TestBadPrivateKeys(t *testing.T) {
	goodRSA, goodEC, goodEd := rsaKey().(*rsa.PrivateKey), p256Key().(*ecdsa.PrivateKey), edKey().(ed25519.PrivateKey)
	strangerRSA := otherRSA().(*rsa.PrivateKey)
	strangerEC := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	mixedEd := append(append(ed25519.PrivateKey(nil), goodEd.Seed()...), otherEd().Public().(ed25519.PublicKey)...)
	order := elliptic.P256().Params().N
	for name, key := range map[string]crypto.Signer{
		"nothing":                    nil,
		"RSA nil":                    (*rsa.PrivateKey)(nil),
		"RSA empty":                  &rsa.PrivateKey{},
		"RSA without d":              &rsa.PrivateKey{PublicKey: goodRSA.PublicKey},
		"RSA without e":              &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: goodRSA.N}, D: goodRSA.D},
		"RSA of 1024 bits":           weakRSA(t, 1024),
		"RSA of 2047 bits":           weakRSA(t, 2047),
		"RSA with another's public":  &rsa.PrivateKey{PublicKey: strangerRSA.PublicKey, D: goodRSA.D, Primes: goodRSA.Primes},
		"RSA with another's d":       &rsa.PrivateKey{PublicKey: goodRSA.PublicKey, D: strangerRSA.D, Primes: goodRSA.Primes},
		"RSA with another's primes":  &rsa.PrivateKey{PublicKey: goodRSA.PublicKey, D: goodRSA.D, Primes: strangerRSA.Primes},
		"RSA with d alone, of other": &rsa.PrivateKey{PublicKey: goodRSA.PublicKey, D: strangerRSA.D},
		"ECDSA nil":                  (*ecdsa.PrivateKey)(nil),
		"ECDSA empty":                &ecdsa.PrivateKey{},
		"ECDSA without d":            &ecdsa.PrivateKey{PublicKey: goodEC.PublicKey},
		"ECDSA without a point":      &ecdsa.PrivateKey{PublicKey: ecdsa.PublicKey{Curve: elliptic.P256()}, D: goodEC.D},
		"ECDSA with another's d":     &ecdsa.PrivateKey{PublicKey: goodEC.PublicKey, D: strangerEC.D},
		"ECDSA of d = 0":             &ecdsa.PrivateKey{PublicKey: goodEC.PublicKey, D: new(big.Int)},
		"ECDSA of d < 0":             &ecdsa.PrivateKey{PublicKey: goodEC.PublicKey, D: new(big.Int).Neg(goodEC.D)},
		"ECDSA of d = n":             &ecdsa.PrivateKey{PublicKey: goodEC.PublicKey, D: order},
		"ECDSA of d + n":             &ecdsa.PrivateKey{PublicKey: goodEC.PublicKey, D: new(big.Int).Add(goodEC.D, order)},
		"ECDSA of a wide d":          &ecdsa.PrivateKey{PublicKey: goodEC.PublicKey, D: new(big.Int).Lsh(goodEC.D, 999)},
		"ECDSA of P-224":             must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)),
		"Ed25519 nil":                ed25519.PrivateKey(nil),
		"Ed25519 seed alone":         ed25519.PrivateKey(goodEd.Seed()),
		"Ed25519 with another's":     mixedEd,
	} {
		t.Run(name, func(t *testing.T) {
			signer, err := oidctoken.NewSigner(key)
			if err == nil || !strings.HasPrefix(err.Error(), "oidctoken: signer: ") {
				t.Errorf("NewSigner: %v, %v; want an error", signer, err)
			}
		})
	}
}

// NewSigner accepts keys of every algorithm and does not change them.
func TestNewSigner(t *testing.T) {
	for alg, key := range keyFor {
		signer, err := oidctoken.NewSigner(key())
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if !signer.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(key().Public()) {
			t.Errorf("%s: Public is another key", alg)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := signer.Sign(ctx, make([]byte, 32), crypto.SHA256); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Sign after cancel: %v, want context.Canceled", alg, err)
		}
	}
}

// T02
func TestKeyHasOneAlgorithm(t *testing.T) {
	for _, tt := range []struct {
		name string
		keys oidctoken.StaticKeys
		want string
	}{
		{"RSA as ES256", oidctoken.StaticKeys{{Signer: memory(rsaKey()), Algorithm: "ES256"}}, `the Algorithm "ES256" does not fit a *rsa.PublicKey`},
		{"P-256 as ES384", oidctoken.StaticKeys{{Signer: memory(p256Key()), Algorithm: "ES384"}}, `the Algorithm "ES384" does not fit a *ecdsa.PublicKey`},
		{"P-256 as RS256", oidctoken.StaticKeys{{Signer: memory(p256Key()), Algorithm: "RS256"}}, `the Algorithm "RS256" does not fit a *ecdsa.PublicKey`},
		{"Ed25519 as ES256", oidctoken.StaticKeys{{Signer: memory(edKey()), Algorithm: "ES256"}}, `the Algorithm "ES256" does not fit a ed25519.PublicKey`},
		{"RSA as none", oidctoken.StaticKeys{{Signer: memory(rsaKey()), Algorithm: "none"}}, `the Algorithm "none" does not fit a *rsa.PublicKey`},
		{"RSA as HS256", oidctoken.StaticKeys{{Signer: memory(rsaKey()), Algorithm: "HS256"}}, `the Algorithm "HS256" does not fit a *rsa.PublicKey`},
		{"RSA as rs256", oidctoken.StaticKeys{{Signer: memory(rsaKey()), Algorithm: "rs256"}}, `the Algorithm "rs256" does not fit a *rsa.PublicKey`},
		{"one RSA key for two", oidctoken.StaticKeys{
			{Signer: memory(rsaKey()), ID: "a"}, {Signer: memory(rsaKey()), ID: "b", Algorithm: "RS512"},
		}, "key 1: it is the same key as a, whose algorithm is RS256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := oidctoken.NewIssuer(oidctoken.Config{URL: issuerURL, Keys: tt.keys})
			if got := configError(err); got == nil || got.Field != "Keys" || !strings.Contains(got.Reason, tt.want) {
				t.Errorf("NewIssuer: %v, want %q", err, tt.want)
			}
		})
	}
}
