package pkcs11_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/pkcs11"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	pin = "1234"
	id  = "a1b2"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var hashes = map[string]crypto.Hash{
	"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
	"ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512,
	"EdDSA": 0,
}

func withPIN(text string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(text), nil }
}

// privateKeys returns keys that a token may have.
func privateKeys() map[string]crypto.Signer {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return map[string]crypto.Signer{
		"RS256": must(rsa.GenerateKey(rand.Reader, 2048)),
		"ES256": must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"ES384": must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		"ES512": must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)),
		"EdDSA": edwards,
	}
}

func p256() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

// fixture is a fake library with one token and, unless it is nil, one key.
type fixture struct {
	*pkcs11.Fake
	t      *testing.T
	on     *pkcs11.FakeToken
	module *pkcs11.Module
	token  *pkcs11.Token
	signer *pkcs11.Signer
}

func newFixture(t *testing.T, key crypto.Signer, change ...func(*pkcs11.Config)) *fixture {
	t.Helper()
	f := &fixture{t: t}
	f.Fake, f.on = pkcs11.NewFake()
	f.module = must(f.Open(t.Context()))
	t.Cleanup(func() {
		if err := f.module.Close(); err != nil {
			t.Errorf("Module.Close: %v", err)
		}
	})
	c := pkcs11.Config{Module: f.module, Label: "token", PIN: withPIN(pin)}
	for _, change := range change {
		change(&c)
	}
	f.token = must(pkcs11.Open(t.Context(), c))
	t.Cleanup(func() {
		if err := f.token.Close(); err != nil {
			t.Errorf("Token.Close: %v", err)
		}
	})
	if key != nil {
		f.on.AddKey(bytesOf(id), key)
		f.signer = must(pkcs11.New(t.Context(), f.token, id, nil))
	}
	return f
}

func bytesOf(id string) string { return string(must(hex.DecodeString(id))) }

func digest() []byte {
	b := make([]byte, 32)
	rand.Read(b)
	return b
}

// sign makes a signature for SHA-256, or for Ed25519, that the key verifies.
func (f *fixture) sign(ctx context.Context) error {
	f.t.Helper()
	d := digest()
	signature, err := f.signer.Sign(ctx, d, hashOf(f.signer.Public()))
	if err != nil {
		if signature != nil {
			f.t.Error("Sign returned a signature and an error")
		}
		return err
	}
	if !verifies(f.signer.Public(), d, signature) {
		f.t.Fatal("Sign returned a signature that the key does not verify")
	}
	return nil
}

func hashOf(public crypto.PublicKey) crypto.Hash {
	if _, ok := public.(ed25519.PublicKey); ok {
		return 0
	}
	return crypto.SHA256
}

func verifies(public crypto.PublicKey, digest, signature []byte) bool {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, digest, signature) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, digest, signature)
	case ed25519.PublicKey:
		return ed25519.Verify(k, digest, signature)
	}
	return false
}

// signs makes sure that all is well.
func (f *fixture) signs() {
	f.t.Helper()
	if err := f.sign(f.t.Context()); err != nil {
		f.t.Fatalf("Sign: %v", err)
	}
}

// fails demands an error of a kind.
func fails(t *testing.T, err error, kind signer.Kind, code string) *signer.Error {
	t.Helper()
	var e *signer.Error
	if !errors.As(err, &e) {
		t.Fatalf("the error is %v, want a *signer.Error of kind %v", err, kind)
	}
	if e.Service != "pkcs11" || e.Kind != kind || code != "" && e.Code != code {
		t.Fatalf("the error is %v, want one of kind %v with the code %q", err, kind, code)
	}
	return e
}

func scope(algorithm string) oidctoken.Scope {
	return oidctoken.Scope{
		Audience: "https://example.com",
		Profile:  &oidctoken.Profile{Algorithms: []string{algorithm}},
		Account:  oidctoken.Entity{ID: "acme"},
	}
}

func newIssuer(t *testing.T, keys oidctoken.KeySource) *oidctoken.Issuer {
	t.Helper()
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{URL: "https://issuer.example.com", Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return issuer
}

// verify has go-jose verify a token with the JWK Set that the issuer publishes.
func verify(t *testing.T, issuer *oidctoken.Issuer, token *oidctoken.Token, algorithm string) {
	t.Helper()
	set, err := jose.ParseSet(must(issuer.JWKSet(t.Context())))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Verify(token.JWT(), algorithm); err != nil {
		t.Fatalf("the published keys do not verify a token: %v", err)
	}
}
