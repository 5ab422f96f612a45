package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

// resolvedConnector is a connector that a step refers to, for one audience.
type resolvedConnector struct {
	ref       Ref
	key       ConnectorKey
	audience  string
	connector *Connector
	scope     oidctoken.Scope
	claims    *oidctoken.Claims // of the connector's tokens
}

// authorizer is the type of authorize and authorizeUnaudited.
type authorizer func(ctx context.Context, ref, audience string) (*resolvedConnector, error)

// authorize resolves a reference to a connector for an audience and checks that the connector's
// Rules admit the step. The empty audience means the connector's default. A refusal is audited.
func (s *Step) authorize(ctx context.Context, ref, audience string) (*resolvedConnector, error) {
	rc, err := s.authorizeUnaudited(ctx, ref, audience)
	if err != nil {
		if err = s.ended(err); errors.Is(err, ErrClosed) {
			return nil, err
		}
		e := Event{Kind: Refused, Audience: printable(audience), Err: err}
		if r, bad := ParseRef(ref); bad == nil { // other text may be anything, even a secret
			e.Connector = r.String()
		}
		s.audit(ctx, e)
		return nil, err
	}
	return rc, nil
}

// authorizeUnaudited is like authorize, without the audit.
func (s *Step) authorizeUnaudited(ctx context.Context, ref, audience string) (*resolvedConnector, error) {
	rc, err := s.resolve(ctx, ref, audience)
	if err != nil {
		return nil, err
	}
	if err := rc.connector.Rules.admit(&rc.scope, rc.claims); err != nil {
		return nil, fmt.Errorf("broker: connector %s: %w", rc.ref, err)
	}
	return rc, nil
}

// printable returns the audience, or "" if it is not safe to print.
func printable(audience string) string {
	if len(audience) > 600 || strings.ContainsFunc(audience, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return audience
}

// resolve is like authorize, without the check of the connector's Rules and without the audit.
func (s *Step) resolve(ctx context.Context, ref, audience string) (*resolvedConnector, error) {
	r, err := ParseRef(ref)
	if err != nil {
		return nil, err
	}
	rc, err := s.find(ctx, r, audience)
	if err != nil {
		return nil, fmt.Errorf("broker: connector %s: %w", r, s.ended(err))
	}
	return rc, nil
}

// lookup resolves r. It does not check the connector's Rules.
func (s *Step) lookup(ctx context.Context, r Ref, audience string) (*resolvedConnector, error) {
	if err := s.ended(nil); err != nil {
		return nil, err
	}
	key, err := r.key(&s.config.Scope)
	if err != nil {
		return nil, err
	}
	ctx, done := s.during(ctx)
	defer done()
	c, err := s.broker.config.Connectors.Connector(ctx, key)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, ErrNoConnector
	}
	if c, err = s.broker.current(ctx, key, c); err != nil {
		return nil, err
	}
	rc := &resolvedConnector{ref: r, key: key, connector: c, scope: s.config.Scope}
	if rc.audience, err = c.audience(audience); err != nil {
		return nil, err
	}
	rc.scope.Audience = rc.audience
	rc.scope.Profile = c.profile()
	rc.scope.Connector = &oidctoken.Connector{ID: r.ID, UID: c.UID, Name: c.Name, Level: r.Level}
	if rc.claims, err = s.broker.config.Issuer.Preview(ctx, rc.scope); err != nil {
		return nil, err
	}
	return rc, nil
}

// token returns the connector's JWT, and masks it in the step's output.
func (s *Step) token(ctx context.Context, rc *resolvedConnector) (*oidctoken.Token, error) {
	ctx, done := s.during(ctx)
	defer done()
	t, err := s.broker.tokens.Mint(ctx, rc.scope)
	if err != nil {
		return nil, s.connectorError(rc, err)
	}
	if s.passed(t.Expires()) {
		return nil, s.connectorError(rc, errExpired)
	}
	// The connector may have been revoked during the signing.
	if _, err := s.authorize(ctx, rc.ref.String(), rc.audience); err != nil {
		return nil, err
	}
	s.masks.Add(t.JWT())
	return t, nil
}

// credential returns the credential that the connector's cloud issues for a token, and masks it
// in the step's output. scopes are separated by spaces. "" means the connector's own scopes.
//
// The host may change or revoke the connector during the exchange. Then the step does not get
// the credential.
func (s *Step) credential(ctx context.Context, rc *resolvedConnector, scopes string) (*exchange.Credential, error) {
	for range 3 {
		c, err := s.lease(ctx, rc, scopes)
		if err != nil {
			return nil, s.connectorError(rc, err)
		}
		now, err := s.authorize(ctx, rc.ref.String(), rc.audience)
		if err != nil {
			return nil, err
		}
		if now.connector.Exchanger == rc.connector.Exchanger && now.connector.Version == rc.connector.Version && now.connector.UID == rc.connector.UID {
			return c, nil
		}
		rc = now
	}
	return nil, s.connectorError(rc, errChanging)
}

// lease gets the connector's credential from the cache that all steps share.
func (s *Step) lease(ctx context.Context, rc *resolvedConnector, scopes string) (*exchange.Credential, error) {
	var asked []string // nil means the connector's own
	if scopes != "" {
		asked = strings.Fields(scopes)
	}
	name, err := rc.sessionName()
	if err != nil {
		return nil, err
	}
	ctx, done := s.during(ctx)
	defer done()
	lease, err := s.broker.credentials.Lease(ctx, exchange.Target{
		Issuer:      s.broker.config.Issuer,
		Scope:       rc.scope,
		Exchanger:   rc.connector.Exchanger,
		Connector:   rc.key.cacheKey(),
		SessionName: name,
		Scopes:      asked,
	})
	if err != nil {
		if errors.Is(err, oidctoken.ErrDenied) {
			s.audit(ctx, Event{Kind: Refused, Connector: rc.ref.String(), Cloud: rc.connector.cloud(), Audience: rc.audience, Err: err})
		}
		return nil, err
	}
	c, err := lease.Get(ctx)
	if err != nil {
		return nil, err
	}
	for _, secret := range c.Secrets() {
		if !s.masks.Add(secret) {
			return nil, errUnmaskable
		}
	}
	return c, nil
}

// connectorError wraps an error with the connector's reference.
func (s *Step) connectorError(rc *resolvedConnector, err error) error {
	return fmt.Errorf("broker: connector %s: %w", rc.ref, s.ended(err))
}

// sessionName returns the name of the step's sessions at the connector's cloud, for clouds that
// need one. It begins with a part that leads from the cloud's audit log to the run. It ends
// with a digest of all claims of the step's tokens and the connector.
func (rc *resolvedConnector) sessionName(more ...string) (string, error) {
	claims, err := rc.claims.MarshalJSON()
	if err != nil {
		return "", err
	}
	return exchange.SessionName(sessionPrefix(&rc.scope), append([]string{string(claims), rc.ref.String()}, more...)...), nil
}

// sessionPrefix returns the ID of s's execution, or its number, and the ID of the pipeline, as
// far as the host sets them. If both are missing, it returns the account's ID. The execution
// comes first because a session name may be too short for both.
func sessionPrefix(s *oidctoken.Scope) string {
	var parts []string
	if e := s.Execution; e != nil && cmp.Or(e.ID, e.Sequence) != "" {
		parts = append(parts, cmp.Or(e.ID, e.Sequence))
	}
	if p := s.Pipeline; p != nil && p.ID != "" {
		parts = append(parts, p.ID)
	}
	return cmp.Or(strings.Join(parts, "-"), s.Account.ID)
}
