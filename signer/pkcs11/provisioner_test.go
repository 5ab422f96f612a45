package pkcs11_test

import (
	"crypto/rsa"
	"slices"
	"strings"
	"testing"
	"time"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/pkcs11"
)

func TestProvisionerRefusesConfig(t *testing.T) {
	f := newFixture(t, nil)
	for _, test := range []struct {
		name   string
		change func(*pkcs11.ProvisionerConfig)
		want   string
	}{
		{"no Token", func(c *pkcs11.ProvisionerConfig) { c.Token = nil }, "ProvisionerConfig.Token"},
		{"no Prefix", func(c *pkcs11.ProvisionerConfig) { c.Prefix = "" }, "ProvisionerConfig.Prefix"},
		{"a slash", func(c *pkcs11.ProvisionerConfig) { c.Prefix = "a/b" }, "ProvisionerConfig.Prefix"},
		{"a control character", func(c *pkcs11.ProvisionerConfig) { c.Prefix = "a\n" }, "ProvisionerConfig.Prefix"},
		{"too long", func(c *pkcs11.ProvisionerConfig) { c.Prefix = strings.Repeat("a", 65) }, "ProvisionerConfig.Prefix"},
		{"short RSA keys", func(c *pkcs11.ProvisionerConfig) { c.RSABits = 1024 }, "ProvisionerConfig.RSABits"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := pkcs11.ProvisionerConfig{Token: f.token, Prefix: "ring"}
			test.change(&c)
			p, err := pkcs11.NewProvisioner(c)
			if p != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("NewProvisioner returned %v, %v; want an error that names %s", p, err, test.want)
			}
		})
	}
}

