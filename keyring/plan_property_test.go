package keyring_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken/keyring"
	"pgregory.net/rapid"
)

// act is something that is done to a ring, or that happens to it.
type act struct {
	what    string // wait, revoke, rotate or outage
	replica int
	key     int
	hours   int
}

// P05, P06, K01, K03: after any operations on a ring, with any failures
// meanwhile, each stored document keeps the rules of the schedule.
func TestSchedule(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		period := time.Duration(rapid.IntRange(6, 200).Draw(rt, "period")) * time.Hour
		acts := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) act {
			return act{
				rapid.SampledFrom([]string{"wait", "wait", "wait", "revoke", "rotate", "outage"}).Draw(rt, "what"),
				rapid.IntRange(0, 1).Draw(rt, "replica"), rapid.IntRange(0, 9).Draw(rt, "key"), rapid.IntRange(1, 100).Draw(rt, "hours"),
			}
		}), 1, 30).Draw(rt, "acts")
		var mistakes []string
		synctest.Test(t, func(t *testing.T) { mistakes = play(t, period, acts) })
		for _, m := range mistakes {
			rt.Error(m)
		}
	})
}

// play does acts to a ring of two replicas and returns the rules that it broke.
func play(t *testing.T, period time.Duration, acts []act) (mistakes []string) {
	store := new(history)
	gate := &flaky{Store: store}
	c := keyring.Config{
		Store: gate, Wrapper: newWrapper(), Period: period,
		PollInterval: 10 * time.Minute, Propagation: 4 * time.Hour,
	}
	var rings []*keyring.Ring
	for _, skew := range []time.Duration{-4 * time.Minute, 4 * time.Minute} {
		c.Now = func() time.Time { return time.Now().Add(skew) }
		ring := newRing(t, c)
		defer ring.Close()
		rings = append(rings, ring)
	}
	forced := 0 // keys that may be made out of turn
	for _, a := range acts {
		ring := rings[a.replica]
		switch a.what {
		case "wait":
			time.Sleep(time.Duration(a.hours) * time.Hour)
		case "revoke":
			if published := kids(ring); len(published) > 0 {
				// The store may be away: the ring then tells it later.
				_ = ring.Revoke(t.Context(), published[a.key%len(published)])
				forced++
			}
		case "rotate":
			if _, err := ring.RotateNow(t.Context(), keyring.Rotation{Algorithm: "ES256"}); err == nil {
				forced++
			}
		case "outage":
			gate.set(!gate.away)
		}
	}
	gate.set(false)
	time.Sleep(time.Hour) // until all replicas have stored their revocations
	for _, ring := range rings {
		if err := ring.Err(); err != nil {
			mistakes = append(mistakes, fmt.Sprintf("Err: %v", err))
		}
	}
	if a, b := signing(t, rings[0], nil), signing(t, rings[1], nil); a != b {
		mistakes = append(mistakes, fmt.Sprintf("at rest, replicas sign with %s and %s", a, b))
	}
	return append(mistakes, broken(t, period, store.all(), forced)...)
}

// broken lists the rules that documents break, each and from one to the next.
func broken(t *testing.T, period time.Duration, documents [][]byte, forced int) (mistakes []string) {
	wrong := func(format string, a ...any) { mistakes = append(mistakes, fmt.Sprintf(format, a...)) }
	const lead = 5 * 60 * 60
	var before document
	begun := map[string]int64{} // when a key was to sign, by the document before
	for i, b := range documents {
		d := parse(t, b)
		if d.Generation != uint64(i+1) {
			wrong("generation %d comes %d.", d.Generation, i+1)
		}
		published := 0
		keys := slices.Clone(d.Keys)
		slices.SortStableFunc(keys, func(a, b key) int { return cmp.Compare(a.Activate, b.Activate) })
		for _, k := range keys {
			if k.Revoked == 0 {
				published++
			}
			if k.Activate > 0 && k.Activate < k.Published+lead && k.Activate > k.Published && forced == 0 {
				wrong("generation %d: %s signs %d s after it was published", d.Generation, k.Kid, k.Activate-k.Published)
			}
			if k.Retire-k.Activate > 365*24*3600 {
				wrong("generation %d: %s signs for %d s", d.Generation, k.Kid, k.Retire-k.Activate)
			}
		}
		if published > 10 {
			wrong("generation %d: %d keys are published", d.Generation, published)
		}
		for _, k := range before.Keys {
			if !slices.ContainsFunc(d.Keys, func(l key) bool { return l.Kid == k.Kid }) && k.Revoked == 0 && k.Retire == 0 {
				wrong("generation %d: %s is gone, which never signed", d.Generation, k.Kid)
			}
		}
		for _, k := range d.Keys {
			begun[k.Kid] = k.Activate
		}
		before = d
	}
	// One key per period, the next two, and the forced ones.
	first, last := parse(t, documents[1]).Keys[0].Created, time.Now().Unix()
	periods := int((last-first)/int64(period/time.Second)) + 1
	if n := len(begun); n > periods+2+2*forced {
		wrong("%d keys were made in %d periods with %d interventions", n, periods, forced)
	}
	return mistakes
}
