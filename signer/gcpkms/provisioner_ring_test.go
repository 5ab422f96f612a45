package gcpkms_test

import (
	"crypto/rand"
	"testing"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer/gcpkms"
)

// mint returns a token of an issuer with such keys that the published ones
// verify.
func mint(t *testing.T, keys oidctoken.KeySource, alg string) (*oidctoken.Token, error) {
	t.Helper()
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{URL: "https://ci.example.com", Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	token, err := issuer.Mint(t.Context(), oidctoken.Scope{
		Audience: "https://example.com",
		Profile:  &oidctoken.Profile{Algorithms: []string{alg}},
		Account:  oidctoken.Entity{ID: "acme"},
	})
	if err != nil {
		return nil, err
	}
	document, err := issuer.JWKSet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	set, err := jose.ParseSet(document)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Verify(token.JWT(), alg); err != nil {
		t.Fatalf("the JWK Set does not verify the token: %v", err)
	}
	return token, nil
}

func newRing(t *testing.T, config keyring.Config) *keyring.Ring {
	t.Helper()
	ring, err := keyring.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ring.Close)
	if err := ring.Err(); err != nil {
		t.Fatal(err)
	}
	return ring
}

// A ring's keys are versions of the service: replicas share them, and a token
// that one of them signs is verified with the JWK Set.
func TestRingProvisioner(t *testing.T) {
	s := newStandin()
	s.pending = 2
	service, store := serve(t, s), new(keyring.MemoryStore)
	algorithms := []string{"RS256", "ES256"}
	ring := func() *keyring.Ring {
		p, err := gcpkms.NewProvisioner(service, gcpkms.ProvisionerConfig{KeyRing: ringOf, Prefix: "ci"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return newRing(t, keyring.Config{Store: store, Provisioner: p, Algorithms: algorithms})
	}
	a := ring()
	made := s.count("CreateCryptoKeyVersion")
	b := ring()
	if n := s.count("CreateCryptoKeyVersion"); n != made || made != len(must(a.Keys(t.Context()))) {
		t.Errorf("%d versions were made, and %d by a second replica, for %d keys", made, n-made, len(must(a.Keys(t.Context()))))
	}
	for _, alg := range algorithms {
		one, err := mint(t, a, alg)
		if err != nil {
			t.Fatal(err)
		}
		other, err := mint(t, b, alg)
		if err != nil {
			t.Fatal(err)
		}
		if one.KeyID() != other.KeyID() {
			t.Errorf("replicas sign %s with %s and %s", alg, one.KeyID(), other.KeyID())
		}
	}
	kid := must(mint(t, a, "ES256")).KeyID()
	if err := a.Revoke(t.Context(), kid); err != nil {
		t.Fatal(err)
	}
	if n := s.count("DestroyCryptoKeyVersion"); n != 1 {
		t.Errorf("%d versions were destroyed, want the revoked key's", n)
	}
}

// A ring's data key is wrapped: a replica that starts makes one call, and
// tokens are minted without.
func TestRingWrapper(t *testing.T) {
	s := newStandin()
	service, key := serve(t, s), s.add("wrapping", "GOOGLE_SYMMETRIC_ENCRYPTION").key
	store := new(keyring.MemoryStore)
	ring := func() *keyring.Ring {
		w, err := gcpkms.NewWrapper(service, key.name, nil)
		if err != nil {
			t.Fatal(err)
		}
		return newRing(t, keyring.Config{Store: store, Wrapper: w, Algorithms: []string{"ES256"}})
	}
	first := must(mint(t, ring(), "ES256")).KeyID()
	if got := must(mint(t, ring(), "ES256")).KeyID(); got != first {
		t.Errorf("the second replica signs with %s, the first with %s", got, first)
	}
	if e, d := s.count("Encrypt"), s.count("Decrypt"); e != 1 || d != 1 || s.total() != 2 {
		t.Errorf("%d calls, of them %d Encrypt and %d Decrypt; want 1 of each", s.total(), e, d)
	}
	// With another primary version, the next replica encrypts the data key again,
	// and the old version is no longer needed.
	s.set(func() { key.add(0) })
	rotated := ring()
	if e := s.count("Encrypt"); e != 2 {
		t.Errorf("%d times encrypted after the primary version changed, want 2", e)
	}
	s.set(func() { key.versions[0].state = "DESTROYED" })
	for _, r := range []*keyring.Ring{rotated, ring()} {
		if got := must(mint(t, r, "ES256")).KeyID(); got != first {
			t.Errorf("after the data key was encrypted anew: %s signs, want %s", got, first)
		}
	}
	if e := s.count("Encrypt"); e != 2 {
		t.Errorf("%d times encrypted, want 2", e)
	}
}

// secret returns a data key.
func secret() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return key
}