func newProvisioner(t *testing.T, token *pkcs11.Token, prefix string) keyring.Provisioner {
	t.Helper()
	p, err := pkcs11.NewProvisioner(pkcs11.ProvisionerConfig{Token: token, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Versions lists what Create returned, until Retire, and nothing of another ring.
func TestProvisioner(t *testing.T) {
	f := newFixture(t, p256())
	testProvisioner(t, f.token)
	fails(t, newProvisioner(t, f.token, "ring").Retire(t.Context(), id), signer.Refused, "")
	f.signs()
}

// testProvisioner is for every kind of library.
func testProvisioner(t *testing.T, token *pkcs11.Token) {
	p, other := newProvisioner(t, token, "ring"), newProvisioner(t, token, "ring2")
	want := map[string]string{}
	for _, alg := range []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"} {
		v, err := p.Create(t.Context(), alg)
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		want[v.ID] = alg
		if k, ok := v.Signer.Public().(*rsa.PublicKey); ok && k.N.BitLen() != 2048 {
			t.Errorf("%s: the key has %d bits, want 2048", alg, k.N.BitLen())
		}
	}
	foreign, err := other.Create(t.Context(), "ES256")
	if err != nil {
		t.Fatal(err)
	}
	list := func(p keyring.Provisioner) map[string]string {
		t.Helper()
		versions, err := p.Versions(t.Context())
		if err != nil {
			t.Fatalf("Versions: %v", err)
		}
		got := map[string]string{}
		for _, v := range versions {
			got[v.ID] = v.Algorithm
			f := fixture{t: t}
			if f.signer = v.Signer.(*pkcs11.Signer); slices.Contains([]string{"RS256", "ES256", "EdDSA"}, v.Algorithm) {
				f.signs()
			}
		}
		if len(got) != len(versions) {
			t.Errorf("Versions lists %d versions with %d IDs", len(versions), len(got))
		}
		return got
	}
	if diff := cmp.Diff(want, list(p)); diff != "" {
		t.Errorf("Versions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{foreign.ID: "ES256"}, list(other)); diff != "" {
		t.Errorf("the other ring's Versions (-want +got):\n%s", diff)
	}
	fails(t, p.Retire(t.Context(), foreign.ID), signer.Refused, "")
	for _, v := range must(p.Versions(t.Context())) {
		for range 2 { // it may be gone already
			if err := p.Retire(t.Context(), v.ID); err != nil {
				t.Errorf("Retire: %v", err)
			}
		}
		delete(want, v.ID)
		if diff := cmp.Diff(want, list(p)); diff != "" {
			t.Errorf("Versions after Retire (-want +got):\n%s", diff)
		}
		hash := hashes[v.Algorithm]
		message := digest()
		if hash != 0 {
			message = make([]byte, hash.Size())
		}
		_, err := v.Signer.Sign(t.Context(), message, hash)
		fails(t, err, signer.Gone, "")
	}
	if err := other.Retire(t.Context(), foreign.ID); err != nil {
		t.Error(err)
	}
	_, err = p.Create(t.Context(), "PS256")
	fails(t, err, signer.Refused, "")
	if err := p.Retire(t.Context(), "no hexadecimal"); err == nil {
		t.Error("Retire accepts an invalid ID")
	}
}

// A login that is over, or a token that is away, does not make versions vanish,
// or keys outlive their Retire.
func TestProvisionerHeals(t *testing.T) {
	f := newFixture(t, nil)
	p := newProvisioner(t, f.token, "ring")
	v, err := p.Create(t.Context(), "ES256")
	if err != nil {
		t.Fatal(err)
	}
	for name, harm := range map[string]func(){"logged out": f.on.Logout, "sessions closed": f.CloseSessions} {
		harm()
		if got := must(p.Versions(t.Context())); len(got) != 1 || got[0].ID != v.ID {
			t.Errorf("%s: Versions lists %d versions, want one", name, len(got))
		}
		harm()
		must(p.Create(t.Context(), "EdDSA"))
		harm()
		for _, other := range must(p.Versions(t.Context())) {
			if other.ID == v.ID {
				continue
			}
			harm()
			if err := p.Retire(t.Context(), other.ID); err != nil {
				t.Errorf("%s: Retire: %v", name, err)
			}
		}
		if n := f.on.Objects(); n != 2 {
			t.Errorf("%s: the token has %d objects, want the two of a pair", name, n)
		}
	}
	f.Do(func() { f.on.Away = true })
	_, err = p.Versions(t.Context())
	fails(t, err, signer.Unavailable, "")
	fails(t, p.Retire(t.Context(), v.ID), signer.Unavailable, "")
	f.Do(func() { f.on.Away = false })
	if err := p.Retire(t.Context(), v.ID); err != nil || f.on.Objects() != 0 {
		t.Errorf("Retire: %v; %d objects are left", err, f.on.Objects())
	}
}

// A key of a token that makes extractable keys, or other keys than requested,
// is not used by a ring.
func TestProvisionerChecksKeys(t *testing.T) {
	f := newFixture(t, nil)
	p := newProvisioner(t, f.token, "ring")
	f.Do(func() { f.on.Extractable = true })
	_, err := p.Create(t.Context(), "ES256")
	fails(t, err, signer.Malformed, "")
	if n := f.on.Objects(); n != 0 {
		t.Errorf("%d objects are left", n)
	}
	f.Do(func() { f.on.Extractable = false })
	must(p.Create(t.Context(), "ES256"))
	f.on.Set(cryptoki.CKO_PRIVATE_KEY, cryptoki.CKA_LABEL, "ring/RS256")
	_, err = p.Versions(t.Context())
	fails(t, err, signer.Malformed, "")
	f.on.Set(cryptoki.CKO_PRIVATE_KEY, cryptoki.CKA_LABEL, "ring/ES256")
	f.on.Set(cryptoki.CKO_PRIVATE_KEY, cryptoki.CKA_ID, "")
	_, err = p.Versions(t.Context())
	fails(t, err, signer.Malformed, "")
}

// failAfterMaking has the token fail searches after it has made a key pair.
func (f *fixture) failAfterMaking(failures int) (generated *int) {
	generated = new(int)
	f.Do(func() {
		f.Answer = func(op string, _, value []byte, err error) ([]byte, error) {
			switch {
			case op == "C_GenerateKeyPair":
				*generated++
			case op == "C_FindObjects" && *generated > 0 && failures > 0:
				failures--
				return nil, pkcs11.Returned(cryptoki.CKR_DEVICE_ERROR)
			}
			return value, err
		}
	})
	return generated
}

// A Create that ended before it checked its key may leave an extractable one. Such a
// key is not a version of the ring, and does not stop the others.
func TestVersionsLeavesOutUnguarded(t *testing.T) {
	f := newFixture(t, nil)
	p := newProvisioner(t, f.token, "ring")
	good := must(p.Create(t.Context(), "ES256"))
	f.Do(func() { f.on.Extractable = true })
	f.failAfterMaking(2)
	_, err := p.Create(t.Context(), "ES256")
	fails(t, err, signer.Unavailable, "CKR_DEVICE_ERROR")
	if n := f.on.Objects(); n != 4 {
		t.Fatalf("the token has %d objects, want the pair that was left, too", n)
	}
	if diff := cmp.Diff([]string{good.ID}, listed(t, p)); diff != "" {
		t.Errorf("Versions (-want +got):\n%s", diff)
	}
}

// A private key without its public half stops no other version.
func TestVersionsLeavesOutHalves(t *testing.T) {
	f := newFixture(t, nil)
	p := newProvisioner(t, f.token, "ring")
	must(p.Create(t.Context(), "ES256"))
	f.on.Remove(cryptoki.CKO_PUBLIC_KEY)
	good := must(p.Create(t.Context(), "ES256"))
	if diff := cmp.Diff([]string{good.ID}, listed(t, p)); diff != "" {
		t.Errorf("Versions (-want +got):\n%s", diff)
	}
}

// A session that is lost after a pair was made does not make it two.
func TestCreateMakesOnePair(t *testing.T) {
	f := newFixture(t, nil)
	p := newProvisioner(t, f.token, "ring")
	generated := f.failAfterMaking(1)
	v, err := p.Create(t.Context(), "ES256")
	if err != nil {
		t.Fatal(err)
	}
	if n := f.on.Objects(); n != 2 || *generated != 1 {
		t.Errorf("%d pairs were made, and there are %d objects; want one pair", *generated, n)
	}
	if diff := cmp.Diff([]string{v.ID}, listed(t, p)); diff != "" {
		t.Errorf("Versions (-want +got):\n%s", diff)
	}
}

// listed returns the IDs of the versions.
func listed(t *testing.T, p keyring.Provisioner) (ids []string) {
	t.Helper()
	versions, err := p.Versions(t.Context())
	if err != nil {
		t.Fatalf("Versions: %v", err)
	}
	for _, v := range versions {
		ids = append(ids, v.ID)
	}
	return ids
}

// A half of a pair that was left over is destroyed by another Retire.
func TestRetireFinishes(t *testing.T) {
	f := newFixture(t, nil)
	p := newProvisioner(t, f.token, "ring")
	v := must(p.Create(t.Context(), "ES256"))
	f.on.Remove(cryptoki.CKO_PRIVATE_KEY)
	if got := must(p.Versions(t.Context())); len(got) != 0 {
		t.Errorf("Versions lists %v without its private key", got)
	}
	if err := p.Retire(t.Context(), v.ID); err != nil || f.on.Objects() != 0 {
		t.Errorf("Retire: %v; %d objects are left", err, f.on.Objects())
	}
}

// A ring over the token signs, rotates and retires.
func TestRing(t *testing.T) {
	f := newFixture(t, nil)
	testRing(t, keyring.Config{Provisioner: newProvisioner(t, f.token, "ring")})
	if n := f.on.Objects(); n != 2*4 { // for each algorithm the key that signs, and the next
		t.Errorf("the token has %d objects, want 8", n)
	}
}

// testRing runs a ring, whose issuer mints, and revokes one of its keys.
func testRing(t *testing.T, c keyring.Config) {
	c.Store = new(keyring.MemoryStore)
	c.PollInterval = time.Minute
	ring, err := keyring.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	issuer := newIssuer(t, ring)
	for _, alg := range []string{"RS256", "ES256"} {
		token, err := issuer.Mint(t.Context(), scope(alg))
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		verify(t, issuer, token, alg)
		if err := ring.Revoke(t.Context(), token.KeyID()); err != nil {
			t.Fatalf("Revoke: %v", err)
		}
		next, err := issuer.Mint(t.Context(), scope(alg))
		if err != nil {
			t.Fatalf("%s, after Revoke: %v", alg, err)
		}
		verify(t, issuer, next, alg)
		if next.KeyID() == token.KeyID() {
			t.Errorf("%s: a revoked key signs", alg)
		}
	}
	if err := ring.Err(); err != nil {
		t.Errorf("Err: %v", err)
	}
}
