package keyring

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	randv2 "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oidctoken/oidctoken"
)

// Ring is a replica of a key ring: an [oidctoken.KeySource] whose keys rotate.
// It returns keys from memory and polls the store in the background for the
// changes of other replicas. It is safe for concurrent use.
type Ring struct {
	config Config
	policy policy
	id     string // of this replica, in reservations
	snap   atomic.Pointer[snapshot]
	cancel context.CancelFunc
	done   chan struct{}
	lookup lookup // of versions that were not listed when this replica started

	mu      sync.Mutex      // never held during I/O or a callback
	pending map[string]bool // kids whose revocation the store has not yet
	hooks   map[int]func(kid string)
	hookID  int
	signing map[string]string // kid by algorithm
	// The values of Status.
	err          error
	failingSince time.Time
	lastPoll     time.Time
}

// snapshot is an immutable view of the ring by this replica.
type snapshot struct {
	document []byte
	state    *state // the document's
	view     *state // the same without the keys whose revocation the store has not yet
	data     *dataKey
	signers  map[string]oidctoken.Signer // by kid
	keys     []oidctoken.Key             // of view
	written  bool                        // by this replica
}

// New returns a replica of the ring in c.Store, which it makes if the store is
// empty, and starts to poll. The caller must Close it. New fails with
//
//   - a [*oidctoken.ConfigError] that names the field;
//   - [ErrStore], [ErrWrapper] or [ErrProvisioner] when that service is unavailable:
//     without it there is no key. New also writes to the store, so it fails with
//     ErrStore when the store can only be read;
//   - [ErrNotMigrated] when the store has no table;
//   - [ErrOtherRing] when the document is of a ring with another name;
//   - [ErrCorrupt], [ErrTampered] or [ErrNewer] when the document in the store
//     cannot be used; it is left as it is.
func New(ctx context.Context, c Config) (*Ring, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	r := &Ring{
		config:  c,
		policy:  c.policy(),
		id:      rand.Text(),
		done:    make(chan struct{}),
		pending: make(map[string]bool),
		hooks:   make(map[int]func(string)),
		signing: make(map[string]string),
	}
	err := r.start(ctx)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	// The poll outlives the call, with the values of its context.
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	go r.poll(background)
	return r, nil
}

// start makes the first snapshot, with a key to sign with for each algorithm.
func (r *Ring) start(ctx context.Context) error {
	err := r.step(ctx)
	snap := r.current()
	if snap == nil {
		return err
	}
	if s, p := snap.state, &r.policy; s.MaxAge < p.maxAge || s.MaxLifetime < p.maxLifetime || s.Skew < p.skew {
		// Other replicas would remove keys too early for what this one does.
		return err
	}
	for _, alg := range r.policy.algorithms {
		if snap.view.signer(alg, r.now()) == nil {
			return errors.Join(fmt.Errorf("no key can sign %s", alg), err)
		}
	}
	if snap.written {
		return nil // Err returns the other errors
	}
	return r.touch(ctx, snap)
}

func (r *Ring) now() int64 { return r.config.Now().Unix() }

func (r *Ring) current() *snapshot { return r.snap.Load() }

// Keys returns the published keys, from memory. It implements
// [oidctoken.KeySource].
func (r *Ring) Keys(context.Context) ([]oidctoken.Key, error) { return r.current().keys, nil }

// Limits returns the longest that a JWK Set with these keys may be cached, and
// that a token may live. It implements [oidctoken.KeySourceLimits].
func (r *Ring) Limits() (maxAge, maxLifetime time.Duration) {
	return r.config.MaxAge, r.config.MaxLifetime
}

// Err returns the current failure: nil, or an error that is one or several of
// those of this package. The ring keeps its keys in memory meanwhile. Err is
// for errors.Is and alerts. It does not tell whether the replica can serve: see
// [Ring.Status].
func (r *Ring) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Close ends the polling and waits for it. Keys still returns the keys.
func (r *Ring) Close() {
	r.cancel()
	<-r.done
}

