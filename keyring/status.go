package keyring

import (
	"log/slog"
	"time"

	"github.com/oidctoken/oidctoken/internal/eventlog"
)

// Status is a replica's view of its ring at one moment. It holds no secret. It
// logs, and marshals to JSON, as an object of its fields, with the text of Err;
// fields with their zero value are left out.
type Status struct {
	// LastPoll is when the replica last read the stored document and accepted it.
	// It is never zero.
	LastPoll time.Time
	// FailingSince is the time of the first of the consecutive failed polls. It is
	// zero after a successful poll.
	FailingSince time.Time
	// Err is the current failure, as [Ring.Err] returns it, or nil.
	Err error
	// Generation is the generation of the document that the replica uses.
	Generation uint64
	// SignsUntil is the time until which the replica can sign without the store:
	// before it, each of Config.Algorithms has a key that signs, even if the store
	// stays unavailable and no other key is made. It is zero when an algorithm has
	// no such key now. It does not tell whether a key management service answers.
	SignsUntil time.Time
	// Keys are the keys in the document, in the order in which they were made.
	Keys []KeyStatus
}

// KeyStatus is the state of a key. Its times follow from the document and the
// clock, without the store.
type KeyStatus struct {
	ID        string // "kid"
	Algorithm string
	State     KeyState
	// Next is the state that follows; empty after StateRemoved. RotateNow, Revoke
	// and a next key that is late change what follows.
	Next KeyState `json:",omitempty"`
	// NextAt is when Next begins. It is zero if that does not depend on the clock:
	// a new key waits until it has been seen published.
	NextAt time.Time `json:",omitzero"`
}

// KeyState is the state of a key.
type KeyState string

// The states of a key, in their order. A key that is revoked goes from any of the
// first four to StateRevoked.
const (
	StateMade      KeyState = "made"      // in the JWK Set, and not yet seen there
	StatePublished KeyState = "published" // in the JWK Set, and knows when it will sign
	StateActive    KeyState = "active"    // signs
	StateRetired   KeyState = "retired"   // in the JWK Set for the tokens that it signed
	StateRevoked   KeyState = "revoked"   // not in the JWK Set
	StateRemoved   KeyState = "removed"   // not in the JWK Set; the next poll that succeeds forgets it
)

// Status returns the state of the replica, from memory.
//
// A replica is ready to serve while now is before SignsUntil: with its store away
// it mints and serves the JWK Set until then. FailingSince and Err are for alerts.
func (r *Ring) Status() Status {
	r.mu.Lock()
	s := Status{LastPoll: r.lastPoll, FailingSince: r.failingSince, Err: r.err}
	snap := r.current()
	r.mu.Unlock()
	now := r.now()
	s.Generation = snap.state.Generation
	s.SignsUntil = snap.signsUntil(r.policy.algorithms, now)
	for i := range snap.view.Keys {
		s.Keys = append(s.Keys, snap.view.status(&snap.view.Keys[i], now))
	}
	return s
}

// signsUntil returns when the first of the algorithms has no key that signs.
func (n *snapshot) signsUntil(algorithms []string, now int64) (until time.Time) {
	for i, alg := range algorithms {
		end := now
		for k := n.view.signer(alg, end); k != nil && n.isResolved(k.ID); k = n.view.signer(alg, end) {
			end = k.Retire
		}
		if end == now {
			return time.Time{}
		}
		if t := time.Unix(end, 0).UTC(); i == 0 || t.Before(until) {
			until = t
		}
	}
	return until
}

// isResolved reports whether the signer of a key has been found.
func (n *snapshot) isResolved(kid string) bool {
	remote, ok := n.signers[kid].(*remoteSigner)
	return !ok || remote.signer.Load() != nil
}

func (s *state) status(k *record, now int64) KeyStatus {
	status := KeyStatus{ID: k.ID, Algorithm: k.Algorithm}
	set := func(state, next KeyState, at int64) {
		status.State, status.Next = state, next
		if at != 0 {
			status.NextAt = time.Unix(at, 0).UTC()
		}
	}
	switch end := s.remove(k); {
	case k.Revoked != 0:
		set(StateRevoked, StateRemoved, k.Revoked+s.retention())
	case k.Published == 0:
		set(StateMade, StatePublished, 0)
	case now < k.Activate:
		set(StatePublished, StateActive, k.Activate)
	case now < k.Retire:
		set(StateActive, StateRetired, k.Retire)
	case now < end:
		set(StateRetired, StateRemoved, end)
	default:
		set(StateRemoved, "", 0)
	}
	return status
}

func (s Status) record() (r eventlog.Record) {
	r.Time("LastPoll", s.LastPoll)
	r.Time("FailingSince", s.FailingSince)
	r.Err("Err", s.Err)
	r.Uint("Generation", s.Generation)
	r.Time("SignsUntil", s.SignsUntil)
	if len(s.Keys) > 0 {
		r.JSON("Keys", s.Keys)
	}
	return r
}

// LogValue returns the status as a group for log/slog.
func (s Status) LogValue() slog.Value { return s.record().LogValue() }

// MarshalJSON returns the status as an object with the members of LogValue.
func (s Status) MarshalJSON() ([]byte, error) { return s.record().MarshalJSON() }
