package broker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

type tokenKey struct {
	ref      Ref
	audience string
}

type credentialKey struct {
	ref    Ref
	scopes string
}

// grant is a connector that the step may use, for one audience.
type grant struct {
	ref       Ref
	audience  string
	connector *Connector
	scope     oidctoken.Scope
}

// grant resolves a reference in the step's scope; the empty audience is the
// connector's default.
func (s *Step) grant(ctx context.Context, ref, audience string) (*grant, error) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	r, err := ParseRef(ref)
	if err != nil {
		return nil, err
	}
	home, err := r.home(&s.config.Scope)
	if err != nil {
		return nil, fmt.Errorf("broker: connector %s: %w", r, err)
	}
	c, err := s.broker.config.Connectors.Connector(ctx, home)
	if err == nil && c == nil {
		err = ErrNoConnector
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return nil, fmt.Errorf("broker: connector %s: %w", r, err)
	}
	g := &grant{ref: r, connector: c, scope: s.config.Scope}
	if g.audience, err = c.audience(audience); err != nil {
		return nil, fmt.Errorf("broker: connector %s: %w", r, err)
	}
	g.scope.Audience = g.audience
	g.scope.Profile = c.profile()
	g.scope.Connector = &oidctoken.Connector{ID: r.ID, UID: c.UID, Name: c.Name, Scope: r.Level}
	return g, nil
}

// token is the lease of the JWT for a grant: one per connector and audience,
// however often it is asked for.
func (s *Step) token(g *grant) *lease[string] {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := tokenKey{g.ref, g.audience}
	l := s.tokens[key]
	if l == nil {
		l = &lease[string]{step: s, ref: g.ref, fetch: func(ctx context.Context) (string, time.Time, error) {
			t, err := s.mint(ctx, g.scope)
			if err != nil {
				return "", time.Time{}, err
			}
			return t.JWT(), t.Expires(), nil
		}}
		s.tokens[key] = l
	}
	return l
}

// mint mints a token that the step's output will not show.
func (s *Step) mint(ctx context.Context, scope oidctoken.Scope) (*oidctoken.Token, error) {
	t, err := s.broker.config.Issuer.Mint(ctx, scope)
	if err != nil {
		return nil, err
	}
	s.masks.Add(t.JWT())
	return t, nil
}

// credential is the lease of the cloud credential for a grant. The scopes are
// separated by spaces; none means the connector's own.
func (s *Step) credential(g *grant, scopes string) *lease[*exchange.Credential] {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := credentialKey{g.ref, scopes}
	l := s.credentials[key]
	if l == nil {
		l = &lease[*exchange.Credential]{step: s, ref: g.ref, fetch: func(ctx context.Context) (*exchange.Credential, time.Time, error) {
			c, err := s.exchange(ctx, g, scopes)
			if err != nil {
				return nil, time.Time{}, err
			}
			return c, c.Expires(), nil
		}}
		s.credentials[key] = l
	}
	return l
}

// exchange trades a token at g's cloud for a credential that the step's output
// will not show.
func (s *Step) exchange(ctx context.Context, g *grant, scopes string) (*exchange.Credential, error) {
	var asked []string // nil: the connector's own
	if scopes != "" {
		asked = strings.Fields(scopes)
	}
	c, err := g.connector.Exchanger.Exchange(ctx, exchange.Request{
		Subject: func(ctx context.Context, audience string) (string, error) {
			scope := g.scope
			scope.Audience = audience
			t, err := s.mint(ctx, scope)
			if err != nil {
				return "", err
			}
			return t.JWT(), nil
		},
		SessionName: s.sessionName(g),
		Scopes:      asked,
	})
	if err != nil {
		return nil, fmt.Errorf("broker: connector %s: %w", g.ref, err)
	}
	for _, secret := range c.Secrets() {
		s.masks.Add(secret)
	}
	return c, nil
}

// sessionName is the name of the step's sessions at g's cloud, where the cloud
// wants one. It is the step's alone, also if the host knows no execution: tools
// keep credentials by it.
func (s *Step) sessionName(g *grant) string {
	scope, execution, stepID := &s.config.Scope, "", ""
	prefix := scope.Account.ID
	if scope.Pipeline != nil {
		prefix = scope.Pipeline.ID
	}
	if scope.Execution != nil {
		execution = scope.Execution.ID
	}
	if scope.Step != nil {
		stepID = scope.Step.ID
	}
	return exchange.SessionName(prefix, scope.Account.ID, scope.Organization.ID, scope.Project.ID,
		execution, stepID, g.ref.String(), s.nonce)
}
