package keyring

import (
	"context"
	"time"
)

// EventKind says what happened.
type EventKind string

// What happens to keys. All but Activated are told by the one replica that made
// the transition, Activated by each when it notices.
const (
	Created   EventKind = "created"   // a key was made, and is in the JWK Set
	Published EventKind = "published" // it has been seen there, and knows when it will sign
	Activated EventKind = "activated" // it signs
	Extended  EventKind = "extended"  // it signs on after its end, since the next cannot yet
	Rotated   EventKind = "rotated"   // RotateNow moved the time when it begins to sign
	Revoked   EventKind = "revoked"   // Revoke took it out
	Removed   EventKind = "removed"   // it is no longer published, and forgotten
	Raised    EventKind = "raised"    // the ring's limits are longer
	Rewrapped EventKind = "rewrapped" // there is another data key, under the current wrapping key
)

// What a replica notices of its ring's condition: once, when it changes.
const (
	Failed    EventKind = "failed"    // Err says what; the ring answers from memory
	Recovered EventKind = "recovered" // nothing fails any more
)

// Event is what [Config.Audit] is told. It holds no secret.
type Event struct {
	Time       time.Time
	Kind       EventKind
	Algorithm  string // of the key; empty if it is not about one
	KeyID      string // "kid"; empty if it is not about a key
	Generation uint64 // of the document: one more with every transition of any replica
	Err        error  // of Failed: is one of the errors of this package
}

func (r *Ring) audit(ctx context.Context, events ...Event) {
	if r.config.Audit == nil {
		return
	}
	for _, e := range events {
		e.Time = r.config.Now()
		r.config.Audit(ctx, e)
	}
}
