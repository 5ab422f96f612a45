package oidctoken

import (
	"context"
	"log/slog"
	"time"

	"github.com/oidctoken/oidctoken/internal/eventlog"
)

// Event describes a token, or a refusal, to [Config].Audit. It holds no secret.
type Event struct {
	Time    time.Time
	Scope   Scope         // as the caller passed it to Mint
	Claims  *Claims       // the token's claims; nil if no token can have this Scope
	Omitted []string      // the result of [Claims.Omitted]
	ID      string        // "jti"; empty if refused
	KeyID   string        // "kid"; empty if refused
	Expires time.Time     // "exp"; zero if refused
	Took    time.Duration // from the call to the end, including the signer's time
	Err     error         // why no token was minted; nil for a token
}

// LogValue returns the event for log/slog: a group with the names of the fields,
// without empty fields. Err is its text, and Took a text such as "1.5s".
func (e Event) LogValue() slog.Value { return e.record().LogValue() }

// MarshalJSON returns the content of LogValue as an object. Times are in RFC 3339.
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
	Profile *profileRecord `json:",omitempty"` // hides the Scope's field
}

type profileRecord struct {
	Profile
	Lifetime string `json:",omitempty"` // hides the Profile's field
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

// auditor calls [Config].Audit, if the host set it.
type auditor struct {
	audit func(context.Context, Event)
	now   func() time.Time
}

// enabled reports whether the host set [Config].Audit.
func (a *auditor) enabled() bool { return a.audit != nil }

// start returns the time, or zero if there is no audit.
func (a *auditor) start() (now time.Time) {
	if a.enabled() {
		now = a.now()
	}
	return now
}

// end reports how the minting that began at started ended, and returns err.
func (a *auditor) end(ctx context.Context, started time.Time, s *Scope, claims *Claims, t *Token, err error) error {
	if !a.enabled() {
		return err
	}
	now := a.now()
	e := Event{Time: now, Scope: *s, Claims: claims, Err: err, Took: now.Sub(started)}
	if claims != nil {
		e.Omitted = claims.Omitted()
	}
	if t != nil {
		e.ID, e.KeyID, e.Expires = t.ID(), t.KeyID(), t.Expires()
	}
	a.audit(ctx, e)
	return err
}
