package keyring_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken/keyring"
)

// pair is two replicas of a ring in a bubble.
func pair(t *testing.T, store keyring.Store) (a, b *keyring.Ring) {
	c := keyring.Config{Store: store, Wrapper: newWrapper()}
	return newRing(t, c), newRing(t, c)
}

// K02: a revoked key signs nothing more and leaves the JWK Set: at once on the
// replica that called Revoke, and on the others with their next poll. The next
// key signs, and subscribers are called.
func TestRevoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, new(keyring.MemoryStore))
		defer a.Close()
		defer b.Close()
		var mu sync.Mutex
		told := map[string][]string{}
		hear := func(who string) func(string) {
			return func(kid string) {
				mu.Lock()
				defer mu.Unlock()
				told[who] = append(told[who], kid)
			}
		}
		a.Subscribe(hear("a"))
		b.Subscribe(hear("b"))
		stop := b.Subscribe(hear("nobody"))
		stop()
		time.Sleep(2 * day)
		issuer := newIssuer(t, a, nil)
		revoked := mintWith(t, issuer, "ES256").KeyID()
		if err := a.Revoke(t.Context(), revoked); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		if diff := cmp.Diff(map[string][]string{"a": {revoked}}, told); diff != "" {
			t.Errorf("told before Revoke returned (-want +got):\n%s", diff)
		}
		mu.Unlock()
		if slices.Contains(kids(a), revoked) || mintWith(t, issuer, "ES256").KeyID() == revoked {
			t.Error("the key is still there")
		}
		time.Sleep(66 * time.Second)
		if slices.Contains(kids(b), revoked) {
			t.Error("another replica still publishes the key after a poll")
		}
		if diff := cmp.Diff(signing(t, a, nil), signing(t, b, nil)); diff != "" {
			t.Errorf("replicas sign with different keys (-a +b):\n%s", diff)
		}
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff(map[string][]string{"a": {revoked}, "b": {revoked}}, told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if n := len(kids(a)); n != 2 {
			t.Errorf("%d keys are published, want the active and the next", n)
		}
		if err := b.Revoke(t.Context(), revoked); err != nil {
			t.Errorf("Revoke for the second time: %v", err)
		}
		if err := a.Revoke(t.Context(), "unknown"); !errors.Is(err, keyring.ErrUnknownKey) {
			t.Errorf("Revoke of an unknown key: %v, want %v", err, keyring.ErrUnknownKey)
		}
	})
}

// K02: after any revocations, however fast, some key signs.
func TestRevokeAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, new(keyring.MemoryStore))
		defer a.Close()
		defer b.Close()
		gone := map[string]bool{}
		for range 100 {
			kid := signing(t, a, nil)
			if gone[kid] {
				t.Fatalf("%s signs, which was revoked", kid)
			}
			gone[kid] = true
			if err := a.Revoke(t.Context(), kid); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(66 * time.Second)
		for kid := range gone {
			if slices.Contains(kids(b), kid) {
				t.Errorf("%s is published", kid)
			}
		}
		signing(t, b, nil)
	})
}

// A replica that cannot store a revocation obeys it, reports the failure, and
// stores it later.
func TestRevokeWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: new(keyring.MemoryStore)}
		a, b := pair(t, store)
		defer a.Close()
		defer b.Close()
		time.Sleep(2 * day)
		kid := signing(t, a, nil)
		store.set(true)
		if err := a.Revoke(t.Context(), kid); !errors.Is(err, keyring.ErrStore) {
			t.Errorf("Revoke: %v, want %v", err, keyring.ErrStore)
		}
		if slices.Contains(kids(a), kid) || signing(t, a, nil) == kid {
			t.Error("the key is still there")
		}
		store.set(false)
		time.Sleep(3 * time.Minute)
		if slices.Contains(kids(b), kid) || signing(t, b, nil) != signing(t, a, nil) {
			t.Error("the other replica does not know")
		}
		if err := a.Err(); err != nil {
			t.Errorf("Err: %v", err)
		}
	})
}

// P06: RotateNow does not let a key sign before verifiers have it, except with
// InsecureUnpublished, and all replicas change at the same time.
func TestRotateNow(t *testing.T) {
	for _, tt := range []struct {
		name     string
		age      time.Duration // of the ring
		insecure bool
		want     time.Duration // until the next key signs
	}{
		{"a key that was published long ago", 10 * day, false, 12*time.Minute + 11*time.Second},
		{"a key that was published an hour ago", time.Hour, false, 24 * time.Hour},
		{"the same, insecurely", time.Hour, true, 0},
		{"a key whose successor is there already", 29*day + 12*time.Hour, false, 12*time.Minute + 11*time.Second},
		{"a key that is about to sign", 30*day - 20*time.Minute, false, 10 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := pair(t, new(keyring.MemoryStore))
				defer a.Close()
				defer b.Close()
				time.Sleep(tt.age)
				before := signing(t, a, nil)
				at, err := a.RotateNow(t.Context(), keyring.Rotation{Algorithm: "ES256", InsecureUnpublished: tt.insecure})
				if got := time.Until(at); err != nil || got != tt.want {
					t.Fatalf("RotateNow: in %v, %v; want in %v", got, err, tt.want)
				}
				time.Sleep(tt.want - time.Second)
				if tt.want > 0 && (signing(t, a, nil) != before || signing(t, b, nil) != before) {
					t.Error("the next key signs before its time")
				}
				time.Sleep(time.Second)
				if signing(t, a, nil) == before || tt.want > 0 && signing(t, b, nil) != signing(t, a, nil) {
					t.Error("the next key does not sign at its time")
				}
				if !slices.Contains(kids(b), before) {
					t.Error("the key that was replaced is no longer published")
				}
				// K01: it does not sign for longer than others.
				for _, k := range must(a.Keys(t.Context())) {
					if d := k.NotAfter.Sub(k.NotBefore); k.ID == signing(t, a, nil) && d != 30*day {
						t.Errorf("the next key is to sign for %v, want 30 days", d)
					}
				}
			})
		})
	}
}

// P05: more keys than may be published are not made.
func TestRotateTooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(history)
		ring := newRing(t, keyring.Config{Store: store})
		defer ring.Close()
		var err error
		for range 12 {
			if _, err = ring.RotateNow(t.Context(), keyring.Rotation{Algorithm: "ES256", InsecureUnpublished: true}); err != nil {
				break
			}
			time.Sleep(time.Second)
			signing(t, ring, nil)
		}
		if !errors.Is(err, keyring.ErrTooManyKeys) {
			t.Errorf("RotateNow: %v, want %v", err, keyring.ErrTooManyKeys)
		}
		if n := len(kids(ring)); n > 10 {
			t.Errorf("%d keys are published", n)
		}
		if _, err := ring.RotateNow(t.Context(), keyring.Rotation{Algorithm: "EdDSA"}); !errors.Is(err, keyring.ErrUnknownKey) {
			t.Errorf("RotateNow of an algorithm without keys: %v, want %v", err, keyring.ErrUnknownKey)
		}
		time.Sleep(100 * day)
		if n := len(kids(ring)); n > 3 {
			t.Errorf("%d keys are left", n)
		}
	})
}
