package broker

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/jws"
)

// ErrNoConnector means that a reference names a connector that does not exist at its level. The
// author of the pipeline must act.
var ErrNoConnector = errors.New("no such connector")

// Connector describes a relying party and how to reach it. Pipelines refer to it by a [Ref].
// The host defines it and must not change it after its first use.
type Connector struct {
	UID, Name string // claims connector_uid and connector_name. Optional.

	// Version identifies this state of the connector, such as the version of its row or its
	// time of change. It is for hosts whose Connectors makes a new Exchanger at each lookup:
	// while Version stays the same, the broker keeps using the first Exchanger and its
	// credentials. It must change whenever the Exchanger's configuration changes. Optional.
	// Without it, the broker treats two Exchangers as the same if they are equal, or if they
	// are exchange.Configured and report the same configuration.
	Version string

	// Exchanger exchanges the token at a cloud. It is nil if the relying party accepts the
	// token itself.
	Exchanger exchange.Exchanger

	// Audiences lists the audiences that a step may request for a token of its own. The default
	// is the audience of the Exchanger, which is always allowed. Without an Exchanger, the
	// default is the first entry. Required without an Exchanger.
	Audiences []string

	// Profile describes the form of the tokens. Nil means the Exchanger's Profile, or the
	// issuer's without an Exchanger. With an Exchanger, it may have only algorithms and a
	// MaxSubject that the Exchanger's Profile allows: change a copy of that.
	Profile *oidctoken.Profile

	// Rules restrict which steps may use the connector, in addition to the level of its key.
	// Optional.
	Rules Rules

	// ByEndpoint makes the cloud's own tools request credentials from the step's endpoint
	// instead of reading a fresh file. The endpoint uses the whole configuration of the
	// Exchanger. The Exchanger must be an exchange.EndpointSourced. Optional.
	ByEndpoint bool
}

// ConnectorKey identifies a connector by its ID and by the level where it is defined.
// Organization and Project are empty for a connector of the account, and Project for one of an
// organization.
type ConnectorKey struct {
	Account, Organization, Project string
	ID                             string
}

// level describes the level of k: "project acme/payments/ledger".
func (k ConnectorKey) level() string {
	level, ids := "account", []string{k.Account}
	if k.Organization != "" {
		level, ids = "organization", append(ids, k.Organization)
	}
	if k.Project != "" {
		level, ids = "project", append(ids, k.Project)
	}
	return level + " " + strings.Join(ids, "/")
}

// cacheKey returns a text that is different for every ConnectorKey.
func (k ConnectorKey) cacheKey() string {
	return fmt.Sprintf("%q", []string{k.Account, k.Organization, k.Project, k.ID})
}

// Connectors looks up a host's connectors. It must be safe for concurrent use.
type Connectors interface {
	// Connector returns the connector with exactly that key, or an error that wraps
	// ErrNoConnector. The broker calls it at each use of a connector. It may return a new value
	// each time, with a new Exchanger: see Connector.Version. A step never receives a
	// credential of an Exchanger that was replaced.
	Connector(ctx context.Context, key ConnectorKey) (*Connector, error)
}

// ConnectorMap implements Connectors for a host with few connectors. [New] checks all of them.
type ConnectorMap map[ConnectorKey]*Connector

// Connector returns m[key], or ErrNoConnector if that is nil.
func (m ConnectorMap) Connector(_ context.Context, key ConnectorKey) (*Connector, error) {
	if c := m[key]; c != nil {
		return c, nil
	}
	return nil, ErrNoConnector
}

// key returns the key of r's connector for a step with that scope. r selects one level, always
// in the step's own account.
func (r Ref) key(s *oidctoken.Scope) (ConnectorKey, error) {
	h := ConnectorKey{Account: s.Account.ID, ID: r.ID}
	switch r.Level {
	case oidctoken.ProjectLevel:
		if s.Project.ID == "" {
			return h, fmt.Errorf("%w: the step is in no project", ErrNoConnector)
		}
		h.Organization, h.Project = s.Organization.ID, s.Project.ID
	case oidctoken.OrganizationLevel:
		if s.Organization.ID == "" {
			return h, fmt.Errorf("%w: the step is in no organization", ErrNoConnector)
		}
		h.Organization = s.Organization.ID
	}
	return h, nil
}

