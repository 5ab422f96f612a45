package keyring

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/oidctoken/oidctoken"
)

// open checks a document that is not the known one and makes its signers.
func (r *Ring) open(ctx context.Context, document []byte, known *snapshot) (*snapshot, error) {
	s, err := parseState(document)
	if err != nil {
		return nil, err
	}
	if err := r.checkName(s, known); err != nil {
		return nil, err
	}
	n := &snapshot{document: document, state: s}
	if n.data, err = r.unwrap(ctx, s, known); err != nil {
		return nil, err
	}
	tagKey, err := n.data.tagKey()
	if err != nil {
		return nil, err
	}
	if err := s.verify(tagKey); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	if known != nil {
		switch {
		case s.Ring != known.state.Ring:
			return nil, fmt.Errorf("%w: %w: it is of %s, and this replica runs %s", ErrOlder, ErrOtherRing, s.label(), known.state.label())
		case s.Generation < known.state.Generation:
			return nil, fmt.Errorf("%w: generation %d, after %d", ErrOlder, s.Generation, known.state.Generation)
		case s.Generation == known.state.Generation:
			return nil, fmt.Errorf("%w: generation %d has another content", ErrOlder, s.Generation)
		}
	}
	n.signers, err = r.signers(n, known)
	return n, err
}

// checkName refuses the document of a ring with another name.
func (r *Ring) checkName(s *state, known *snapshot) error {
	name := r.config.Name
	switch {
	case s.Name == name:
		return nil
	case s.Name == "" && r.config.InsecureAdoptUnnamed:
		return nil // changeName is due
	case name == "" && known != nil:
		return nil // another replica named this ring, or it is another ring, which open notices
	case s.Name == "":
		return fmt.Errorf("%w: the ring %s has no name, and Config.Name is %q: correct Config.Store, or name that ring by setting Config.InsecureAdoptUnnamed for one rollout", ErrOtherRing, s.label(), name)
	}
	return fmt.Errorf("%w: it is of the ring %s, and Config.Name is %q: correct Config.Store or Config.Name", ErrOtherRing, s.label(), name)
}

// unwrap returns the data key of s; nil if the ring has no Wrapper.
func (r *Ring) unwrap(ctx context.Context, s *state, known *snapshot) (*dataKey, error) {
	switch {
	case r.config.Wrapper == nil && len(s.DataKey) > 0:
		return nil, fmt.Errorf("%w: the ring %s has a data key, and Config.Wrapper is nil", ErrWrapper, s.label())
	case r.config.Wrapper == nil:
		return nil, nil
	case len(s.DataKey) == 0:
		return nil, fmt.Errorf("%w: it has no data key", ErrTampered)
	case known != nil && known.data != nil && bytes.Equal(s.DataKey, known.data.wrapped):
		return known.data, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	secret, err := r.config.Wrapper.Unwrap(ctx, s.DataKey, s.wrapContext())
	if err != nil {
		var service interface{ Temporary() bool } // a *signer.Error
		advice := ""
		if errors.As(err, &service) && !service.Temporary() {
			advice = ": let this process decrypt with the key that wrapped it, or correct Config.Store, Config.Name or Config.Wrapper"
		}
		return nil, fmt.Errorf("%w: unwrap the data key of the ring %s: %w%s", ErrWrapper, s.label(), bounded(err), advice)
	}
	if len(secret) != 32 {
		return nil, fmt.Errorf("%w: the data key of the ring %s has %d bytes, not 32", ErrWrapper, s.label(), len(secret))
	}
	return &dataKey{s.DataKey, func() []byte { return secret }}, nil
}

// wrap makes a new data key; nil if the ring has no Wrapper.
func (r *Ring) wrap(ctx context.Context, s *state) (*dataKey, error) {
	if r.config.Wrapper == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	secret := newDataKey()
	wrapped, err := r.config.Wrapper.Wrap(ctx, secret, s.wrapContext())
	if err != nil {
		return nil, fmt.Errorf("%w: wrap the data key of the ring %s: %w", ErrWrapper, s.label(), bounded(err))
	}
	return &dataKey{wrapped, func() []byte { return secret }}, nil
}

// signers makes those that known lacks.
func (r *Ring) signers(n, known *snapshot) (map[string]oidctoken.Signer, error) {
	signers := make(map[string]oidctoken.Signer)
	for i := range n.state.Keys {
		k := &n.state.Keys[i]
		if k.Revoked != 0 {
			continue
		}
		if known != nil && known.signers[k.ID] != nil {
			signers[k.ID] = known.signers[k.ID]
			continue
		}
		if k.Version != "" {
			public, err := k.public()
			if err != nil {
				return nil, err
			}
			signers[k.ID] = r.remoteSigner(k.Version, public)
			continue
		}
		signer, err := n.data.signer(n.state.Ring, k)
		if err != nil {
			return nil, err
		}
		signers[k.ID] = signer
	}
	return signers, nil
}

// found makes a ring in an empty store, without keys.
func (r *Ring) found(ctx context.Context) (*snapshot, error) {
	p := &r.policy
	s := &state{Version: stateVersion, Ring: rand.Text(), Name: r.config.Name, MaxAge: p.maxAge, MaxLifetime: p.maxLifetime, Skew: p.skew, Keys: []record{}}
	data, err := r.wrap(ctx, s)
	if err != nil {
		return nil, err
	}
	if data != nil {
		s.DataKey = data.wrapped
	}
	return r.commit(ctx, new(snapshot), &snapshot{state: s, data: data}, nil)
}

// commit stores n's state, which is a clone of from's after a transition, and
// makes it known. The signers in made are those that from lacks.
func (r *Ring) commit(ctx context.Context, from, n *snapshot, made map[string]oidctoken.Signer) (*snapshot, error) {
	n.state.Generation++
	if err := n.state.check(); err != nil {
		return nil, fmt.Errorf("transition: %w", err) // never: every replica would refuse it
	}
	n.signers = make(map[string]oidctoken.Signer)
	for i := range n.state.Keys {
		k := &n.state.Keys[i]
		if k.Revoked != 0 {
			continue
		}
		if n.signers[k.ID] = made[k.ID]; n.signers[k.ID] == nil {
			n.signers[k.ID] = from.signers[k.ID]
		}
	}
	tagKey, err := n.data.tagKey()
	if err != nil {
		return nil, err
	}
	if n.document, err = n.state.encode(tagKey); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := r.config.Store.CompareAndSwap(ctx, from.document, n.document); err != nil {
		return nil, storeError(err)
	}
	n.written = true
	return r.adopt(n), nil
}

// touch stores snap's document under another generation, so that a store that can
// be read and not written is noticed when a process starts, and not when the next
// key is due.
func (r *Ring) touch(ctx context.Context, snap *snapshot) error {
	for range maxConflicts {
		_, err := r.commit(ctx, snap, &snapshot{state: snap.state.clone(), data: snap.data}, nil)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return fmt.Errorf("the document can be read and not written, so no key could rotate: let this process write to the store: %w", err)
		}
		if err := pause(ctx); err != nil {
			return err
		}
		if snap, err = r.load(ctx); err != nil {
			return err
		}
	}
	return nil // others write all the time, so the store can be written
}

// storeError classifies the error of a Store.
func storeError(err error) error {
	if errors.Is(err, ErrNotMigrated) {
		return bounded(err) // it is not temporary
	}
	return fmt.Errorf("%w: %w", ErrStore, bounded(err))
}
