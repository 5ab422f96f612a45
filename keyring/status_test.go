package keyring_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
)

// isReady is the rule of docs/rotation.md for a health check.
func isReady(ring *keyring.Ring) bool { return time.Now().Before(ring.Status().SignsUntil) }

// With its store away, a replica is ready for exactly as long as it mints with
// every algorithm, and again once the store is back.
func TestReadiness(t *testing.T) {
	for _, tt := range []struct {
		algorithms []string
		revoked    string // whose first key is, so that its last key ends later
	}{
		{[]string{"ES256"}, "ES256"}, {[]string{"EdDSA", "ES256"}, "ES256"}, {[]string{"ES256", "EdDSA"}, "ES256"},
	} {
		algorithms := tt.algorithms
		synctest.Test(t, func(t *testing.T) {
			store := &flaky{Store: new(keyring.MemoryStore)}
			ring := newRing(t, keyring.Config{Store: store, Algorithms: algorithms})
			defer ring.Close()
			issuer := newIssuer(t, ring, nil)
			mints := func() bool {
				for _, alg := range algorithms {
					if _, err := issuer.Mint(t.Context(), scope(alg, time.Hour)); err != nil && !errors.Is(err, oidctoken.ErrNoKey) {
						t.Fatal(err)
					} else if err != nil {
						return false
					}
				}
				return true
			}
			time.Sleep(10 * day)
			keys := must(ring.Keys(t.Context()))
			i := slices.IndexFunc(keys, func(k oidctoken.Key) bool { return k.Algorithm == tt.revoked })
			if err := ring.Revoke(t.Context(), keys[i].ID); err != nil {
				t.Fatal(err)
			}
			until := ring.Status().SignsUntil
			if d := time.Until(until); d < 25*day || d > 61*day {
				t.Fatalf("the replica signs for %v by itself", d)
			}
			store.set(true)
			var ended time.Time
			for range 70 * 24 * 2 {
				time.Sleep(30 * time.Minute)
				if mints() != isReady(ring) {
					t.Fatalf("at %v: it mints: %v, it is ready: %v, SignsUntil: %v", time.Now(), mints(), isReady(ring), ring.Status().SignsUntil)
				}
				if ended.IsZero() && !isReady(ring) {
					ended = time.Now()
				}
			}
			if d := ended.Sub(until); d < 0 || d > 30*time.Minute {
				t.Errorf("the replica was to be ready until %v, and was until %v", until, ended)
			}
			store.set(false)
			time.Sleep(66 * time.Second)
			if !mints() || !isReady(ring) {
				t.Errorf("after the outage: it mints: %v, it is ready: %v", mints(), isReady(ring))
			}
		})
	}
}

// To the second: the replica is ready before the last key ends, and not from then on.
func TestReadinessEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: new(keyring.MemoryStore)}
		ring := newRing(t, keyring.Config{Store: store})
		defer ring.Close()
		store.set(true)
		keys := must(ring.Keys(t.Context()))
		last := keys[len(keys)-1].NotAfter
		if got := ring.Status().SignsUntil; !got.Equal(last) {
			t.Errorf("SignsUntil %v, want the end of the last key, %v", got, last)
		}
		issuer := newIssuer(t, ring, nil)
		time.Sleep(time.Until(last) - time.Nanosecond)
		mintWith(t, issuer, "ES256")
		if !isReady(ring) {
			t.Error("it is not ready while it mints")
		}
		time.Sleep(time.Nanosecond)
		if _, err := issuer.Mint(t.Context(), scope("ES256", time.Hour)); !errors.Is(err, oidctoken.ErrNoKey) {
			t.Fatal(err)
		}
		if s := ring.Status(); isReady(ring) || !s.SignsUntil.IsZero() {
			t.Errorf("it is ready until %v and mints nothing", s.SignsUntil)
		}
	})
}

// A replica whose keys are in a service that it has not found cannot sign.
func TestReadinessOfProvisioned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, kms := new(keyring.MemoryStore), newService()
		c := keyring.Config{Store: store, Provisioner: kms}
		if s := newRing(t, c).Status(); !time.Now().Before(s.SignsUntil) {
			t.Errorf("SignsUntil %v", s.SignsUntil)
		}
		kms.set(true)
		ring := newRing(t, c)
		defer ring.Close()
		if s := ring.Status(); !s.SignsUntil.IsZero() || !errors.Is(s.Err, keyring.ErrProvisioner) {
			t.Errorf("without the service: SignsUntil %v, Err %v", s.SignsUntil, s.Err)
		}
		kms.set(false)
		time.Sleep(66 * time.Second)
		if s := ring.Status(); s.SignsUntil.IsZero() || s.Err != nil {
			t.Errorf("with the service: SignsUntil %v, Err %v", s.SignsUntil, s.Err)
		}
	})
}

