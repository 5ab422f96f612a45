package keyring_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
)

// While the store or the wrapper is away, a ring mints and publishes from
// memory until its keys end, and recovers with the first poll after. Each state
// has its error and its event.
func TestOutage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		length time.Duration
		mints  bool // at its end
		after  []keyring.EventKind
	}{
		{"of an hour", time.Hour, true, []keyring.EventKind{keyring.Failed, keyring.Recovered}},
		// The second key takes over meanwhile, with no help.
		{"of a period and a half", 45 * day, true, []keyring.EventKind{
			keyring.Failed, keyring.Activated, keyring.Removed, keyring.Created, keyring.Published, keyring.Recovered,
		}},
		// Verifiers still have the second key, so it signs on until the third has
		// been published for long enough, and the fourth is for the period after.
		{"until the last key has just ended", 60*day + time.Hour, false, []keyring.EventKind{
			keyring.Failed, keyring.Activated, keyring.Removed, keyring.Extended,
			keyring.Created, keyring.Published, keyring.Created, keyring.Published, keyring.Recovered,
		}},
		// No replica has a key, so the next one signs at once.
		{"until all keys are gone", 70 * day, false, []keyring.EventKind{
			keyring.Failed, keyring.Activated, keyring.Removed, keyring.Removed, keyring.Created, keyring.Created, keyring.Published, keyring.Recovered, keyring.Activated,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &flaky{Store: new(keyring.MemoryStore)}
				var events recorder
				ring := newRing(t, keyring.Config{Store: store, Audit: events.audit})
				defer ring.Close()
				issuer := newIssuer(t, ring, nil)
				events.reset()
				store.set(true)
				time.Sleep(tt.length)
				if err := ring.Err(); !errors.Is(err, keyring.ErrStore) || !errors.Is(err, errAway) {
					t.Errorf("Err: %v, want %v and the store's", err, keyring.ErrStore)
				}
				_, err := issuer.Mint(t.Context(), scope("ES256", time.Hour))
				if tt.mints && err != nil || !tt.mints && !errors.Is(err, oidctoken.ErrNoKey) {
					t.Errorf("Mint at the end of the outage: %v", err)
				}
				if _, err := issuer.JWKSet(t.Context()); err != nil && tt.length < 62*day {
					t.Errorf("JWK Set at the end of the outage: %v", err)
				}
				store.set(false)
				time.Sleep(66 * time.Second) // a poll
				mintWith(t, issuer, "ES256")
				if err := ring.Err(); err != nil {
					t.Errorf("Err after the outage: %v", err)
				}
				if diff := cmp.Diff(tt.after, events.kinds()); diff != "" {
					t.Errorf("Audit (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A wrapper is needed to start, and to change the data key: nothing else.
func TestWrapperOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, wrapper := new(keyring.MemoryStore), &flakyWrapper{Wrapper: newWrapper()}
		ring := newRing(t, keyring.Config{Store: store, Wrapper: wrapper})
		defer ring.Close()
		issuer := newIssuer(t, ring, nil)
		wrapper.set(true)
		time.Sleep(200 * day) // six rotations
		mintWith(t, issuer, "ES256")
		if err := ring.Err(); err != nil {
			t.Errorf("Err: %v", err)
		}
		c := keyring.Config{Store: store, Wrapper: wrapper}
		if _, err := keyring.New(t.Context(), c); !errors.Is(err, keyring.ErrWrapper) || !errors.Is(err, errAway) {
			t.Errorf("New without its wrapper: %v, want %v and the wrapper's", err, keyring.ErrWrapper)
		}
		wrapper.set(false)
		before := wrapper.calls
		newRing(t, c).Close()
		if n := wrapper.calls - before; n != 1 {
			t.Errorf("a replica asks the wrapper %d times to start, want once", n)
		}
	})
}

// A ring that cannot be made is not half there.
func TestNewWithoutStore(t *testing.T) {
	store := &flaky{Store: new(keyring.MemoryStore), away: true}
	c := keyring.Config{Store: store, Wrapper: newWrapper(), Algorithms: []string{"ES256"}}
	if ring, err := keyring.New(t.Context(), c); ring != nil || !errors.Is(err, keyring.ErrStore) {
		t.Errorf("New: %v, %v; want %v", ring, err, keyring.ErrStore)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	store.set(false)
	if ring, err := keyring.New(cancelled, c); ring != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("New with a context that has ended: %v, %v", ring, err)
	}
}

// A swap whose answer is lost has happened all the same; it is not made twice.
func TestLostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := new(history)
		store := &flaky{Store: inner}
		ring := newRing(t, keyring.Config{Store: store})
		defer ring.Close()
		issuer := newIssuer(t, ring, nil)
		store.mu.Lock()
		store.silent = true
		store.mu.Unlock()
		for range 100 {
			time.Sleep(day)
			mintWith(t, issuer, "ES256")
		}
		all := inner.all()
		d := parse(t, all[len(all)-1])
		if n := len(d.Keys); n < 2 || n > 4 {
			t.Errorf("%d keys", n)
		}
		if made := madeKeys(t, all); len(made) != 5 {
			t.Errorf("%d keys were made in 100 days, want one for each of 5 periods", len(made))
		}
	})
}

