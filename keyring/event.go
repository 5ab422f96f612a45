package keyring

import (
	"context"
	"log/slog"
	"time"

	"github.com/oidctoken/oidctoken/internal/eventlog"
)

// EventKind is the kind of an [Event].
type EventKind string

// Events of keys. Each replica reports Activated when it notices it. The
// replica that made a transition is the only one to report the others.
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
	Named     EventKind = "named"     // the ring has the name in Config.Name, and another data key
)

// Events of the replica itself. Each is reported once, when the condition
// changes.
const (
	Failed    EventKind = "failed"    // Err holds the error; the ring keeps its keys in memory
	Recovered EventKind = "recovered" // nothing fails any more
)

// Event is the argument of [Config.Audit]. It holds no secret.
type Event struct {
	Time       time.Time
	Kind       EventKind
	Algorithm  string // of the key; empty if it is not about one
	KeyID      string // "kid"; empty if it is not about a key
	Generation uint64 // of the document: one more with every transition of any replica
	Err        error  // of Failed: is one of the errors of this package
}

func (e Event) record() (r eventlog.Record) {
	r.Time("Time", e.Time)
	r.Text("Kind", string(e.Kind))
	r.Text("Algorithm", e.Algorithm)
	r.Text("KeyID", e.KeyID)
	r.Uint("Generation", e.Generation)
	r.Err("Err", e.Err)
	return r
}

// LogValue returns the event as a group for log/slog, with the text of Err.
// Fields with their zero value are left out.
func (e Event) LogValue() slog.Value { return e.record().LogValue() }

// MarshalJSON returns the event as an object with the members of LogValue.
func (e Event) MarshalJSON() ([]byte, error) { return e.record().MarshalJSON() }

func (r *Ring) audit(ctx context.Context, events ...Event) {
	if r.config.Audit == nil {
		return
	}
	for _, e := range events {
		e.Time = r.config.Now()
		r.config.Audit(ctx, e)
	}
}