// A Status has the time of the last poll and of the beginning of a failure.
func TestStatusOfOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: new(keyring.MemoryStore)}
		ring := newRing(t, keyring.Config{Store: store, PollInterval: time.Hour})
		defer ring.Close()
		refresh := func(want error) keyring.Status {
			t.Helper()
			if err := ring.Refresh(t.Context()); !errors.Is(err, want) {
				t.Fatalf("Refresh: %v, want %v", err, want)
			}
			s := ring.Status()
			if !errors.Is(s.Err, want) || (want == nil) != (s.Err == nil) {
				t.Errorf("Err: %v, want %v", s.Err, want)
			}
			return s
		}
		start := time.Now()
		if s := ring.Status(); !s.LastPoll.Equal(start) || !s.FailingSince.IsZero() || s.Err != nil {
			t.Errorf("at the start: %+v", s)
		}
		time.Sleep(time.Minute)
		read := time.Now()
		if s := refresh(nil); !s.LastPoll.Equal(read) || !s.FailingSince.IsZero() {
			t.Errorf("after a poll: %+v", s)
		}
		store.set(true)
		time.Sleep(time.Minute)
		failing := time.Now()
		for range 3 {
			if s := refresh(keyring.ErrStore); !s.LastPoll.Equal(read) || !s.FailingSince.Equal(failing) {
				t.Errorf("the store is away: %+v, want LastPoll %v and FailingSince %v", s, read, failing)
			}
			time.Sleep(time.Minute)
		}
		store.set(false)
		if s := refresh(nil); !s.LastPoll.Equal(time.Now()) || !s.FailingSince.IsZero() {
			t.Errorf("the store is back: %+v", s)
		}
		// A caller whose ctx has ended is not a failure of the store.
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := ring.Refresh(cancelled); err == nil || ring.Status().Err != nil {
			t.Errorf("Refresh: %v, Status: %+v", err, ring.Status())
		}
	})
}

// A key goes through its states at the times that its Status has announced.
func TestStatusOfKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blocked := errors.New("not there")
		var isBlocked bool
		store := &flaky{Store: new(keyring.MemoryStore)}
		ring := newRing(t, keyring.Config{Store: store, PollInterval: time.Hour, Published: func(context.Context, string) error {
			if isBlocked {
				return blocked
			}
			return nil
		}})
		defer ring.Close()
		check := func(what string, want ...keyring.KeyStatus) {
			t.Helper()
			got := ring.Status().Keys
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(keyring.KeyStatus{}, "ID", "Algorithm")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
			for i, k := range kids(ring) {
				if i < len(got) && (got[i].ID == "" || got[i].Algorithm != "ES256" || k == "") {
					t.Errorf("%s: key %d: %+v", what, i, got[i])
				}
			}
		}
		keys := must(ring.Keys(t.Context()))
		first, second := keys[0], keys[1]
		check("at the start",
			keyring.KeyStatus{State: keyring.StateActive, Next: keyring.StateRetired, NextAt: first.NotAfter},
			keyring.KeyStatus{State: keyring.StatePublished, Next: keyring.StateActive, NextAt: second.NotBefore})
		store.set(true)
		time.Sleep(time.Until(first.NotAfter) - time.Second)
		check("before the first ends",
			keyring.KeyStatus{State: keyring.StateActive, Next: keyring.StateRetired, NextAt: first.NotAfter},
			keyring.KeyStatus{State: keyring.StatePublished, Next: keyring.StateActive, NextAt: second.NotBefore})
		time.Sleep(time.Second)
		check("when it ends",
			keyring.KeyStatus{State: keyring.StateRetired, Next: keyring.StateRemoved, NextAt: first.Expires},
			keyring.KeyStatus{State: keyring.StateActive, Next: keyring.StateRetired, NextAt: second.NotAfter})
		time.Sleep(time.Until(first.Expires))
		check("when it leaves the JWK Set",
			keyring.KeyStatus{State: keyring.StateRemoved},
			keyring.KeyStatus{State: keyring.StateActive, Next: keyring.StateRetired, NextAt: second.NotAfter})
		isBlocked = true
		store.set(false)
		time.Sleep(4 * time.Hour) // until every clock agrees
		check("a third is made and not seen",
			keyring.KeyStatus{State: keyring.StateActive, Next: keyring.StateRetired, NextAt: second.NotAfter},
			keyring.KeyStatus{State: keyring.StateMade, Next: keyring.StatePublished})
		isBlocked = false
		// The document was read, and one of its changes failed.
		if s := ring.Status(); !errors.Is(s.Err, keyring.ErrNotPublished) || time.Since(s.LastPoll) > 66*time.Minute || !s.FailingSince.Before(s.LastPoll) {
			t.Errorf("a key is not seen: LastPoll %v, FailingSince %v, Err %v", s.LastPoll, s.FailingSince, s.Err)
		}
		revoked := time.Now().Truncate(time.Second)
		if err := ring.Revoke(t.Context(), second.ID); err != nil {
			t.Fatal(err)
		}
		got := ring.Status().Keys[0]
		want := keyring.KeyStatus{ID: second.ID, Algorithm: "ES256", State: keyring.StateRevoked, Next: keyring.StateRemoved, NextAt: revoked.Add(2*time.Hour + 5*time.Minute)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("a revoked key (-want +got):\n%s", diff)
		}
	})
}