// ConnectorError reports which field of a [Connector] is wrong, and why. The owner of the
// connector must act.
type ConnectorError struct {
	Key    ConnectorKey // the connector
	Field  string       // such as "Profile.Algorithms"
	Reason string       // continues the field's name
	Err    error        // the cause; nil if Reason is the whole cause
}

// Error returns the field, the reason and the cause.
func (e *ConnectorError) Error() string {
	text := "broker: the connector's " + e.Field + " " + e.Reason
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns Err.
func (e *ConnectorError) Unwrap() error { return e.Err }

// check refuses a connector that can never work, whose Profile would send a token that its
// cloud must not receive, or whose Rules admit more or fewer steps than they appear to.
func (c *Connector) check(key ConnectorKey) error {
	if err := c.Rules.check(key); err != nil {
		return err
	}
	for _, audience := range c.Audiences {
		if printable(audience) == "" {
			return &ConnectorError{Key: key, Field: "Audiences", Reason: "has an entry that is not 1 to 600 printable ASCII characters without spaces"}
		}
	}
	if _, ok := c.Exchanger.(exchange.EndpointSourced); c.ByEndpoint && !ok {
		return &ConnectorError{Key: key, Field: "ByEndpoint", Reason: "is set, but the Exchanger is not an exchange.EndpointSourced"}
	}
	if v := reflect.ValueOf(c.Exchanger); v.Kind() == reflect.Pointer && v.IsNil() {
		return &ConnectorError{Key: key, Field: "Exchanger", Reason: "is a nil " + v.Type().String()}
	}
	if c.Exchanger == nil {
		if len(c.Audiences) == 0 {
			return &ConnectorError{Key: key, Field: "Audiences", Reason: "is empty, but a connector without an Exchanger needs an audience"}
		}
		return nil
	}
	if c.Profile == nil {
		return nil
	}
	accepted := c.Exchanger.Profile()
	for _, alg := range algorithms(*c.Profile) {
		if !slices.Contains(algorithms(accepted), alg) {
			return &ConnectorError{Key: key, Field: "Profile.Algorithms", Reason: fmt.Sprintf("has %.16q, but the Exchanger's cloud accepts only %q", alg, algorithms(accepted))}
		}
	}
	if most := accepted.MaxSubject; most != 0 && (c.Profile.MaxSubject == 0 || c.Profile.MaxSubject > most) {
		return &ConnectorError{Key: key, Field: "Profile.MaxSubject", Reason: fmt.Sprintf("is unlimited or more than the %d bytes that the Exchanger's cloud accepts", most)}
	}
	return nil
}

// algorithms returns the algorithms of a Profile, or the default algorithm.
func algorithms(p oidctoken.Profile) []string {
	if p.Algorithms == nil {
		return []string{jws.DefaultAlgorithm}
	}
	return p.Algorithms
}

// allowed returns the audiences that a step may request, with the default first. c has been
// checked.
func (c *Connector) allowed() []string {
	if c.Exchanger == nil {
		return c.Audiences
	}
	own := c.Exchanger.Audience()
	return append([]string{own}, slices.DeleteFunc(slices.Clone(c.Audiences), func(a string) bool { return a == own })...)
}

// audience returns the audience of a token when a step requests that audience. "" requests the
// default. c has been checked.
func (c *Connector) audience(asked string) (string, error) {
	allowed := c.allowed()
	if asked == "" {
		return allowed[0], nil
	}
	if !slices.Contains(allowed, asked) {
		return "", fmt.Errorf("%w: the connector does not allow that audience; it allows %q", oidctoken.ErrDenied, allowed)
	}
	return asked, nil
}

// profile returns the Profile of c's tokens. Nil means the issuer's own.
func (c *Connector) profile() *oidctoken.Profile {
	if c.Profile == nil && c.Exchanger != nil {
		p := c.Exchanger.Profile()
		return &p
	}
	return c.Profile
}

// cloud returns the name of the Exchanger's cloud, or "" if it has no name.
func (c *Connector) cloud() string { return cloudOf(c.Exchanger) }

func cloudOf(e exchange.Exchanger) string {
	if e, ok := e.(exchange.CloudNamed); ok {
		return e.Cloud()
	}
	return ""
}
