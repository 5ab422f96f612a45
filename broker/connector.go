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
)

// ErrNoConnector means that a reference names a connector that does not exist
// where it points to. The author of the pipeline must act.
var ErrNoConnector = errors.New("no such connector")

// Connector is what a pipeline's author refers to: a relying party, and how it
// is reached. It is the host's, and not changed after its first use.
type Connector struct {
	UID, Name string // claims connector_uid and connector_name. Optional.

	// Version names this state of the connector, such as its row's version or
	// time of change. It is for Connectors that make a new Exchanger for each
	// lookup: while Version stays the same, the broker goes on with the first
	// Exchanger and its credentials. It must change whenever the Exchanger's
	// configuration does. Optional. Without it, two Exchangers are the same if
	// they are equal, or if they are exchange.Configured and say so.
	Version string

	// Exchanger trades the token at a cloud. Nil for a connector whose relying
	// party takes the token itself.
	Exchanger exchange.Exchanger

	// Audiences are those that a step may ask for in a token of its own. When
	// it asks for none, the Exchanger's is meant, which it may always have, or
	// without an Exchanger the first of these. Required without an Exchanger.
	Audiences []string

	// Profile is how the tokens look. Nil means the Exchanger's; without an
	// Exchanger, the issuer's own. Beside an Exchanger it has no algorithm and
	// no longer subject than the Exchanger's Profile allows: change a copy of
	// that.
	Profile *oidctoken.Profile

	// Rules say which steps may use it, beside those that cannot refer to it.
	// Optional.
	Rules Rules

	// ByEndpoint has the cloud's own tools ask the step's endpoint, which does
	// all of the Exchanger's configuration, instead of a file that is kept
	// fresh. The Exchanger must be an exchange.EndpointSourced. Optional.
	ByEndpoint bool
}

// Home is where a connector is defined. Organization and Project are empty at
// the levels above.
type ConnectorKey struct {
	Account, Organization, Project string
	ID                             string
}

// place names the level that h is at, and where: "project acme/payments/ledger".
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

// name is for nobody to read: no two homes have the same.
func (k ConnectorKey) cacheKey() string {
	return fmt.Sprintf("%q", []string{k.Account, k.Organization, k.Project, k.ID})
}

// Connectors has a host's connectors. It is safe for concurrent use.
type Connectors interface {
	// Connector returns the connector of that home and no other, or an error
	// that wraps ErrNoConnector. It is called at each use of a connector. It may
	// return a new value each time, with a new Exchanger: see Connector.Version.
	// A step is given no credential of an Exchanger that was replaced.
	Connector(ctx context.Context, key ConnectorKey) (*Connector, error)
}

// ConnectorMap is Connectors for a host with few of them. [New] checks them all.
type ConnectorMap map[ConnectorKey]*Connector

// Connector returns m[home], or ErrNoConnector if that is nil.
func (m ConnectorMap) Connector(_ context.Context, key ConnectorKey) (*Connector, error) {
	if c := m[key]; c != nil {
		return c, nil
	}
	return nil, ErrNoConnector
}

// home is where a step of that scope finds r. Only the level that r names is
// searched, and only in the step's own account.
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

// ConnectorError says which field of a [Connector] is wrong, and why. Whoever
// keeps the connectors must act.
type ConnectorError struct {
	Key    ConnectorKey // where it is defined
	Field  string       // such as "Profile.Algorithms"
	Reason string       // continues the field's name
	Err    error        // the cause; nil if there is no other than Reason
}

// Error names the field.
func (e *ConnectorError) Error() string {
	text := "broker: the connector's " + e.Field + " " + e.Reason
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns Err.
func (e *ConnectorError) Unwrap() error { return e.Err }

// check finds a connector that could never work, whose Profile would let out
// what its cloud must not be sent, or whose Rules admit more or less than they seem
// to.
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
		return &ConnectorError{Key: key, Field: "ByEndpoint", Reason: "is set, and the Exchanger's tools cannot ask an endpoint"}
	}
	if v := reflect.ValueOf(c.Exchanger); v.Kind() == reflect.Pointer && v.IsNil() {
		return &ConnectorError{Key: key, Field: "Exchanger", Reason: "is a nil " + v.Type().String()}
	}
	if c.Exchanger == nil {
		if len(c.Audiences) == 0 {
			return &ConnectorError{Key: key, Field: "Audiences", Reason: "is empty, and there is no Exchanger"}
		}
		return nil
	}
	if c.Profile == nil {
		return nil
	}
	accepted := c.Exchanger.Profile()
	for _, alg := range algorithms(*c.Profile) {
		if !slices.Contains(algorithms(accepted), alg) {
			return &ConnectorError{Key: key, Field: "Profile.Algorithms", Reason: fmt.Sprintf("has %.16q, which the Exchanger's cloud does not take, but %q", alg, algorithms(accepted))}
		}
	}
	if most := accepted.MaxSubject; most != 0 && (c.Profile.MaxSubject == 0 || c.Profile.MaxSubject > most) {
		return &ConnectorError{Key: key, Field: "Profile.MaxSubject", Reason: fmt.Sprintf("is more than the %d bytes that the Exchanger's cloud takes", most)}
	}
	return nil
}

// algorithms are those of a Profile, or of one that leaves them to the default.
func algorithms(p oidctoken.Profile) []string {
	if p.Algorithms == nil {
		return []string{"RS256"}
	}
	return p.Algorithms
}

// allowed are the audiences that a step may ask for, the checked c's own first.
func (c *Connector) allowed() []string {
	if c.Exchanger == nil {
		return c.Audiences
	}
	own := c.Exchanger.Audience()
	return append([]string{own}, slices.DeleteFunc(slices.Clone(c.Audiences), func(a string) bool { return a == own })...)
}

// audience is what a token for a checked c says when a step asks for that
// audience; empty means it asked for none.
func (c *Connector) audience(asked string) (string, error) {
	allowed := c.allowed()
	if asked == "" {
		return allowed[0], nil
	}
	if !slices.Contains(allowed, asked) {
		return "", fmt.Errorf("%w: the connector does not allow that audience, but %q", oidctoken.ErrDenied, allowed)
	}
	return asked, nil
}

// profile is how c's tokens look; nil is the issuer's own.
func (c *Connector) profile() *oidctoken.Profile {
	if c.Profile == nil && c.Exchanger != nil {
		p := c.Exchanger.Profile()
		return &p
	}
	return c.Profile
}

// cloud names the cloud of c's Exchanger, if that tells.
func (c *Connector) cloud() string { return cloudOf(c.Exchanger) }

func cloudOf(e exchange.Exchanger) string {
	if e, ok := e.(exchange.CloudNamed); ok {
		return e.Cloud()
	}
	return ""
}