// poll looks at the store until ctx ends. What follows from time alone needs no
// store; what needs one is never urgent to the second.
func (r *Ring) poll(ctx context.Context) {
	defer close(r.done)
	interval := r.config.PollInterval
	for {
		timer := time.NewTimer(interval - interval/10 + randv2.N(interval/5))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			_ = r.step(ctx) // Err returns the error, and Audit received it
		}
	}
}

// Refresh polls the store now instead of at the next PollInterval: it reads the
// changes of other replicas and makes the transitions that are due. Err returns
// the same error until the next poll.
func (r *Ring) Refresh(ctx context.Context) error {
	if err := r.step(ctx); err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	return nil
}

// Subscribe registers f, which receives the "kid" of every key that any replica
// revokes: as soon as this replica knows, and before Revoke returns. Caches use
// it to drop the tokens of the key. f must not block for long, and several
// goroutines may call it at once. stop ends the subscription.
func (r *Ring) Subscribe(f func(kid string)) (stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hookID++
	id := r.hookID
	r.hooks[id] = f
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.hooks, id)
	}
}

// adopt makes n the current snapshot, unless the current one is newer, and
// returns the current one.
func (r *Ring) adopt(n *snapshot) *snapshot {
	r.mu.Lock()
	before := r.current()
	if before != nil && before.state.Generation > n.state.Generation {
		r.mu.Unlock()
		return before
	}
	for kid := range r.pending {
		if k := n.state.find(kid); k == nil || k.Revoked != 0 {
			delete(r.pending, kid)
		}
	}
	n.view = n.state
	for kid := range r.pending {
		if n.view == n.state {
			n.view = n.state.clone()
		}
		n.view.revoke(kid, r.now(), &r.policy)
	}
	n.keys = n.publishedKeys()
	if before != nil && slices.Equal(n.keys, before.keys) {
		n.keys = before.keys
	}
	r.snap.Store(n)
	var revoked []string
	if before != nil {
		revoked = newlyRevoked(before.view, n.view)
	}
	var hooks []func(string)
	if len(revoked) > 0 {
		for _, f := range r.hooks {
			hooks = append(hooks, f)
		}
	}
	r.mu.Unlock()
	for _, kid := range revoked {
		for _, f := range hooks {
			f(kid)
		}
	}
	return n
}

func newlyRevoked(before, after *state) (kids []string) {
	for i := range after.Keys {
		k := &after.Keys[i]
		if old := before.find(k.ID); k.Revoked != 0 && old != nil && old.Revoked == 0 {
			kids = append(kids, k.ID)
		}
	}
	return kids
}

// never is the activation time of a key without a schedule.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

func (n *snapshot) publishedKeys() (keys []oidctoken.Key) {
	for i := range n.view.Keys {
		k := &n.view.Keys[i]
		if k.Revoked != 0 {
			continue
		}
		key := oidctoken.Key{Signer: n.signers[k.ID], ID: k.ID, Algorithm: k.Algorithm, NotBefore: never}
		if k.Published != 0 {
			key.NotBefore = time.Unix(k.Activate, 0).UTC()
			key.NotAfter = time.Unix(k.Retire, 0).UTC()
			key.Expires = time.Unix(n.view.remove(k), 0).UTC()
		}
		keys = append(keys, key)
	}
	return keys
}

// load reads the store and returns its snapshot, or the reason why it is
// refused.
func (r *Ring) load(ctx context.Context) (*snapshot, error) {
	loading, cancel := context.WithTimeout(ctx, callTimeout)
	document, err := r.config.Store.Load(loading)
	cancel()
	if err != nil {
		return nil, storeError(err)
	}
	known := r.current()
	switch {
	case known == nil && document == nil:
		return r.found(ctx)
	case known != nil && bytes.Equal(document, known.document):
		return known, nil
	case known != nil && document == nil:
		return nil, advised(fmt.Errorf("%w: the store is empty, after generation %d", ErrOlder, known.state.Generation))
	}
	n, err := r.open(ctx, document, known)
	if err != nil {
		return nil, advised(bounded(err))
	}
	return r.adopt(n), nil
}
