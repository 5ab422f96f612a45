package oidctoken_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jose"
)

// verifyPlainly verifies a token only with the standard library (RFC 7518, RFC 8037).
func verifyPlainly(t *testing.T, jwt, alg string, key crypto.PublicKey) bool {
	t.Helper()
	_, _, signature, input := parts(t, jwt)
	message := []byte(input)
	sum256, sum384, sum512 := sha256.Sum256(message), sha512.Sum384(message), sha512.Sum512(message)
	isECDSA := func(digest []byte, size int) bool {
		if len(signature) != 2*size {
			t.Errorf("%s: a signature of %d bytes, want %d", alg, len(signature), 2*size)
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
		return ecdsa.Verify(key.(*ecdsa.PublicKey), digest, r, s)
	}
	isRSA := func(hash crypto.Hash, digest []byte) bool {
		return rsa.VerifyPKCS1v15(key.(*rsa.PublicKey), hash, digest, signature) == nil
	}
	switch alg {
	case "RS256":
		return isRSA(crypto.SHA256, sum256[:])
	case "RS384":
		return isRSA(crypto.SHA384, sum384[:])
	case "RS512":
		return isRSA(crypto.SHA512, sum512[:])
	case "ES256":
		return isECDSA(sum256[:], 32)
	case "ES384":
		return isECDSA(sum384[:], 48)
	case "ES512":
		return isECDSA(sum512[:], 66)
	case "EdDSA":
		return ed25519.Verify(key.(ed25519.PublicKey), message, signature)
	}
	t.Fatalf("no algorithm %q", alg)
	return false
}

// T01, T02, T06: tokens verify with the standard library and with the published JWK Set:
// tokens of every algorithm, of Mint and Prepared, of keys in memory and remote keys.
func TestVerify(t *testing.T) {
	for alg, key := range keyFor {
		for kind, signer := range map[string]oidctoken.Signer{
			"memory":  memory(key()),
			"remote":  remote(key(), func(sig []byte) []byte { return sig }),
			"foreign": memory(foreignKey{key().Public(), func(d []byte, o crypto.SignerOpts) ([]byte, error) { return key().Sign(rand.Reader, d, o) }}),
		} {
			t.Run(alg+"/"+kind, func(t *testing.T) {
				issuer := newIssuer(t, oidctoken.Config{
					Keys:    oidctoken.StaticKeys{{Signer: signer, Algorithm: alg}},
					Profile: oidctoken.Profile{Algorithms: []string{alg}},
				})
				verifyAll(t, issuer, alg, key().Public())
			})
		}
	}
}

func verifyAll(t *testing.T, issuer *oidctoken.Issuer, alg string, key crypto.PublicKey) {
	t.Helper()
	set, err := jose.ParseSet(must(issuer.JWKSet(t.Context())))
	if err != nil {
		t.Fatal(err)
	}
	prepared, err := issuer.Prepare(t.Context(), full())
	if err != nil {
		t.Fatal(err)
	}
	// Try several of each: about one in 128 ECDSA signatures has a short integer.
	// TestDERWidths tries short integers in every run.
	for range 8 {
		for _, token := range []*oidctoken.Token{mint(t, issuer, full()), must(prepared.Mint(t.Context()))} {
			if !verifyPlainly(t, token.JWT(), alg, key) {
				t.Errorf("%s: the standard library does not verify the token", alg)
			}
			verified, err := set.Verify(token.JWT(), alg)
			if err != nil {
				t.Fatal(err)
			}
			_, payload, _, _ := parts(t, token.JWT())
			want := &jose.Verified{KeyID: token.KeyID(), Algorithm: alg, Payload: payload}
			if diff := cmp.Diff(want, verified); diff != "" {
				t.Errorf("verified (-want +got):\n%s", diff)
			}
			for _, other := range []string{"RS256", "ES256", "EdDSA"} {
				if _, err := set.Verify(token.JWT(), other); other != alg && err == nil {
					t.Errorf("a token of %s verifies as %s", alg, other)
				}
			}
		}
	}
}

// T01: a token does not verify if its header has another algorithm, or if it has no
// signature.
func TestUnsecuredNeverVerifies(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	set, err := jose.ParseSet(must(issuer.JWKSet(t.Context())))
	if err != nil {
		t.Fatal(err)
	}
	_, _, _, input := parts(t, mint(t, issuer, minimal()).JWT())
	_, payload, _ := strings.Cut(input, ".")
	for _, alg := range []string{"none", "None", "nOnE", "HS256"} {
		header := encode(`{"alg":"` + alg + `","typ":"JWT"}`)
		for _, jwt := range []string{header + "." + payload + ".", header + "." + payload + "." + encode("x"), input + "."} {
			if _, err := set.Verify(jwt, "EdDSA"); err == nil {
				t.Errorf("%s: %s verifies", alg, jwt)
			}
		}
	}
}
