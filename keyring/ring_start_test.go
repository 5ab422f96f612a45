package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken/keyring"
)

// swapping is a store whose swaps fail.
type swapping struct {
	keyring.Store
	err   error
	swaps int
}

func (s *swapping) CompareAndSwap(context.Context, []byte, []byte) error {
	s.swaps++
	return s.err
}

// A ring does not start with a store that it may read and not write, although
// nothing is due: it would fail when the next key is.
func TestNewWithReadOnlyStore(t *testing.T) {
	for name, c := range map[string]keyring.Config{
		"a wrapper":     {Wrapper: newWrapper()},
		"a provisioner": {Provisioner: newService()},
		"a name":        {Wrapper: newWrapper(), Name: "tokens"},
	} {
		inner := new(keyring.MemoryStore)
		c.Store, c.Algorithms = inner, []string{"ES256"}
		newRing(t, c).Close()
		before := must(inner.Load(t.Context()))
		denied := errors.New("permission denied for table oidctoken_keyring")
		c.Store = &swapping{Store: inner, err: denied}
		ring, err := keyring.New(t.Context(), c)
		if ring != nil || !errors.Is(err, keyring.ErrStore) || !errors.Is(err, denied) {
			t.Errorf("%s: New: %v, want %v and the store's", name, err, keyring.ErrStore)
			continue
		}
		if !strings.Contains(err.Error(), "can be read and not written") {
			t.Errorf("%s: the error does not say what to do: %v", name, err)
		}
		if !bytes.Equal(before, must(inner.Load(t.Context()))) {
			t.Errorf("%s: the document has changed", name)
		}
	}
}

// A store that others write to all the time can be written.
func TestNewAmongWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner, wrapper := new(keyring.MemoryStore), newWrapper()
		newRing(t, keyring.Config{Store: inner, Wrapper: wrapper}).Close()
		store := &swapping{Store: inner, err: keyring.ErrConflict}
		newRing(t, keyring.Config{Store: store, Wrapper: wrapper}).Close()
		if store.swaps < 2 || store.swaps > 20 {
			t.Errorf("New tried %d times to write", store.swaps)
		}
	})
}

