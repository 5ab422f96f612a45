package keyring

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Revoke takes a key out at once: it signs nothing more and leaves the JWK Set.
// If it was the one that signs, the next does, which has been published for
// long. What the key has signed is dropped by those who [Ring.Subscribe], before
// Revoke returns; a verifier accepts it until its JWK Set is as old as MaxAge.
// Revoking a revoked key is no error.
//
// Revoke fails with [ErrUnknownKey], or with [ErrStore] when the other replicas
// could not be told: this one then obeys all the same and goes on trying to tell
// them for as long as it runs.
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
		// What follows, such as the next key, is not what was asked for: Err has it.
		_ = r.step(ctx)
	}
	return nil
}

// Rotation says how RotateNow is to go about it.
type Rotation struct {
	// Algorithm is whose key is to be replaced. Required.
	Algorithm string
	// InsecureUnpublished lets the next key sign at once, although verifiers may
	// not have it yet and then refuse its tokens.
	InsecureUnpublished bool
}

// RotateNow has the next key sign ahead of its time, and returns when it will:
// as soon as it has been published for long enough and every replica has heard
// of it, which is minutes as a rule. It does not wait until then.
//
// The key that it replaces stays published for what it has signed; a key that
// must not be trusted any more wants [Ring.Revoke]. RotateNow fails with
// [ErrTooManyKeys] when the key behind the next could not be made for it, and
// with ErrStore and the other errors of the package as they apply.
func (r *Ring) RotateNow(ctx context.Context, o Rotation) (time.Time, error) {
	at, err := r.rotate(ctx, o)
	if err != nil {
		return time.Time{}, fmt.Errorf("keyring: rotate %.20q: %w", o.Algorithm, err)
	}
	_ = r.step(ctx) // the key behind the next: Err has it
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
		return record{}, false, fmt.Errorf("%w: there is no next one", ErrUnknownKey)
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
