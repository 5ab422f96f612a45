package oidctoken

import (
	"log/slog"

	"github.com/oidctoken/oidctoken/internal/eventlog"
)

// LogValue returns the event for log/slog: a group with the names of the fields,
// without those that are empty. Err is its text, and Took a text such as "1.5s".
func (e Event) LogValue() slog.Value { return e.record().LogValue() }

// MarshalJSON returns what LogValue holds, as an object. Times are in RFC 3339.
func (e Event) MarshalJSON() ([]byte, error) { return e.record().MarshalJSON() }

func (e Event) record() (r eventlog.Record) {
	r.Time("Time", e.Time)
	r.JSON("Scope", newScopeRecord(e.Scope))
	if e.Claims != nil {
		r.JSON("Claims", e.Claims)
	}
	if e.Omitted != nil {
		r.JSON("Omitted", e.Omitted)
	}
	r.Text("ID", e.ID)
	r.Text("KeyID", e.KeyID)
	r.Time("Expires", e.Expires)
	r.Duration("Took", e.Took)
	r.Err("Err", e.Err)
	return r
}

// scopeRecord is a Scope whose profile shows its lifetime as a text.
type scopeRecord struct {
	Scope
	Profile *profileRecord `json:",omitempty"` // instead of the Scope's
}

type profileRecord struct {
	Profile
	Lifetime string `json:",omitempty"` // instead of the Profile's
}

func newScopeRecord(s Scope) scopeRecord {
	if s.Profile == nil {
		return scopeRecord{Scope: s}
	}
	p := &profileRecord{Profile: *s.Profile}
	if p.Profile.Lifetime != 0 {
		p.Lifetime = p.Profile.Lifetime.String()
	}
	return scopeRecord{s, p}
}
