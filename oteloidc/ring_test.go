package oteloidc_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/keyring"
)

// flaky is a store that can be away.
type flaky struct {
	keyring.MemoryStore
	mu   sync.Mutex
	away bool
}

func (f *flaky) set(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
}

func (f *flaky) Load(ctx context.Context) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return nil, errors.New("connection refused by 10.1.2.3")
	}
	return f.MemoryStore.Load(ctx)
}

// wellRing returns the metrics of a new ring.
func wellRing() map[string]any {
	want := map[string]any{"keyring.failing{}": 0}
	for _, cause := range closed["oidctoken.keyring.cause"] {
		want["keyring.failures{keyring.cause="+cause+"}"] = 0
	}
	return want
}

// A ring's life: its first keys, an outage of its store, and a key that is
// revoked.
func TestRing(t *testing.T) {
	secret := make([]byte, 32)
	rand.Read(secret)
	wrapper := must(keyring.NewWrapper(must(keyring.ParseWrappingKey(base64.StdEncoding.EncodeToString(secret)))))
	o, store := newTelemetry(), new(flaky)
	var told []keyring.EventKind
	hook := o.Ring(func(_ context.Context, e keyring.Event) { told = append(told, e.Kind) })
	want := wellRing()
	check := func(what string, changes map[string]any) {
		t.Helper()
		for name, value := range changes {
			want["keyring."+name] = value
		}
		if diff := cmp.Diff(want, o.series("")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("before there is a ring", nil)

	ring := must(keyring.New(t.Context(), keyring.Config{Store: store, Wrapper: wrapper, Algorithms: []string{"ES256"}, Audit: hook}))
	defer ring.Close()
	check("new", map[string]any{
		"transitions{algorithm=ES256,keyring.transition=created}":   2,
		"transitions{algorithm=ES256,keyring.transition=published}": 1,
		"transitions{algorithm=ES256,keyring.transition=activated}": 1,
	})

	store.set(true)
	for range 3 {
		if err := ring.Refresh(t.Context()); !errors.Is(err, keyring.ErrStore) {
			t.Errorf("Refresh: %v", err)
		}
	}
	check("the store is away", map[string]any{"failures{keyring.cause=store}": 1, "failing{}": 1})

	store.set(false)
	if err := ring.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
	check("it is back", map[string]any{"failing{}": 0})

	if err := ring.Revoke(t.Context(), must(ring.Keys(t.Context()))[0].ID); err != nil {
		t.Error(err)
	}
	check("a key is revoked", map[string]any{
		"transitions{algorithm=ES256,keyring.transition=revoked}":   1,
		"transitions{algorithm=ES256,keyring.transition=created}":   3,
		"transitions{algorithm=ES256,keyring.transition=published}": 2,
		"transitions{algorithm=ES256,keyring.transition=activated}": 2,
	})
	if len(told) != 10 {
		t.Errorf("the hook behind was told %v", told)
	}
}

// A failure counts for its worst cause, and a ring that fails counts once.
func TestRingFailures(t *testing.T) {
	o := newTelemetry()
	one, other := o.Ring(nil), o.Ring(nil)
	want := wellRing()
	want["keyring.failing{}"] = 1
	for _, tt := range []struct {
		err  error
		want string
	}{
		{keyring.ErrStore, "store"},
		{keyring.ErrWrapper, "wrapper"},
		{keyring.ErrProvisioner, "provisioner"},
		{keyring.ErrNotPublished, "unseen"},
		{keyring.ErrTooManyKeys, "too_many_keys"},
		{keyring.ErrClock, "clock"},
		{keyring.ErrCorrupt, "corrupt"},
		{errors.Join(keyring.ErrStore, keyring.ErrTampered), "tampered"},
		{keyring.ErrOlder, "older"},
		{keyring.ErrNewer, "newer"},
		{fmt.Errorf("%w: %w", keyring.ErrOlder, keyring.ErrOtherRing), "other_ring"},
		{keyring.ErrNotMigrated, "not_migrated"},
		{errors.New("another"), "other"},
	} {
		one(t.Context(), keyring.Event{Kind: keyring.Failed, Err: fmt.Errorf("keyring: %w", tt.err)})
		want["keyring.failures{keyring.cause="+tt.want+"}"] = 1
	}
	check := func(what string) {
		t.Helper()
		if diff := cmp.Diff(want, o.series("")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("one fails")
	other(t.Context(), keyring.Event{Kind: keyring.Recovered}) // it had not failed
	check("another one is well")
	other(t.Context(), keyring.Event{Kind: keyring.Failed, Err: keyring.ErrStore})
	want["keyring.failing{}"], want["keyring.failures{keyring.cause=store}"] = 2, 2
	check("both fail")
	one(t.Context(), keyring.Event{Kind: keyring.Recovered})
	one(t.Context(), keyring.Event{Kind: keyring.Recovered})
	want["keyring.failing{}"] = 1
	check("one has recovered")
}

// Every transition has a label.
func TestTransitions(t *testing.T) {
	o := newTelemetry()
	hook := o.Ring(nil)
	want := wellRing()
	want["keyring.transitions{algorithm=none,keyring.transition=other}"] = 1
	for _, kind := range []keyring.EventKind{
		keyring.Created, keyring.Published, keyring.Activated, keyring.Extended, keyring.Rotated,
		keyring.Revoked, keyring.Removed, keyring.Raised, keyring.Rewrapped, keyring.Named,
	} {
		hook(t.Context(), keyring.Event{Kind: kind, Algorithm: "RS256"})
		want["keyring.transitions{algorithm=RS256,keyring.transition="+string(kind)+"}"] = 1
	}
	hook(t.Context(), keyring.Event{Kind: "acme"})
	if diff := cmp.Diff(want, o.series("")); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}