// A replica whose clock is slow by more than Skew makes no transition and
// reports ErrClock. A key that a replica with a fast clock made can be revoked.
func TestWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, wrapper := new(history), newWrapper()
		right := newRing(t, keyring.Config{Store: store, Wrapper: wrapper})
		defer right.Close()
		time.Sleep(day)
		c := keyring.Config{Store: store, Wrapper: wrapper, Now: func() time.Time { return time.Now().Add(400 * day) }}
		fast := newRing(t, c)
		fast.Close()
		made := len(store.all())
		time.Sleep(5 * day)
		if err := right.Err(); !errors.Is(err, keyring.ErrClock) {
			t.Errorf("Err: %v, want %v", err, keyring.ErrClock)
		}
		if n := len(store.all()); n != made {
			t.Errorf("%d more documents were stored", n-made)
		}
		for _, kid := range kids(right) {
			if err := right.Revoke(t.Context(), kid); err != nil {
				t.Fatal(err)
			}
		}
		signing(t, right, nil)
		if err := right.Err(); err != nil {
			t.Errorf("Err when the keys from the future are gone: %v", err)
		}
	})
}

// madeKeys returns the kids of all keys that there ever were.
func madeKeys(t *testing.T, documents [][]byte) map[string]bool {
	made := make(map[string]bool)
	for _, b := range documents {
		for _, k := range parse(t, b).Keys {
			made[k.Kid] = true
		}
	}
	return made
}

// K03: processes that are killed as soon as they have started, or before, make
// one key per period all the same.
func TestCrashLoop(t *testing.T) {
	for _, provisioned := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store, kms := new(history), newService()
			c := keyring.Config{Store: store, Algorithms: []string{"ES256"}, Wrapper: newWrapper()}
			if provisioned {
				c.Provisioner = kms
			}
			crash := errors.New("crash")
			for i := range 1000 {
				func() {
					ctx, kill := context.WithCancelCause(t.Context())
					defer kill(nil)
					// The process ends after some calls of its store.
					killed := c
					killed.Store = &mortal{store, i % 7, func() { kill(crash) }}
					ring, err := keyring.New(ctx, killed)
					if err == nil {
						ring.Close()
					}
				}()
				time.Sleep(time.Hour)
			}
			made := madeKeys(t, store.all())
			if len(made) < 3 || len(made) > 4 { // 41 days; a period is 30 days
				t.Errorf("%d keys were made", len(made))
			}
			if provisioned && kms.made != len(made) {
				t.Errorf("%d versions were created for %d keys", kms.made, len(made))
			}
		})
	}
}

// mortal fails for ever after some calls.
type mortal struct {
	keyring.Store
	left int
	kill func()
}

func (m *mortal) dies() error {
	if m.left--; m.left < 0 {
		m.kill()
		return context.Canceled
	}
	return nil
}

func (m *mortal) Load(ctx context.Context) ([]byte, error) {
	if err := m.dies(); err != nil {
		return nil, err
	}
	return m.Store.Load(ctx)
}

func (m *mortal) CompareAndSwap(ctx context.Context, old, replacement []byte) error {
	if err := m.dies(); err != nil {
		return err
	}
	return m.Store.CompareAndSwap(ctx, old, replacement)
}
