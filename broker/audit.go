package broker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/eventlog"
)

// Event is what [Config.Audit] is told. It holds no secret. Tokens that are
// minted, and refusals by the issuer, are told by oidctoken.Config.Audit.
type Event struct {
	Time  time.Time
	Kind  EventKind
	Scope oidctoken.Scope // where the step runs

	// Connector is the reference, as the step wrote it or by which it was
	// given; empty if it was no reference, or the step named none.
	Connector string
	// Cloud is "gcp", "aws" or "azure"; empty without a cloud.
	Cloud string
	// Audience is that of the token, or that was asked for; empty if the
	// connector's own was meant and is not known.
	Audience string
	// TokenID and KeyID are the "jti" and the "kid" of the JWT that was exchanged
	// or delivered, as in the ID and KeyID of oidctoken.Event; of the last one, if
	// an exchange had several tries. Empty if there was no JWT.
	TokenID, KeyID string
	// SessionName is the name of the session at the cloud, which AWS shows in
	// CloudTrail as the RoleSessionName: of the exchange, of the credential that
	// was delivered, or of the sessions that the tools of a delivered connector
	// start themselves. Empty if there is none.
	SessionName string
	// File is the path of a file that was written, below the step's Dir; empty
	// for what was delivered in another way. A file that was made from several
	// tokens or credentials has an event for each.
	File string
	// Expires is when what was had ends; zero if nothing was.
	Expires time.Time
	// Took is how long an exchange took, with its retries.
	Took time.Duration
	// Late is by how much an exchange was later than the time at which the
	// credential was to be renewed; zero for the first.
	Late time.Duration
	// Missed is how many refusals of the step's endpoint were not told before
	// this one: there is one each second, after the first hundred.
	Missed int
	// Err is why it was refused or failed; nil if it was not.
	Err error
}

// EventKind says what happened.
type EventKind string

const (
	Refused   EventKind = "refused"   // the step may not have what it asked for
	Exchanged EventKind = "exchanged" // a token was traded at a cloud, or Err says why not
	Refreshed EventKind = "refreshed" // as Exchanged, to renew a credential
	Delivered EventKind = "delivered" // a connector's environment, a file or an answer of the endpoint was given to the step
)

func (e Event) record() (r eventlog.Record) {
	r.Time("Time", e.Time)
	r.Text("Kind", string(e.Kind))
	r.JSON("Scope", e.Scope)
	r.Text("Connector", e.Connector)
	r.Text("Cloud", e.Cloud)
	r.Text("Audience", e.Audience)
	r.Text("TokenID", e.TokenID)
	r.Text("KeyID", e.KeyID)
	r.Text("SessionName", e.SessionName)
	r.Text("File", e.File)
	r.Time("Expires", e.Expires)
	r.Duration("Took", e.Took)
	r.Duration("Late", e.Late)
	r.Uint("Missed", uint64(e.Missed))
	r.Err("Err", e.Err)
	return r
}

// LogValue returns the event as a group, with Err as text and durations as "1.5s".
// It leaves out zero values.
func (e Event) LogValue() slog.Value { return e.record().LogValue() }

// MarshalJSON returns the members of LogValue as an object.
func (e Event) MarshalJSON() ([]byte, error) { return e.record().MarshalJSON() }

// delivered is that a grant's token, or without one its credential or environment,
// was given to the step.
func (rc *resolvedConnector) deliveredEvent(expires time.Time, token *oidctoken.Token) Event {
	e := Event{Kind: Delivered, Connector: rc.ref.String(), Cloud: rc.connector.cloud(), Audience: rc.audience, Expires: expires}
	switch {
	case token != nil:
		e.TokenID, e.KeyID = token.ID(), token.KeyID()
	case !expires.IsZero():
		e.SessionName, _ = rc.sessionName() // the credential's exchange had it: there is no error
	}
	return e
}

// audit tells Config.Audit what happened to a step.
func (s *Step) audit(ctx context.Context, e Event) {
	e.Scope = s.config.Scope
	s.broker.audit(ctx, e)
}

func (b *Broker) audit(ctx context.Context, e Event) {
	if b.config.Audit != nil {
		e.Time = b.config.Now()
		b.config.Audit(ctx, e)
	}
}

// observe tells of an exchange, for whichever step began it.
func (b *Broker) observe(ctx context.Context, event exchange.CacheEvent) {
	scope := event.Target.Scope
	connector := scope.Connector
	ref := Ref{connector.Level, connector.ID}.String()
	e := Event{
		Kind:      Exchanged,
		Scope:     scope,
		Connector: ref,
		Cloud:     cloudOf(event.Target.Exchanger),
		Audience:  scope.Audience,
		TokenID:   event.TokenID,
		KeyID:     event.KeyID,

		SessionName: event.Target.SessionName,

		Expires: event.Expires,
		Took:    event.Took,
		Late:    event.Late,
		Err:     event.Err,
	}
	e.Scope.Audience, e.Scope.Profile, e.Scope.Connector = "", nil, nil // which are the connector's
	if event.Renewal {
		e.Kind = Refreshed
	}
	b.audit(ctx, e)
	if event.Err != nil && event.Renewal {
		b.config.Logger.LogAttrs(ctx, slog.LevelWarn, "a connector's credential could not be renewed, and the last one serves on",
			slog.String("connector", ref), slog.Time("until", event.Expires), slog.Any("error", loggable(event.Err)))
	}
}

// loggable is an error without a cloud's own words, which nobody vouches for
// here: what the steps that share it were given is not known.
func loggable(err error) slog.Value {
	e, ok := errors.AsType[*exchange.Error](err)
	if !ok {
		return slog.StringValue(err.Error())
	}
	return slog.GroupValue(slog.String("cloud", e.Provider), slog.String("op", e.Op), slog.Int("status", e.Status), slog.String("code", e.Code))
}
