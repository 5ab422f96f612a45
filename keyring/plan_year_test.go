package keyring_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
)

const day = 24 * time.Hour

// size returns the length of a simulation, and how often it mints.
func size() (d time.Duration, every map[string]int, rotations int) {
	if isFull() {
		return 365 * day, map[string]int{"ES256": 1, "RS256": 100}, 100
	}
	return 45 * day, map[string]int{"ES256": 8, "RS256": 400}, 12
}

// P06, K04: keys rotate for a year, and no verifier refuses a token: with
// replicas whose clocks are off and whose reads are old, and verifiers that
// keep the JWK Set for the whole of max-age.
func TestYear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, every, rotations := size()
		s := newSimulation(t, keyring.Config{Algorithms: []string{"ES256", "RS256"}, Period: 7 * day, MaxLifetime: 2 * time.Hour}, nil)
		s.run(d, every, nil)
		s.conclude(rotations)
	})
}

// The same behind a proxy that sends no Age.
func TestYearBehindProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, keyring.Config{Algorithms: []string{"ES256"}, Period: 3 * day, Propagation: 2 * time.Hour}, nil)
		s.proxy = new(verifier)
		s.run(20*day, map[string]int{"ES256": 4}, nil)
		s.conclude(6)
	})
}

// The simulation detects two mistakes: a key that signs as soon as it is made,
// and one that leaves the JWK Set as soon as it retires.
func TestYearNoticesMistakes(t *testing.T) {
	for name, change := range map[string]func([]oidctoken.Key) []oidctoken.Key{
		"signs too early": func(keys []oidctoken.Key) []oidctoken.Key {
			for i := range keys {
				keys[i].NotBefore = time.Unix(int64(i), 0) // the newest signs
			}
			return keys
		},
		"leaves too early": func(keys []oidctoken.Key) []oidctoken.Key {
			keys = slices.DeleteFunc(keys, func(k oidctoken.Key) bool {
				return !k.NotAfter.IsZero() && time.Now().After(k.NotAfter.Add(5*time.Minute)) // of the slow clock
			})
			for i := range keys {
				keys[i].Expires = time.Time{}
			}
			return keys
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSimulation(t, keyring.Config{Algorithms: []string{"ES256"}, Period: 3 * day}, func(r *keyring.Ring) oidctoken.KeySource {
					return mistaken{r, change}
				})
				s.run(7*day, map[string]int{"ES256": 1}, func() {
					for i := range 4 { // so that chance cannot hide it
						s.mint("ES256", i%len(s.replicas))
					}
				})
				if t.Logf("%d tokens were refused", len(s.rejected)); len(s.rejected) == 0 {
					t.Error("no token was refused")
				}
			})
		})
	}
}

// mistaken changes a ring's keys.
type mistaken struct {
	*keyring.Ring
	change func([]oidctoken.Key) []oidctoken.Key
}

func (m mistaken) Keys(ctx context.Context) ([]oidctoken.Key, error) {
	keys, err := m.Ring.Keys(ctx)
	return m.change(slices.Clone(keys)), err
}

// K02, P06: keys are revoked for a year. None that is revoked is accepted once
// a JWK Set from before has become too old, and no other token is refused.
func TestYearOfRevocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, every, rotations := size()
		s := newSimulation(t, keyring.Config{Algorithms: []string{"ES256", "RS256"}, Period: 7 * day, MaxLifetime: 2 * time.Hour}, nil)
		s.run(d, every, s.revocations(5*day))
		if len(s.lost) < rotations/4 {
			t.Errorf("%d keys were revoked: too few", len(s.lost))
		}
		s.conclude(rotations)
	})
}

// revocations revokes a signing or a waiting key about every interval, by one
// replica, and checks that verifiers come to refuse it.
func (s *simulation) revocations(interval time.Duration) func() {
	// Until all replicas have it, and every earlier set is too old.
	known := time.Hour + 2*simPoll + 4*time.Minute
	next := time.Now().Add(interval)
	var checks []delivered
	return func() {
		for len(checks) > 0 && time.Since(s.lost[checks[0].token.KeyID()]) > known {
			for _, v := range s.verifiers {
				if err := s.verify(delivered{checks[0].token, checks[0].alg, v}); err == nil {
					s.Errorf("a token of %s is accepted %v after that was revoked", checks[0].token.KeyID(), time.Since(s.lost[checks[0].token.KeyID()]))
				}
			}
			checks = checks[1:]
		}
		if time.Now().Before(next) {
			return
		}
		// Not within the time that a new key needs, which Revoke documents.
		next = time.Now().Add(26*time.Hour + time.Duration(s.rand.Int64N(int64(interval))))
		r := s.replicas[s.rand.IntN(len(s.replicas))]
		alg := []string{"ES256", "RS256"}[s.rand.IntN(2)]
		token, err := r.issuer.Mint(s.Context(), scope(alg, 2*time.Hour))
		if err != nil {
			s.Fatal(err)
		}
		kid := token.KeyID()
		if s.rand.IntN(4) == 0 {
			kid = s.waiting(r, alg)
		} else {
			checks = append(checks, delivered{token: token, alg: alg})
		}
		s.lost[kid] = time.Now()
		if err := r.ring.Revoke(s.Context(), kid); err != nil {
			// Its reads are too old to tell the others, which it does when it can.
			s.Logf("%v", err)
		}
		if slices.Contains(kids(r.ring), kid) {
			s.Fatalf("%s is still published by the replica that revoked it", kid)
		}
	}
}

// waiting returns a key that has not signed yet.
func (s *simulation) waiting(r *replica, alg string) string {
	for _, k := range must(r.ring.Keys(s.Context())) {
		if k.Algorithm == alg && k.NotBefore.After(time.Now()) {
			return k.ID
		}
	}
	s.Fatalf("there is no next key for %s", alg)
	return ""
}
