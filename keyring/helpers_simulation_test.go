package keyring_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/keyring"
)

// simulation runs replicas whose clocks disagree and whose reads are old, and
// verifiers that cache a JWK Set as long as they may.
type simulation struct {
	*testing.T
	rand      *rand.Rand
	store     *history
	replicas  []*replica
	verifiers []*verifier
	pending   map[time.Time][]delivered
	proxy     *verifier // in front of all replicas; nil means no proxy

	minted   map[string]int // by algorithm
	rejected []string
	signed   map[string]string // algorithm by kid, of every key that signed
	lost     map[string]time.Time
}

type replica struct {
	ring   *keyring.Ring
	issuer *oidctoken.Issuer
	skew   time.Duration
}

type verifier struct {
	set   *jose.Set
	age   time.Duration // that it may be kept
	until time.Time
	skew  time.Duration
}

type delivered struct {
	token    *oidctoken.Token
	alg      string
	verifier *verifier
}

const (
	simStep = 150 * time.Second
	simPoll = 5 * time.Minute
	simLife = time.Hour
)

// newSimulation starts three replicas; change, if it is not nil, comes between
// each ring and its issuer.
func newSimulation(t *testing.T, c keyring.Config, change func(*keyring.Ring) oidctoken.KeySource) *simulation {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := &simulation{
		T: t, rand: rand.New(rand.NewPCG(seed, 0)), store: new(history),
		pending: make(map[time.Time][]delivered), minted: make(map[string]int),
		signed: make(map[string]string), lost: make(map[string]time.Time),
	}
	c.Wrapper = newWrapper()
	c.PollInterval = simPoll
	for _, skew := range []time.Duration{-4 * time.Minute, 0, 4 * time.Minute} {
		now := func() time.Time { return time.Now().Add(skew) }
		c.Now = now
		c.Store = &lagging{s.store, func() time.Duration { return rand.N(4 * time.Minute) }}
		ring := newRing(t, c)
		var keys oidctoken.KeySource = ring
		if change != nil {
			keys = change(ring)
		}
		s.replicas = append(s.replicas, &replica{ring, newIssuer(t, keys, now), skew})
		time.Sleep(simPoll) // a replica cannot make a ring that it does not see yet
	}
	for i := range 8 {
		s.verifiers = append(s.verifiers, &verifier{skew: time.Duration(i-4) * 75 * time.Second})
	}
	return s
}

// lagging returns an earlier document of the store.
type lagging struct {
	*history
	lag func() time.Duration
}

func (l *lagging) Load(context.Context) ([]byte, error) { return l.at(time.Now().Add(-l.lag())), nil }

// run mints one token per step and algorithm with its every, more when the
// signing key changes, and verifies them somewhen in their lives.
func (s *simulation) run(d time.Duration, every map[string]int, each func()) {
	steps := int(d / simStep)
	for i := range steps {
		time.Sleep(simStep)
		for alg, n := range every {
			if i%n == 0 {
				s.mint(alg, s.rand.IntN(len(s.replicas)))
			}
			if i%4 == 0 && s.isChanging(alg) {
				for r := range s.replicas {
					s.mint(alg, r)
				}
			}
		}
		if each != nil {
			each()
		}
		s.verifyDue()
	}
	for range int(simLife/simStep) + 10 {
		time.Sleep(simStep)
		s.verifyDue()
	}
	if len(s.pending) > 0 {
		s.Fatalf("%d verifications are left", len(s.pending))
	}
}

// isChanging reports whether a key of alg takes over at about this time.
func (s *simulation) isChanging(alg string) bool {
	for _, k := range must(s.replicas[1].ring.Keys(s.Context())) {
		if d := time.Since(k.NotBefore); k.Algorithm == alg && d > -15*time.Minute && d < 15*time.Minute {
			return true
		}
	}
	return false
}

