package keyring_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
)

// Keys that never leave a service rotate like others: versions are created and
// retired when their time has come, and all replicas sign with them.
func TestProvisioner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kms, store := newService(), new(history)
		c := keyring.Config{Store: store, Provisioner: kms}
		a, b := newRing(t, c), newRing(t, c)
		defer a.Close()
		defer b.Close()
		seen := map[string]bool{}
		for range 200 {
			time.Sleep(day)
			kid := signing(t, a, nil)
			if other := signing(t, b, nil); other != kid {
				t.Fatalf("replicas sign with %s and %s", kid, other)
			}
			seen[kid] = true
		}
		made := madeKeys(t, store.all())
		if len(seen) != 7 || len(made) != 8 || kms.made != 8 {
			t.Errorf("%d keys signed, %d were made with %d versions; want 7, 8 and 8", len(seen), len(made), kms.made)
		}
		if len(kms.versions) != len(kids(a)) || len(kms.retired) != kms.made-len(kms.versions) {
			t.Errorf("%d versions are left for %d keys, %d were retired", len(kms.versions), len(kids(a)), len(kms.retired))
		}
		kid := signing(t, a, nil)
		if err := a.Revoke(t.Context(), kid); err != nil {
			t.Fatal(err)
		}
		if len(kms.retired) != kms.made-len(kms.versions) || len(kms.versions) != len(kids(a)) {
			t.Errorf("the revoked key's version was not retired: %d versions for %d keys", len(kms.versions), len(kids(a)))
		}
	})
}

// A version that was created and never stored is used, not forgotten.
func TestProvisionerAdopts(t *testing.T) {
	kms := newService()
	orphan := must(kms.Create(t.Context(), "ES256"))
	ring := newRing(t, keyring.Config{Provisioner: kms})
	if n := len(kids(ring)); kms.made != n {
		t.Errorf("%d versions were created, %d are in use", kms.made, n)
	}
	if !slices.ContainsFunc(kms.versions, func(v keyring.Version) bool { return v.ID == orphan.ID }) {
		t.Error("the version was retired")
	}
}

// A replica that starts while the service is away publishes at once and signs
// when the service is back.
func TestProvisionerOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kms, store := newService(), new(keyring.MemoryStore)
		c := keyring.Config{Store: store, Provisioner: kms}
		first := newRing(t, c)
		first.Close()
		kms.set(true)
		ring := newRing(t, c)
		defer ring.Close()
		issuer := newIssuer(t, ring, nil)
		if err := ring.Err(); !errors.Is(err, keyring.ErrProvisioner) || !errors.Is(err, errAway) {
			t.Errorf("Err: %v, want %v and the service's", err, keyring.ErrProvisioner)
		}
		if len(kids(ring)) != len(kids(first)) {
			t.Error("the JWK Set is not served")
		}
		if _, err := issuer.Mint(t.Context(), scope("ES256", time.Hour)); !errors.Is(err, oidctoken.ErrSignerUnavailable) || !errors.Is(err, keyring.ErrProvisioner) {
			t.Errorf("Mint: %v, want %v and %v", err, oidctoken.ErrSignerUnavailable, keyring.ErrProvisioner)
		}
		var temporary interface{ Temporary() bool } // such as a *signer.Error
		if _, err := issuer.Mint(t.Context(), scope("ES256", time.Hour)); !errors.As(err, &temporary) || !temporary.Temporary() {
			t.Errorf("Mint: %v, want the service's own error", err)
		}
		// The service gets at most one call a second while it is unavailable,
		// and the first mint that is due succeeds.
		called := kms.lists()
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			issuer.Mint(t.Context(), scope("ES256", time.Hour)) // fails, as before
		}
		if n := kms.lists() - called; n != 10 {
			t.Errorf("the service was called %d times in 10 s", n)
		}
		kms.set(false)
		time.Sleep(time.Second)
		before := kms.lists()
		for range 100 {
			mintWith(t, issuer, "ES256")
		}
		if n := kms.lists() - before; n != 1 {
			t.Errorf("the service was called %d times after it was back, want 1", n)
		}
		time.Sleep(66 * time.Second)
		if err := ring.Err(); err != nil {
			t.Errorf("Err: %v", err)
		}
	})
}

// A version whose key differs from the published one is not used.
func TestProvisionerSwapsKey(t *testing.T) {
	kms, store := newService(), new(keyring.MemoryStore)
	c := keyring.Config{Store: store, Provisioner: kms}
	newRing(t, c).Close()
	for i := range kms.versions {
		kms.versions[i].Signer = newSigner("ES256")
	}
	ring := newRing(t, c)
	if err := ring.Err(); !errors.Is(err, keyring.ErrProvisioner) {
		t.Errorf("Err: %v, want %v", err, keyring.ErrProvisioner)
	}
	issuer := newIssuer(t, ring, nil)
	if _, err := issuer.Mint(t.Context(), scope("ES256", time.Hour)); !errors.Is(err, oidctoken.ErrSignerUnavailable) {
		t.Errorf("Mint: %v, want %v", err, oidctoken.ErrSignerUnavailable)
	}
}

// One call of the service answers all callers, and a caller that leaves does
// not take the others with it.
func TestProvisionerLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kms, store := newService(), new(keyring.MemoryStore)
		c := keyring.Config{Store: store, Provisioner: kms}
		newRing(t, c).Close()
		kms.set(true)
		ring := newRing(t, c)
		ring.Close() // no poll: what is found, a caller found
		issuer := newIssuer(t, ring, nil)
		kms.set(false)
		release := kms.hold()
		before := kms.lists()
		leaving, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := issuer.Mint(leaving, scope("ES256", time.Hour))
			left <- err
		}()
		synctest.Wait()
		results := make(chan error, 50)
		for range cap(results) {
			go func() {
				_, err := issuer.Mint(t.Context(), scope("ES256", time.Hour))
				results <- err
			}()
		}
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that left: %v", err)
		}
		synctest.Wait()
		release()
		for range cap(results) {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if n := kms.lists() - before; n != 2 {
			t.Errorf("the service was called %d times, want 2", n)
		}
	})
}
