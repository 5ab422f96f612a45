package vaulttransit_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/vaulttransit"
)

func newProvisioner(t *testing.T, v *vault) keyring.Provisioner {
	t.Helper()
	p, err := vaulttransit.NewProvisioner(v.client(), "ring", nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// listed returns the versions that p lists: their algorithms by ID.
func listed(t *testing.T, p keyring.Provisioner) map[string]string {
	t.Helper()
	versions, err := p.Versions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	algorithms := make(map[string]string)
	for _, v := range versions {
		algorithms[v.ID] = v.Algorithm
	}
	return algorithms
}

// The version of Create signs, and every replica lists it until Retire, also
// with versions of Vault that return nothing on success.
func TestProvisioner(t *testing.T) {
	kinds := map[string]string{
		"RS256": "rsa-2048", "RS384": "rsa-2048", "ES256": "ecdsa-p256", "ES384": "ecdsa-p384", "ES512": "ecdsa-p521", "EdDSA": "ed25519",
	}
	for name, old := range map[string]bool{"new": false, "old": true} {
		t.Run(name, func(t *testing.T) {
			v := startVault(t)
			v.old = old
			p := newProvisioner(t, v)
			want := map[string]string{}
			if diff := cmp.Diff(want, listed(t, p)); diff != "" {
				t.Errorf("Versions of an engine without keys (-want +got):\n%s", diff)
			}
			for algorithm, kind := range kinds {
				made, err := p.Create(t.Context(), algorithm)
				if err != nil {
					t.Fatalf("Create for %s: %v", algorithm, err)
				}
				want[made.ID] = algorithm
				var actual string
				v.with(func(keys map[string]*transitKey) { actual = keys[made.ID].kind })
				if made.Algorithm != algorithm || actual != kind {
					t.Errorf("Create for %s made a key of type %s for %s, want %s", algorithm, actual, made.Algorithm, kind)
				}
				if err := mint(t.Context(), oidctoken.StaticKeys{{Signer: made.Signer, Algorithm: algorithm}}, algorithm); err != nil {
					t.Errorf("Mint with %s: %v", algorithm, err)
				}
			}
			if diff := cmp.Diff(want, listed(t, newProvisioner(t, v))); diff != "" {
				t.Errorf("Versions (-want +got):\n%s", diff)
			}
			for id := range want {
				delete(want, id)
				for range 2 { // the second time the key is gone
					if err := p.Retire(t.Context(), id); err != nil {
						t.Fatalf("Retire: %v", err)
					}
				}
				if diff := cmp.Diff(want, listed(t, p)); diff != "" {
					t.Errorf("Versions after Retire (-want +got):\n%s", diff)
				}
			}
			if names := v.names(); len(names) != 0 {
				t.Errorf("Vault still has %s", names)
			}
		})
	}
}

// A listed version's Signer is one as any other.
func TestProvisionedSigner(t *testing.T) {
	v := startVault(t)
	p := newProvisioner(t, v)
	made, err := p.Create(t.Context(), "ES256")
	if err != nil {
		t.Fatal(err)
	}
	v.rotate(t, made.ID) // by an administrator, against the documentation
	versions, err := p.Versions(t.Context())
	if err != nil || len(versions) != 1 {
		t.Fatalf("Versions = %v, %v", versions, err)
	}
	oidctokentest.TestSigner(t, func(*testing.T) oidctoken.Signer { return versions[0].Signer }, "ES256")
}

// Keys of others are neither listed nor deleted, however alike their names.
func TestOthersKeys(t *testing.T) {
	v := startVault(t)
	random := strings.Repeat("a", 26)
	others := []string{
		"ring", "ring-rs256", "ring-es256-" + random[:25], "ring-es256-" + random + "a", "ring-es256-" + strings.ToUpper(random),
		"ring-es256k-" + random, "ring-ES256-" + random, "ring-rs256-es256-" + random, "ring2-es256-" + random, "aring-es256-" + random, "ring-es256-" + strings.Repeat("1", 26),
	}
	for _, name := range others {
		v.addKey(name, "ecdsa-p256")
	}
	p := newProvisioner(t, v)
	if diff := cmp.Diff(map[string]string{}, listed(t, p)); diff != "" {
		t.Errorf("Versions (-want +got):\n%s", diff)
	}
	for _, name := range append(others, "", "../sys/seal", "ring-es256-../../sys/"+random[:20]) {
		if diff := diffFailure(failure{Op: "delete key", Kind: signer.Refused}, "this Provisioner does not make such versions", p.Retire(t.Context(), name)); diff != "" {
			t.Errorf("Retire of %q (-want +got):\n%s", name, diff)
		}
	}
	slices.Sort(others)
	if diff := cmp.Diff(others, v.names()); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if n := v.count("POST", "") + v.count("DELETE", ""); n != 0 {
		t.Errorf("%d requests changed something", n)
	}
}

// A key that was half deleted, or that cannot sign, is no version; a replica
// that takes up the first deletes it.
func TestUnusableVersions(t *testing.T) {
	for name, change := range map[string]func(k *transitKey){
		"half deleted": func(k *transitKey) { k.deletionAllowed = true },
		"soft-deleted": func(k *transitKey) { k.softDeleted = true },
		"archived": func(k *transitKey) {
			if err := k.rotate(); err != nil {
				t.Fatal(err)
			}
			k.minDecryption = 2
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := startVault(t)
			p := newProvisioner(t, v)
			made, err := p.Create(t.Context(), "ES256")
			if err != nil {
				t.Fatal(err)
			}
			v.with(func(keys map[string]*transitKey) { change(keys[made.ID]) })
			if diff := cmp.Diff(map[string]string{}, listed(t, p)); diff != "" {
				t.Errorf("Versions (-want +got):\n%s", diff)
			}
			if err := p.Retire(t.Context(), made.ID); err != nil || len(v.names()) != 0 {
				t.Errorf("Retire = %v, Vault has %v", err, v.names())
			}
		})
	}
}

// A key that Vault made while its answer got lost is listed.
func TestCreateLosesAnswer(t *testing.T) {
	v := startVault(t)
	p := newProvisioner(t, v)
	v.answer(func(w http.ResponseWriter, r received) bool {
		if r.Method != http.MethodPost {
			return false
		}
		v.with(func(keys map[string]*transitKey) {
			keys[strings.TrimPrefix(r.Path, "keys/")] = must(newTransitKey("ecdsa-p256"))
		})
		panic(http.ErrAbortHandler)
	})
	_, err := p.Create(t.Context(), "ES256")
	if diff := diffFailure(failure{Op: "create key", Kind: signer.Unavailable}, "EOF", err); diff != "" {
		t.Errorf("Create (-want +got):\n%s", diff)
	}
	v.answer(nil)
	if got := listed(t, p); len(got) != 1 {
		t.Errorf("Versions = %v, want the key", got)
	}
}

// Failures are reported.
func TestProvisionerFails(t *testing.T) {
	denied := failure{Code: "403", Kind: signer.Refused}
	for _, tt := range []struct {
		name, path string
		call       func(p keyring.Provisioner, id string) error
		op         string
	}{
		{"list", "keys?", func(p keyring.Provisioner, _ string) error { _, err := p.Versions(t.Context()); return err }, "list keys"},
		{"read", "keys/", func(p keyring.Provisioner, _ string) error { _, err := p.Versions(t.Context()); return err }, "read key"},
		{"create", "keys/", func(p keyring.Provisioner, _ string) error { _, err := p.Create(t.Context(), "ES256"); return err }, "create key"},
		{"retire", "keys/", func(p keyring.Provisioner, id string) error { return p.Retire(t.Context(), id) }, "update key configuration"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := startVault(t)
			p := newProvisioner(t, v)
			made, err := p.Create(t.Context(), "ES256")
			if err != nil {
				t.Fatal(err)
			}
			v.answerWith(tt.path, 403, nil, errorsBody("permission denied"))
			want := denied
			want.Op = tt.op
			if diff := diffFailure(want, "permission denied", tt.call(p, made.ID)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			// A proxy that answers for Vault has not deleted anything either.
			v.answerWith("keys", 200, http.Header{"Content-Type": {"text/html"}}, "<html>")
			if err := tt.call(p, made.ID); !isMalformed(err) {
				t.Errorf("error = %v, want one of kind Malformed", err)
			}
			v.answerWith("keys", 404, http.Header{"Content-Type": {"text/html"}}, "<html>")
			if err := tt.call(p, made.ID); err == nil {
				t.Error("no error although a proxy answered 404")
			}
		})
	}
	v := startVault(t)
	_, err := newProvisioner(t, v).Create(t.Context(), "PS256")
	if diff := diffFailure(failure{Op: "create key", Kind: signer.Refused}, "no key type for the algorithm PS256", err); diff != "" {
		t.Errorf("Create (-want +got):\n%s", diff)
	}
}

// A key of another type than its name tells is reported and not used, and so is
// a key that was made and cannot be read.
func TestVersionOfAnotherType(t *testing.T) {
	v := startVault(t)
	p := newProvisioner(t, v)
	v.addKey("ring-es256-"+strings.Repeat("a", 26), "ecdsa-p384")
	_, err := p.Versions(t.Context())
	if diff := diffFailure(failure{Op: "read key", Kind: signer.Refused}, "the key's type is not the one for ES256", err); diff != "" {
		t.Errorf("Versions (-want +got):\n%s", diff)
	}
	v.answer(func(w http.ResponseWriter, r received) bool {
		if r.Method == http.MethodGet {
			refuse(w, 403, "permission denied")
		}
		return r.Method == http.MethodGet
	})
	made, err := p.Create(t.Context(), "ES256")
	if diff := diffFailure(failure{Op: "read key", Code: "403", Kind: signer.Refused}, "permission denied", err); diff != "" || made.Signer != nil {
		t.Errorf("Create = %v (-want +got):\n%s", made, diff)
	}
}

func isMalformed(err error) bool {
	var failure *signer.Error
	return errors.As(err, &failure) && failure.Kind == signer.Malformed
}

// Replicas that create at once have a version each, of keys of their own.
func TestCreateConcurrently(t *testing.T) {
	v := startVault(t)
	want := map[string]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			made, err := newProvisioner(t, v).Create(t.Context(), "EdDSA")
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			want[made.ID] = "EdDSA"
		})
	}
	wg.Wait()
	if diff := cmp.Diff(want, listed(t, newProvisioner(t, v))); diff != "" || len(want) != 4 {
		t.Errorf("%d versions; Versions (-want +got):\n%s", len(want), diff)
	}
}

// A ring makes its keys in Vault, signs with them, and has them deleted when it
// revokes; a second replica signs with the same.
func TestRing(t *testing.T) {
	v := startVault(t)
	config := keyring.Config{Store: new(keyring.MemoryStore), Provisioner: newProvisioner(t, v)}
	ring, err := keyring.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	config.Provisioner = newProvisioner(t, v)
	second, err := keyring.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	for _, algorithm := range []string{"RS256", "ES256"} {
		for _, r := range []*keyring.Ring{ring, second} {
			if err := mint(t.Context(), r, algorithm); err != nil {
				t.Errorf("Mint with %s: %v", algorithm, err)
			}
		}
	}
	keys, err := ring.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := v.names()
	if len(before) != len(keys) {
		t.Errorf("Vault has %d keys for the ring's %d", len(before), len(keys))
	}
	if err := ring.Revoke(t.Context(), keys[0].ID); err != nil {
		t.Fatal(err)
	}
	if n := v.count("DELETE", "keys/ring-"); n != 1 {
		t.Errorf("%d keys were deleted after one was revoked", n)
	}
	if err := mint(t.Context(), ring, keys[0].Algorithm); err != nil {
		t.Errorf("Mint after Revoke: %v", err)
	}
}
