package keyring

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken"
)

const (
	maxChanges   = 64 // in one step; a ring without changes needs 0
	maxConflicts = 10 // in a row
)

// step reads the store and makes the transitions that are due. A failed
// transition does not prevent the others.
func (r *Ring) step(ctx context.Context) error {
	snap, err := r.load(ctx)
	for i := 0; i < maxConflicts && errors.Is(err, ErrConflict); i++ { // another replica made the ring
		if err = pause(ctx); err == nil {
			snap, err = r.load(ctx)
		}
	}
	if err != nil {
		return r.concluded(ctx, err)
	}
	now := r.config.Now()
	r.mu.Lock()
	r.lastPoll = now
	r.mu.Unlock()
	failed := make(map[change]error)
	if k := snap.state.fromFuture(r.now(), &r.policy); k != nil {
		failed[change{}] = fmt.Errorf("%w: the key %s was made %d s ahead", ErrClock, k.ID, k.Created-r.now())
	}
	for range maxChanges {
		c := r.next(snap, failed)
		if c.kind == changeNone {
			break
		}
		after, err := r.transition(ctx, snap, c)
		if err != nil {
			failed[c] = err
			// After any failure, the store may have another document.
			if after, err = r.load(ctx); err != nil {
				failed[change{}] = err
				break
			}
		}
		snap = after
	}
	if err := r.resolve(ctx); err != nil {
		failed[change{kind: changeReserve}] = err
	}
	// In an order, so that the same failures are the same error the next time.
	errs := slices.SortedFunc(maps.Values(failed), func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return r.concluded(ctx, errors.Join(errs...))
}

// next returns the first transition that is due and has not failed.
func (r *Ring) next(snap *snapshot, failed map[change]error) change {
	var changes []change
	r.mu.Lock()
	for kid := range maps.Keys(r.pending) {
		changes = append(changes, change{changeRevoke, kid})
	}
	r.mu.Unlock()
	for _, kind := range []changeKind{changeName, changeRewrap} {
		if r.isDue(snap, change{kind: kind}) {
			changes = append(changes, change{kind: kind})
		}
	}
	if snap.state.fromFuture(r.now(), &r.policy) == nil {
		changes = append(changes, snap.state.due(r.now(), &r.policy)...)
	}
	for _, c := range changes {
		if failed[c] == nil && !r.waits(snap, c) {
			return c
		}
	}
	return change{}
}

// waits reports whether another replica has reserved the transition.
func (r *Ring) waits(snap *snapshot, c change) bool {
	return c.kind == changeCreate && r.policy.provisioned && snap.state.holder(c.id, r.now()) != r.id
}

// transition makes a change. If another replica has stored a document
// meanwhile, the change is made again from that document, unless that has it
// already.
func (r *Ring) transition(ctx context.Context, snap *snapshot, c change) (*snapshot, error) {
	for range maxConflicts {
		after, events, err := r.attempt(ctx, snap, c)
		if err == nil {
			r.audit(ctx, stamped(after, events)...)
			return after, nil
		}
		if !errors.Is(err, ErrConflict) {
			return nil, err
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
		if snap, err = r.load(ctx); err != nil {
			return nil, err
		}
		if !r.isDue(snap, c) {
			return snap, nil
		}
	}
	return nil, fmt.Errorf("%w: %w %d times", ErrStore, ErrConflict, maxConflicts)
}

func (r *Ring) isDue(snap *snapshot, c change) bool {
	switch c.kind {
	case changeRevoke:
		k := snap.state.find(c.id)
		return k != nil && k.Revoked == 0
	case changeName:
		return r.config.Name != "" && snap.state.Name == ""
	case changeRewrap:
		w, ok := r.config.Wrapper.(currentWrapper)
		return ok && !w.Current(snap.state.DataKey)
	}
	for _, d := range snap.state.due(r.now(), &r.policy) {
		if d == c && !r.waits(snap, c) {
			return true
		}
	}
	return false
}

// pause lets replicas that ran into each other go on one after the other.
func pause(ctx context.Context) error {
	timer := time.NewTimer(time.Millisecond + rand.N(20*time.Millisecond))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func stamped(snap *snapshot, events []Event) []Event {
	for i := range events {
		events[i].Generation = snap.state.Generation
	}
	return events
}

// attempt makes one change: one compare-and-swap.
func (r *Ring) attempt(ctx context.Context, snap *snapshot, c change) (*snapshot, []Event, error) {
	n := &snapshot{state: snap.state.clone(), data: snap.data}
	s, p, now := n.state, &r.policy, r.now()
	made := make(map[string]oidctoken.Signer)
	var event Event
	if k := s.find(c.id); k != nil {
		event = Event{Algorithm: k.Algorithm, KeyID: k.ID}
	}
	switch c.kind {
	case changeLimits:
		event.Kind = Raised
		s.MaxAge, s.MaxLifetime, s.Skew = max(s.MaxAge, p.maxAge), max(s.MaxLifetime, p.maxLifetime), max(s.Skew, p.skew)
	case changeRevoke:
		event.Kind = Revoked
		if event.KeyID == "" {
			return snap, nil, nil // it was removed meanwhile
		}
		s.revoke(c.id, now, p)
	case changeName:
		event.Kind = Named
		s.Name = r.config.Name
		if err := r.rewrap(ctx, n); err != nil {
			return nil, nil, err
		}
	case changeRewrap:
		event.Kind = Rewrapped
		if err := r.rewrap(ctx, n); err != nil {
			return nil, nil, err
		}
	case changeRetire, changeRemove:
		event.Kind = Removed
		if err := r.dispose(ctx, s, c); err != nil {
			return nil, nil, err
		}
	case changeExtend:
		event.Kind = Extended
		s.extend(c.id, now, p)
	case changePublish:
		event.Kind = Published
		if err := r.seen(ctx, c.id); err != nil {
			return nil, nil, err
		}
		s.publish(c.id, r.now(), p)
	case changeReserve:
		s.reserve(c.id, r.id, now)
	case changeCreate:
		event.Kind = Created
		k, signer, err := r.create(ctx, snap, c.id)
		if err != nil {
			return nil, nil, err
		}
		s.makeKey(k, r.now(), p)
		made[k.ID] = signer
		event.Algorithm, event.KeyID = c.id, k.ID
	}
	after, err := r.commit(ctx, snap, n, made)
	if err != nil || event.Kind == "" || c.kind == changeRetire {
		return after, nil, err
	}
	return after, []Event{event}, nil
}

// rewrap replaces the data key of n, if it has one.
func (r *Ring) rewrap(ctx context.Context, n *snapshot) error {
	data, err := r.wrap(ctx, n.state)
	if data == nil || err != nil {
		return err
	}
	if err := n.state.reseal(n.data, data); err != nil {
		return err
	}
	n.data = data
	return nil
}

// create makes the material of the next key of alg.
func (r *Ring) create(ctx context.Context, snap *snapshot, alg string) (record, oidctoken.Signer, error) {
	if snap.state.published() >= maxPublished {
		return record{}, nil, fmt.Errorf("%w: no key for %s can be made", ErrTooManyKeys, alg)
	}
	if r.policy.provisioned {
		return r.provision(ctx, snap.state, alg)
	}
	return newLocal(snap.state.Ring, alg, r.config.RSABits, snap.data)
}

// seen asks whether a key is publicly served.
func (r *Ring) seen(ctx context.Context, kid string) error {
	if r.config.Published == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := r.config.Published(ctx, kid); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNotPublished, kid, bounded(err))
	}
	return nil
}

// dispose ends a key's version, and takes a key that is over out of s.
func (r *Ring) dispose(ctx context.Context, s *state, c change) error {
	for i := range s.Keys {
		k := &s.Keys[i]
		if k.ID != c.id {
			continue
		}
		if k.Version != "" {
			if err := r.retireVersion(ctx, k.Version); err != nil {
				return err
			}
			k.Version = ""
		}
		if c.kind == changeRemove {
			s.Keys = append(s.Keys[:i], s.Keys[i+1:]...)
		}
		return nil
	}
	return nil
}

// concluded stores the result of a step, reports changes since the last step to
// Audit, and returns err.
func (r *Ring) concluded(ctx context.Context, err error) error {
	if ctx.Err() != nil && err != nil {
		return err // the caller's ctx has ended
	}
	var events []Event
	r.mu.Lock()
	switch before := r.err; {
	case err == nil && before != nil:
		events = append(events, Event{Kind: Recovered})
	case err != nil && (before == nil || err.Error() != before.Error()):
		events = append(events, Event{Kind: Failed, Err: err})
	}
	switch {
	case err == nil:
		r.failingSince = time.Time{}
	case r.err == nil:
		r.failingSince = r.config.Now()
	}
	r.err = err
	if snap := r.current(); snap != nil {
		for _, alg := range r.policy.algorithms {
			if k := snap.view.signer(alg, r.now()); k != nil && r.signing[alg] != k.ID {
				r.signing[alg] = k.ID
				events = append(events, Event{Kind: Activated, Algorithm: alg, KeyID: k.ID})
			}
		}
		stamped(snap, events)
	}
	r.mu.Unlock()
	r.audit(ctx, events...)
	return err
}