// A Status and an Event log and marshal with the text of their error, and nothing
// that is private.
func TestStatusIsReadable(t *testing.T) {
	store := &flaky{Store: new(keyring.MemoryStore)}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ring := newRing(t, keyring.Config{Store: store, PollInterval: time.Hour, Now: func() time.Time { return now }})
	store.set(true)
	now = now.Add(time.Minute)
	if err := ring.Refresh(t.Context()); err == nil {
		t.Fatal("Refresh succeeds")
	}
	ids := kids(ring)
	want := `{"LastPoll":"2026-03-01T12:00:00Z","FailingSince":"2026-03-01T12:01:00Z","Err":"the store is not available: it is away","Generation":4,"SignsUntil":"2026-04-30T11:50:00Z","Keys":[` +
		`{"ID":"` + ids[0] + `","Algorithm":"ES256","State":"active","Next":"retired","NextAt":"2026-03-31T11:50:00Z"},` +
		`{"ID":"` + ids[1] + `","Algorithm":"ES256","State":"published","Next":"active","NextAt":"2026-03-31T11:50:00Z"}]}`
	if diff := cmp.Diff(want, string(must(json.Marshal(ring.Status())))); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("ring", "status", ring.Status())
	if !strings.Contains(b.String(), `"status":`+want) {
		t.Errorf("slog: %s", b.String())
	}
	if got := string(must(json.Marshal(keyring.Status{}))); got != "{}" {
		t.Errorf("the zero Status is %s", got)
	}
}

// Every Event in a JSON log has the text of its error, also in a pointer or a
// struct of the host's.
func TestEventIsReadable(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		event keyring.Event
		want  string
	}{
		{keyring.Event{}, `{}`},
		{
			keyring.Event{Time: at, Kind: keyring.Failed, Generation: 7, Err: fmt.Errorf("%w: %w", keyring.ErrStore, errAway)},
			`{"Time":"2026-03-01T12:00:00Z","Kind":"failed","Generation":7,"Err":"the store is not available: it is away"}`,
		},
		{
			keyring.Event{Time: at, Kind: keyring.Created, Algorithm: "ES256", KeyID: "k1", Generation: 1},
			`{"Time":"2026-03-01T12:00:00Z","Kind":"created","Algorithm":"ES256","KeyID":"k1","Generation":1}`,
		},
	} {
		for _, v := range []any{tt.event, &tt.event} {
			if diff := cmp.Diff(tt.want, string(must(json.Marshal(v)))); diff != "" {
				t.Errorf("JSON of %T (-want +got):\n%s", v, diff)
			}
			var b bytes.Buffer
			slog.New(slog.NewJSONHandler(&b, nil)).Info("ring", "event", v)
			if tt.event != (keyring.Event{}) && !strings.Contains(b.String(), `"event":`+tt.want) {
				t.Errorf("slog of %T: %s", v, b.String())
			}
		}
		if got := string(must(json.Marshal(struct{ E keyring.Event }{tt.event}))); got != `{"E":`+tt.want+`}` {
			t.Errorf("JSON in a struct: %s", got)
		}
	}
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("ring", "event", keyring.Event{Kind: keyring.Failed, Err: keyring.ErrStore})
	if !strings.Contains(b.String(), `event.Err="the store is not available"`) {
		t.Errorf("slog as text: %s", b.String())
	}
}