func (s *simulation) mint(alg string, i int) {
	r := s.replicas[i]
	token, err := r.issuer.Mint(s.Context(), scope(alg, simLife))
	if err != nil {
		s.Fatalf("replica %d at %v: %v", i, time.Now(), err)
	}
	s.minted[alg]++
	s.signed[token.KeyID()] = alg
	v := s.verifiers[s.rand.IntN(len(s.verifiers))]
	// The last moment at which it is valid by the verifier's clock, or one before.
	left := token.Expires().Sub(time.Now().Add(v.skew)) - time.Second
	if left <= 0 {
		return
	}
	if s.rand.IntN(2) == 0 {
		left = time.Duration(s.rand.Int64N(int64(left)))
	}
	due := time.Now().Add(left)
	if due.After(time.Now()) {
		slot := due.Truncate(simStep) // the step that is the last before
		s.pending[slot] = append(s.pending[slot], delivered{token, alg, v})
	}
}

func (s *simulation) verifyDue() {
	slot := time.Now().Truncate(simStep)
	for _, d := range s.pending[slot] {
		err := s.verify(d)
		if _, isLost := s.lost[d.token.KeyID()]; err != nil && !isLost {
			s.rejected = append(s.rejected, fmt.Sprintf("%v, expires %v, kid %s: %v", time.Now(), d.token.Expires(), d.token.KeyID(), err))
		}
	}
	delete(s.pending, slot)
	for at := range s.pending {
		if at.Before(slot) {
			s.Fatalf("the step of %v was missed at %v", at, slot)
		}
	}
}

func (s *simulation) verify(d delivered) error {
	v := d.verifier
	if !time.Now().Before(v.until) {
		v.fetch(s, s.rand.IntN(len(s.replicas)))
	}
	verified, err := v.set.Verify(d.token.JWT(), d.alg)
	if err != nil {
		return err
	}
	var claims struct{ Exp int64 }
	if err := json.Unmarshal(verified.Payload, &claims); err != nil {
		return err
	}
	if now := time.Now().Add(v.skew); now.Unix() >= claims.Exp {
		s.Fatalf("the simulation verifies a token of %v at %v", claims.Exp, now)
	}
	return nil
}

// fetch gets the JWK Set from a replica, or from a proxy that keeps it for the
// whole of max-age and sends no Age: who asks that last keeps it twice as long.
func (v *verifier) fetch(s *simulation, i int) {
	if s.proxy != nil && v != s.proxy {
		if !time.Now().Before(s.proxy.until) {
			s.proxy.fetch(s, i)
		}
		v.set, v.until = s.proxy.set, time.Now().Add(s.proxy.age)
		return
	}
	w := httptest.NewRecorder()
	s.replicas[i].issuer.ServeHTTP(w, httptest.NewRequest("GET", issuerURL+"/.well-known/jwks.json", nil))
	seconds, ok := strings.CutPrefix(w.Header().Get("Cache-Control"), "public, max-age=")
	age, err := strconv.Atoi(seconds)
	if w.Code != 200 || !ok || err != nil {
		s.Fatalf("JWK Set: %d, %v", w.Code, w.Header())
	}
	v.age = time.Duration(age) * time.Second
	v.until = time.Now().Add(v.age)
	if v.set, err = jose.ParseSet(w.Body.Bytes()); err != nil {
		s.Fatal(err)
	}
	if n := len(v.set.Keys()); n < 1 || n > 10 {
		s.Fatalf("%d keys are published", n)
	}
}

// conclude fails the test for every token that was refused.
func (s *simulation) conclude(rotations int) {
	s.Logf("minted %v with %d keys in %d transitions; %d refused", s.minted, len(s.signed), len(s.store.all()), len(s.rejected))
	for i, r := range s.rejected {
		if s.Errorf("refused: %s", r); i == 10 {
			break
		}
	}
	if len(s.signed) < rotations {
		s.Errorf("%d keys signed, want at least %d", len(s.signed), rotations)
	}
	for _, r := range s.replicas {
		r.ring.Close()
	}
}
