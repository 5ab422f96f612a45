package keyring

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Revoke takes a key out at once: the key signs nothing more and leaves the JWK
// Set. If it was the active key, the next one takes over, which has been
// published long enough. Subscribers ([Ring.Subscribe]) drop the tokens of the
// key before Revoke returns. A verifier accepts such a token until its copy of
// the JWK Set is older than MaxAge. A key may be revoked more than once.
//
// Revoke fails with [ErrUnknownKey], or with [ErrStore] when it cannot store
// the revocation for the other replicas. In that case this replica obeys all
// the same, and retries until it has stored it.
//
// A second Revoke within MaxAge and Propagation of the first may leave no key
// that has been published for long enough. The ring then falls back to a key
// that signed before, and else signs with one that verifiers may have to fetch.
func (r *Ring) Revoke(ctx context.Context, kid string) error {
	k := r.current().state.find(kid)
	if k == nil {
		// Another replica may have made it since.
		if err := r.Refresh(ctx); err != nil {
			return err
		}
		k = r.current().state.find(kid)
	}
	if k == nil {
		return fmt.Errorf("keyring: revoke %.64q: %w", kid, ErrUnknownKey)
	}
	if k.Revoked == 0 {
		r.mu.Lock()
		r.pending[kid] = true
		r.mu.Unlock()
		copied := *r.current()
		snap := r.adopt(&copied)
		if _, err := r.transition(ctx, snap, change{changeRevoke, kid}); err != nil {
			return fmt.Errorf("keyring: revoke %s: this replica obeys, the others do not know: %w", kid, r.concluded(ctx, err))
		}
		// Errors of later transitions, such as the next key, do not concern the
		// caller. Err returns them.
		_ = r.step(ctx)
	}
	return nil
}

// Rotation has the settings of RotateNow.
type Rotation struct {
	// Algorithm is whose key is to be replaced. Required.
	Algorithm string
	// InsecureUnpublished lets the next key sign at once. Verifiers that do not
	// have the key yet refuse its tokens.
	InsecureUnpublished bool
}

// RotateNow makes the next key sign before its scheduled time, and returns that
// time: as soon as the key has been published long enough and every replica
// knows the change, usually within minutes. It does not wait for that time.
//
// The replaced key stays published until its tokens expire; to distrust a key,
// call [Ring.Revoke] instead. RotateNow fails with [ErrTooManyKeys] when there
// is no room for another key behind the next one. It also returns ErrStore and
// the other errors of this package.
func (r *Ring) RotateNow(ctx context.Context, o Rotation) (time.Time, error) {
	at, err := r.rotate(ctx, o)
	if err != nil {
		return time.Time{}, fmt.Errorf("keyring: rotate %.20q: %w", o.Algorithm, err)
	}
	_ = r.step(ctx) // the key behind the next; Err returns its error
	return time.Unix(at, 0).UTC(), nil
}

func (r *Ring) rotate(ctx context.Context, o Rotation) (at int64, err error) {
	for range maxConflicts {
		snap, err := r.load(ctx)
		if err != nil {
			return 0, err
		}
		n := &snapshot{state: snap.state.clone(), data: snap.data}
		k, moved, err := n.state.rotate(o, r.now(), &r.policy)
		if err != nil || !moved {
			return k.Activate, err
		}
		after, err := r.commit(ctx, snap, n, nil)
		if err == nil {
			r.audit(ctx, stamped(after, []Event{{Kind: Rotated, Algorithm: o.Algorithm, KeyID: k.ID}})...)
			return k.Activate, nil
		}
		if !errors.Is(err, ErrConflict) {
			return 0, err
		}
		if err := pause(ctx); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("%w: %w %d times", ErrStore, ErrConflict, maxConflicts)
}

// rotate has the next key sign ahead of its time, if that moves it.
func (s *state) rotate(o Rotation, now int64, p *policy) (k record, moved bool, err error) {
	var next *record
	for _, k := range s.chain(o.Algorithm) {
		if k.Activate > now {
			next = k
			break
		}
	}
	if next == nil {
		return record{}, false, fmt.Errorf("%w: there is no next key", ErrUnknownKey)
	}
	if s.published() >= maxPublished {
		return record{}, false, ErrTooManyKeys
	}
	at := max(now+p.slack, next.Published+p.lead())
	if o.InsecureUnpublished {
		at = now
	}
	if at >= next.Activate {
		return *next, false, nil
	}
	s.activate(next, at, now, p)
	return *next, true, nil
}