// Starting changes the generation and nothing else, and a replica that runs
// follows.
func TestNewWrites(t *testing.T) {
	store, wrapper := new(history), newWrapper()
	first := newRing(t, keyring.Config{Store: store, Wrapper: wrapper})
	made := len(store.all())
	if made != 4 { // the ring, a key, another key, and that it was published
		t.Errorf("the first start stored %d documents, want 4", made)
	}
	var events recorder
	newRing(t, keyring.Config{Store: store, Wrapper: wrapper, Audit: events.audit})
	all := store.all()
	if len(all) != made+1 {
		t.Fatalf("a second start stored %d documents, want 1", len(all)-made)
	}
	before, after := parse(t, all[made-1]), parse(t, all[made])
	before.Generation++
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the document (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff([]keyring.EventKind{keyring.Activated}, events.kinds()); diff != "" {
		t.Errorf("Audit (-want +got):\n%s", diff)
	}
	keys := kids(first)
	if err := first.Refresh(t.Context()); err != nil || !slices.Equal(keys, kids(first)) {
		t.Errorf("Refresh: %v", err)
	}
	if got := first.Status().Generation; got != after.Generation {
		t.Errorf("generation %d, want %d", got, after.Generation)
	}
}

// A store without its table is not an outage that passes.
func TestNotMigrated(t *testing.T) {
	store := &flaky{Store: new(keyring.MemoryStore)}
	ring := newRing(t, keyring.Config{Store: store})
	missing := &failingStore{errors.Join(keyring.ErrNotMigrated, errors.New("call Migrate"))}
	for name, err := range map[string]error{
		"New": func() error {
			_, err := keyring.New(t.Context(), keyring.Config{Store: missing, Wrapper: newWrapper()})
			return err
		}(),
		"Refresh": func() error { store.Store = missing; return ring.Refresh(t.Context()) }(),
		"Revoke":  ring.Revoke(t.Context(), kids(ring)[0]),
	} {
		if !errors.Is(err, keyring.ErrNotMigrated) || errors.Is(err, keyring.ErrStore) || !strings.Contains(err.Error(), "call Migrate") {
			t.Errorf("%s: %v, want %v", name, err, keyring.ErrNotMigrated)
		}
	}
}

type failingStore struct{ err error }

func (s *failingStore) Load(context.Context) ([]byte, error) { return nil, s.err }

func (s *failingStore) CompareAndSwap(context.Context, []byte, []byte) error { return s.err }

// The errors of a store, a wrapper and a provisioner are bounded where they enter,
// since the ring's go to logs.
func TestForeignErrorsAreBounded(t *testing.T) {
	long := errors.New(strings.Repeat(hostile, 100<<10))
	stored := new(keyring.MemoryStore)
	wrapper := newWrapper()
	newRing(t, keyring.Config{Store: stored, Wrapper: wrapper}).Close()
	for name, c := range map[string]keyring.Config{
		"Load":           {Store: &failingStore{long}, Wrapper: wrapper},
		"CompareAndSwap": {Store: &swapping{Store: stored, err: long}, Wrapper: wrapper},
		"Wrap":           {Store: new(keyring.MemoryStore), Wrapper: failingWrapper{long}},
		"Unwrap":         {Store: stored, Wrapper: failingWrapper{long}},
		"Versions":       {Store: new(keyring.MemoryStore), Provisioner: failingProvisioner{long}},
	} {
		_, err := keyring.New(t.Context(), c)
		if err == nil || !errors.Is(err, long) {
			t.Fatalf("%s: New: %.200v", name, err)
		}
		// A provisioner fails for each algorithm.
		if text := err.Error(); len(text) > 3<<10 || strings.ContainsAny(text, "\x1b\x00\a") {
			t.Errorf("%s: %d bytes: %.2000q", name, len(text), text)
		}
	}
}

// The same for a provisioner while the ring runs.
func TestProvisionerErrorsAreBounded(t *testing.T) {
	long := errors.New(strings.Repeat(hostile, 100<<10))
	check := func(what string, err error) {
		t.Helper()
		if text := fmt.Sprint(err); !errors.Is(err, long) || len(text) > 3<<10 || strings.ContainsAny(text, "\x1b\x00\a") {
			t.Errorf("%s: %d bytes: %.2000q", what, len(text), text)
		}
	}
	kms := newService()
	c := keyring.Config{Store: new(keyring.MemoryStore), Provisioner: kms, Algorithms: []string{"ES256"}}
	newRing(t, c).Close()
	c.Provisioner = failingProvisioner{long}
	check("Versions", newRing(t, c).Err())
	c.Provisioner = unlisted{failingProvisioner{long}}
	c.Store = new(keyring.MemoryStore)
	_, err := keyring.New(t.Context(), c)
	check("Create", err)
	c.Provisioner, c.Store = unretiring{newService(), long}, new(keyring.MemoryStore)
	ring := newRing(t, c)
	if err := ring.Revoke(t.Context(), kids(ring)[0]); err != nil {
		t.Fatal(err)
	}
	check("Retire", ring.Err())
}

type unlisted struct{ failingProvisioner }

func (unlisted) Versions(context.Context) ([]keyring.Version, error) { return nil, nil }

type unretiring struct {
	*service
	err error
}

func (p unretiring) Retire(context.Context, string) error { return p.err }

type failingWrapper struct{ err error }

func (w failingWrapper) Wrap(context.Context, []byte, []byte) ([]byte, error) { return nil, w.err }

func (w failingWrapper) Unwrap(context.Context, []byte, []byte) ([]byte, error) { return nil, w.err }

type failingProvisioner struct{ err error }

func (p failingProvisioner) Versions(context.Context) ([]keyring.Version, error) { return nil, p.err }

func (p failingProvisioner) Create(context.Context, string) (keyring.Version, error) {
	return keyring.Version{}, p.err
}

func (p failingProvisioner) Retire(context.Context, string) error { return p.err }
