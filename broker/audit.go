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

// Event describes an event for [Config.Audit]. It contains no secret. The broker does not
// report minted tokens and refusals by the issuer: oidctoken.Config.Audit receives them.
type Event struct {
	Time  time.Time
	Kind  EventKind
	Scope oidctoken.Scope // the scope of the step

	// Connector is the reference, as the step or the host wrote it. It is empty if the text was
	// not a reference, or if the step named no connector.
	Connector string
	// Cloud is "gcp", "aws" or "azure". It is empty if the connector has no cloud.
	Cloud string
	// Audience is the audience of the token, or the requested audience. It is empty if the step
	// requested the connector's default and the default is unknown.
	Audience string
	// TokenID and KeyID are the "jti" and the "kid" of the JWT that was exchanged or delivered,
	// as in the ID and KeyID of oidctoken.Event. If an exchange was retried, they belong to the
	// last try. They are empty if there was no JWT.
	TokenID, KeyID string
	// SessionName is the name of the session at the cloud. AWS shows it in CloudTrail as the
	// RoleSessionName. It belongs to the exchange, to the delivered credential, or to the
	// sessions that the tools of a delivered connector start themselves. It is empty if there
	// is no session name.
	SessionName string
	// File is the path of a written file, relative to the step's Dir. It is empty if the
	// delivery used no file. A file that contains several tokens or credentials has one event
	// for each.
	File string
	// Expires is the expiry of the token or credential. It is zero if there is no token or
	// credential.
	Expires time.Time
	// Took is the duration of an exchange, with its retries.
	Took time.Duration
	// Late is the delay of an exchange after the planned renewal of the credential. It is zero
	// for the first exchange.
	Late time.Duration
	// Missed is the number of refusals of the step's endpoint that were not reported before
	// this one. After the first hundred refusals, one is reported each second.
	Missed int
	// Err is the reason for the refusal or failure. It is nil on success.
	Err error
}

// EventKind names the kind of an Event.
type EventKind string

const (
	Refused   EventKind = "refused"   // the step was denied its request
	Exchanged EventKind = "exchanged" // a token was exchanged at a cloud, or the exchange failed with Err
	Refreshed EventKind = "refreshed" // like Exchanged, to renew a credential
	Delivered EventKind = "delivered" // the step received a connector's environment, a file or a response of the endpoint
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

// LogValue returns the event as a group, with Err as text and durations in the form "1.5s". It
// omits zero values.
func (e Event) LogValue() slog.Value { return e.record().LogValue() }

// MarshalJSON returns the members of LogValue as an object.
func (e Event) MarshalJSON() ([]byte, error) { return e.record().MarshalJSON() }

// deliveredEvent returns the event for the delivery of a connector's token. With a nil token,
// it returns the event for its credential or its environment.
func (rc *resolvedConnector) deliveredEvent(expires time.Time, token *oidctoken.Token) Event {
	e := Event{Kind: Delivered, Connector: rc.ref.String(), Cloud: rc.connector.cloud(), Audience: rc.audience, Expires: expires}
	switch {
	case token != nil:
		e.TokenID, e.KeyID = token.ID(), token.KeyID()
	case !expires.IsZero():
		e.SessionName, _ = rc.sessionName() // cannot fail: the exchange computed the same name
	}
	return e
}

// audit reports an event of a step to Config.Audit.
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

// observe reports an exchange to Config.Audit, with the scope of the step that started it. It
// logs a failed renewal.
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
	e.Scope.Audience, e.Scope.Profile, e.Scope.Connector = "", nil, nil // these belong to the connector
	if event.Renewal {
		e.Kind = Refreshed
	}
	b.audit(ctx, e)
	if event.Err != nil && event.Renewal {
		b.config.Logger.LogAttrs(ctx, slog.LevelWarn, "failed to renew a connector's credential; the previous one stays in use",
			slog.String("connector", ref), slog.Time("until", event.Expires), slog.Any("error", loggable(event.Err)))
	}
}

// loggable returns an error without the text that the cloud returned. That text may contain a
// secret: several steps share the exchange, and the secrets of those steps are not known here.
func loggable(err error) slog.Value {
	e, ok := errors.AsType[*exchange.Error](err)
	if !ok {
		return slog.StringValue(err.Error())
	}
	return slog.GroupValue(slog.String("cloud", e.Provider), slog.String("op", e.Op), slog.Int("status", e.Status), slog.String("code", e.Code))
}
