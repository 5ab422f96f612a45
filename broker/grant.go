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

// grant is a connector that the step may use, for one audience.
type grant struct {
	ref       Ref
	home      Home
	audience  string
	connector *Connector
	scope     oidctoken.Scope
	claims    *oidctoken.Claims // of its tokens
}

// granter is grant or permit.
type granter func(ctx context.Context, ref, audience string) (*grant, error)

// grant is what the step may use: of the connector that a reference leads to,
// for an audience, of which the empty one is the connector's default. What is
// refused is audited.
func (s *Step) grant(ctx context.Context, ref, audience string) (*grant, error) {
	g, err := s.permit(ctx, ref, audience)
	if err != nil {
		if err = s.ended(err); errors.Is(err, ErrClosed) {
			return nil, err
		}
		e := Event{Kind: Refused, Audience: printable(audience), Err: err}
		if r, bad := ParseRef(ref); bad == nil { // else it may be anything
			e.Connector = r.String()
		}
		s.audit(ctx, e)
		return nil, err
	}
	return g, nil
}

// permit is grant without the audit.
func (s *Step) permit(ctx context.Context, ref, audience string) (*grant, error) {
	g, err := s.resolve(ctx, ref, audience)
	if err != nil {
		return nil, err
	}
	if err := g.connector.Rules.admit(&g.scope, g.claims); err != nil {
		return nil, fmt.Errorf("broker: connector %s: %w", g.ref, err)
	}
	return g, nil
}

// printable is an audience, or nothing: what was asked for may be anything.
func printable(audience string) string {
	if len(audience) > 600 || strings.ContainsFunc(audience, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return audience
}

// resolve is grant without asking whether the connector's Rules admit the step.
func (s *Step) resolve(ctx context.Context, ref, audience string) (*grant, error) {
	r, err := ParseRef(ref)
	if err != nil {
		return nil, err
	}
	g, err := s.find(ctx, r, audience)
	if err != nil {
		return nil, fmt.Errorf("broker: connector %s: %w", r, s.ended(err))
	}
	return g, nil
}

// lookup returns the grant for r's connector, whether its Rules admit the step or
// not.
func (s *Step) lookup(ctx context.Context, r Ref, audience string) (*grant, error) {
	if err := s.ended(nil); err != nil {
		return nil, err
	}
	home, err := r.home(&s.config.Scope)
	if err != nil {
		return nil, err
	}
	ctx, done := s.during(ctx)
	defer done()
	c, err := s.broker.config.Connectors.Connector(ctx, home)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, ErrNoConnector
	}
	if c, err = s.broker.current(ctx, home, c); err != nil {
		return nil, err
	}
	g := &grant{ref: r, home: home, connector: c, scope: s.config.Scope}
	if g.audience, err = c.audience(audience); err != nil {
		return nil, err
	}
	g.scope.Audience = g.audience
	g.scope.Profile = c.profile()
	g.scope.Connector = &oidctoken.Connector{ID: r.ID, UID: c.UID, Name: c.Name, Level: r.Level}
	if g.claims, err = s.broker.config.Issuer.Preview(ctx, g.scope); err != nil {
		return nil, err
	}
	return g, nil
}

// token is the JWT for a grant, which the step's output will not show.
func (s *Step) token(ctx context.Context, g *grant) (*oidctoken.Token, error) {
	ctx, done := s.during(ctx)
	defer done()
	t, err := s.broker.tokens.Mint(ctx, g.scope)
	if err != nil {
		return nil, s.failed(g, err)
	}
	if s.passed(t.Expires()) {
		return nil, s.failed(g, errExpired)
	}
	// The connector may have been revoked while it was signed.
	if _, err := s.grant(ctx, g.ref.String(), g.audience); err != nil {
		return nil, err
	}
	s.masks.Add(t.JWT())
	return t, nil
}

// credential is what g's cloud gives for a token, which the step's output will
// not show. The scopes are separated by spaces; none means the connector's own.
//
// A host may change or revoke the connector while the cloud is waited for. Then
// what came is not the step's.
func (s *Step) credential(ctx context.Context, g *grant, scopes string) (*exchange.Credential, error) {
	for range 3 {
		c, err := s.lease(ctx, g, scopes)
		if err != nil {
			return nil, s.failed(g, err)
		}
		now, err := s.grant(ctx, g.ref.String(), g.audience)
		if err != nil {
			return nil, err
		}
		if now.connector.Exchanger == g.connector.Exchanger && now.connector.Version == g.connector.Version && now.connector.UID == g.connector.UID {
			return c, nil
		}
		g = now
	}
	return nil, s.failed(g, errChanging)
}

// lease is the credential for a grant, of the cache that serves all steps.
func (s *Step) lease(ctx context.Context, g *grant, scopes string) (*exchange.Credential, error) {
	var asked []string // nil: the connector's own
	if scopes != "" {
		asked = strings.Fields(scopes)
	}
	name, err := g.sessionName()
	if err != nil {
		return nil, err
	}
	ctx, done := s.during(ctx)
	defer done()
	lease, err := s.broker.credentials.Lease(ctx, exchange.Target{
		Issuer:      s.broker.config.Issuer,
		Scope:       g.scope,
		Exchanger:   g.connector.Exchanger,
		Connector:   g.home.name(),
		SessionName: name,
		Scopes:      asked,
	})
	if err != nil {
		if errors.Is(err, oidctoken.ErrDenied) {
			s.audit(ctx, Event{Kind: Refused, Connector: g.ref.String(), Cloud: g.connector.cloud(), Audience: g.audience, Err: err})
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

// failed is the error of a request for what a grant is for.
func (s *Step) failed(g *grant, err error) error {
	return fmt.Errorf("broker: connector %s: %w", g.ref, s.ended(err))
}

// sessionName returns the name of the step's sessions at g's cloud, where the cloud
// wants one. It begins with what leads from the cloud's audit log to the run, and
// ends with a digest over all that the step's tokens say, and the connector.
func (g *grant) sessionName(more ...string) (string, error) {
	claims, err := g.claims.MarshalJSON()
	if err != nil {
		return "", err
	}
	return exchange.SessionName(sessionPrefix(&g.scope), append([]string{string(claims), g.ref.String()}, more...)...), nil
}

// sessionPrefix returns the id of s's execution, or its number, and then the id of
// the pipeline, as far as the host knows them; without both, the account's id. The
// execution comes first because a session name has no room for all of it.
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
