package oidctokentest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jose"
)

// TestSigner tests whether a Signer keeps the contract of [oidctoken.Signer],
// in subtests of t, and names each defect. A Signer signs the given digest with
// the key of Public, in the form that crypto.Signer prescribes, also
// concurrently, and not after ctx has ended. The test makes about forty
// signatures per algorithm.
//
// newSigner is called at least once per subtest and may always return the same Signer.
// algorithms are the values of "alg" (RFC 7518, section 3.1; RFC 8037) that the
// key is for; without one, it is the default that [oidctoken.Key] has for such
// a key. Run it with -race, and for the Signer of a service beside
// [TestSignerFaults].
func TestSigner(t *testing.T, newSigner func(t *testing.T) oidctoken.Signer, algorithms ...string) {
	t.Helper()
	t.Run("Public", func(t *testing.T) { testPublic(t, newSigner(t)) })
	if len(algorithms) == 0 {
		algorithms = []string{defaultAlgorithm(newSigner(t).Public())}
	}
	for _, alg := range algorithms {
		hash, known := hashes[alg]
		if !known {
			t.Errorf("there is no algorithm %q for the Signer's %T", alg, newSigner(t).Public())
			continue
		}
		for _, test := range []struct {
			name string
			run  func(signerTest, *testing.T)
		}{
			{"Signature", signerTest.signature},
			{"Token", signerTest.token},
			{"ShortDigest", signerTest.shortDigest},
			{"Concurrency", signerTest.concurrency},
			{"Context", signerTest.context},
		} {
			if hash == 0 && test.name == "ShortDigest" {
				continue // Ed25519 signs messages of every length
			}
			t.Run(alg+"/"+test.name, func(t *testing.T) {
				test.run(signerTest{newSigner(t), alg, hash}, t)
			})
		}
	}
}

// hashes are the hash functions of the algorithms; 0 means no hash.
var hashes = map[string]crypto.Hash{
	"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
	"ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512,
	"EdDSA": 0,
}

func defaultAlgorithm(public crypto.PublicKey) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return "RS256"
	case *ecdsa.PublicKey:
		return map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[k.Params().BitSize]
	case ed25519.PublicKey:
		return "EdDSA"
	}
	return ""
}

func testPublic(t *testing.T, s oidctoken.Signer) {
	if _, err := issuerFor(oidctoken.Key{Signer: s}); err != nil {
		t.Fatalf("no issuer takes the key: %v", err)
	}
	first := s.Public().(interface{ Equal(crypto.PublicKey) bool }) // as every supported key has
	for range 3 {
		if !first.Equal(s.Public()) {
			t.Fatal("Public changed: a Signer has one key, never the latest version")
		}
	}
}

type signerTest struct {
	signer oidctoken.Signer
	alg    string
	hash   crypto.Hash
}

// digest returns a new one, or for EdDSA a new message.
func (s signerTest) digest() []byte {
	message := []byte(rand.Text())
	if s.hash == 0 {
		return message
	}
	h := s.hash.New()
	h.Write(message)
	return h.Sum(nil)
}

func (s signerTest) signature(t *testing.T) {
	before := s.signer.Public()
	for range 8 { // an ECDSA integer is short in one signature of 128
		digest := s.digest()
		given := bytes.Clone(digest)
		sig, err := s.signer.Sign(t.Context(), given, s.hash)
		if err != nil {
			t.Fatalf("Sign: %v", err)
		}
		if !bytes.Equal(given, digest) {
			t.Fatal("Sign changed the digest that it was given")
		}
		if err := verifySignature(s.signer.Public(), s.hash, digest, sig); err != nil {
			t.Fatalf("Sign returned %d bytes: %v", len(sig), err)
		}
	}
	if !before.(interface{ Equal(crypto.PublicKey) bool }).Equal(s.signer.Public()) {
		t.Error("Public changed after Sign")
	}
}

