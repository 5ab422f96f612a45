package exchange

import (
	"log/slog"

	"github.com/oidctoken/oidctoken/internal/eventlog"
)

func (e CacheEvent) record() (r eventlog.Record) {
	r.Text("Connector", e.Target.Connector)
	r.JSON("Scope", e.Target.Scope)
	r.Text("SessionName", e.Target.SessionName)
	if e.Target.Scopes != nil {
		r.JSON("Scopes", e.Target.Scopes)
	}
	r.Bool("Renewal", e.Renewal)
	r.Duration("Late", e.Late)
	r.Duration("Took", e.Took)
	r.Time("Expires", e.Expires)
	r.Text("TokenID", e.TokenID)
	r.Text("KeyID", e.KeyID)
	r.Err("Err", e.Err)
	return r
}

// LogValue returns the event as a group, with Err as text. It leaves out zero
// values, and of Target the Issuer and the Exchanger.
func (e CacheEvent) LogValue() slog.Value { return e.record().LogValue() }

// MarshalJSON returns the members of LogValue as an object.
func (e CacheEvent) MarshalJSON() ([]byte, error) { return e.record().MarshalJSON() }
