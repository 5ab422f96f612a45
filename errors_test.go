package oidctoken_test

//lint:file-ignore SA1019 only this field gives an invalid key

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken"
)

// The text of a ScopeError has the field and the reason, and no value.
func TestScopeErrorText(t *testing.T) {
	s := minimal()
	s.Connector = &oidctoken.Connector{ID: "c", UID: "s3cr3t\x00"}
	_, err := newIssuer(t, oidctoken.Config{}).Mint(t.Context(), s)
	if got, want := err.Error(), "oidctoken: scope: Connector.UID has a control character"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}

// K05: the errors of NewSigner contain no part of the private key.
func TestErrorsHoldNoKey(t *testing.T) {
	goodRSA, goodEC := rsaKey().(*rsa.PrivateKey), p256Key().(*ecdsa.PrivateKey)
	for name, key := range map[string]crypto.Signer{
		"RSA":     &rsa.PrivateKey{PublicKey: otherRSA().(*rsa.PrivateKey).PublicKey, D: goodRSA.D, Primes: goodRSA.Primes},
		"ECDSA":   &ecdsa.PrivateKey{PublicKey: ecdsa.PublicKey{Curve: goodEC.Curve}, D: goodEC.D},
		"Ed25519": ed25519.PrivateKey(edKey().(ed25519.PrivateKey).Seed()),
	} {
		_, err := oidctoken.NewSigner(key)
		if err == nil {
			t.Fatalf("%s: NewSigner accepted the key", name)
		}
		for _, good := range []crypto.Signer{goodRSA, goodEC, edKey()} {
			for _, secret := range secretsOf(good) {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%s: the error reveals %q", name, secret)
				}
			}
		}
	}
}