func (s signerTest) token(t *testing.T) {
	issuer, err := issuerFor(oidctoken.Key{Signer: s.signer, Algorithm: s.alg})
	if err != nil {
		t.Fatal(err)
	}
	document, err := issuer.JWKSet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	set, err := jose.ParseSet(document)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		token, err := issuer.Mint(t.Context(), oidctoken.Scope{
			Audience: "https://example.com",
			Profile:  &oidctoken.Profile{Algorithms: []string{s.alg}},
			Account:  oidctoken.Entity{ID: "acme"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := set.Verify(token.JWT(), s.alg); err != nil {
			t.Fatalf("the published key does not verify a token: %v", err)
		}
	}
}

// shortDigest gives Sign a digest without its last byte. Signing it unchanged
// is harmless; completing it would sign another message.
func (s signerTest) shortDigest(t *testing.T) {
	digest := s.digest()
	digest[len(digest)-1] = 0
	sig, err := s.signer.Sign(t.Context(), digest[:len(digest)-1:len(digest)-1], s.hash)
	if err == nil && verifySignature(s.signer.Public(), s.hash, digest, sig) == nil {
		t.Error("Sign completed a short digest with a zero, and signed that")
	}
}

func (s signerTest) concurrency(t *testing.T) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 4 {
				digest := s.digest()
				given := bytes.Clone(digest)
				sig, err := s.signer.Sign(t.Context(), given, s.hash)
				clear(given) // Sign does not keep it
				if err == nil {
					err = verifySignature(s.signer.Public(), s.hash, digest, sig)
				}
				if err != nil {
					t.Errorf("concurrent Sign: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func (s signerTest) context(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	for _, ctx := range []context.Context{cancelled, expired} {
		done := make(chan error, 1)
		go func() {
			_, err := s.signer.Sign(ctx, s.digest(), s.hash)
			done <- err
		}()
		select {
		case err := <-done:
			if !errors.Is(err, ctx.Err()) {
				t.Errorf("Sign returned the error %v after ctx ended, want one that is %v", err, ctx.Err())
			}
		case <-time.After(30 * time.Second):
			t.Fatal("Sign did not return although ctx had ended before")
		}
	}
	// A canceled call must not affect the next one.
	digest := s.digest()
	sig, err := s.signer.Sign(t.Context(), bytes.Clone(digest), s.hash)
	if err == nil {
		err = verifySignature(s.signer.Public(), s.hash, digest, sig)
	}
	if err != nil {
		t.Errorf("Sign after one that was cancelled: %v", err)
	}
}

func issuerFor(key oidctoken.Key) (*oidctoken.Issuer, error) {
	return oidctoken.NewIssuer(oidctoken.Config{
		URL:  "https://issuer.example.com",
		Keys: oidctoken.StaticKeys{key},
	})
}

// verifySignature returns the defect of a signature. It recognizes the common
// mistakes of signers.
func verifySignature(public crypto.PublicKey, hash crypto.Hash, digest, sig []byte) error {
	if len(sig) == 0 {
		return errors.New("the signature is empty")
	}
	if verifies(public, hash, digest, sig) {
		return nil
	}
	if hash != 0 {
		h := hash.New()
		h.Write(digest)
		if verifies(public, hash, h.Sum(nil), sig) {
			return errors.New("the digest was hashed again")
		}
	}
	switch k := public.(type) {
	case *rsa.PublicKey:
		if rsa.VerifyPSS(k, hash, digest, sig, nil) == nil {
			return errors.New("it is a PSS signature; PKCS #1 v1.5 is wanted")
		}
	case *ecdsa.PublicKey:
		half := len(sig) / 2
		r, s := new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])
		if ecdsa.Verify(k, digest, r, s) {
			return errors.New("it is r || s; ASN.1 DER is wanted")
		}
	}
	return fmt.Errorf("the %T of Public does not verify it", public)
}

func verifies(public crypto.PublicKey, hash crypto.Hash, digest, sig []byte) bool {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, hash, digest, sig) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, digest, sig)
	case ed25519.PublicKey:
		return ed25519.Verify(k, digest, sig)
	}
	return false
}
