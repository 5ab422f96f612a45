package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/exchange"
)

// Deliver gives the step everything that the tools of a connector's cloud need: it writes files
// and adds variables to Environ. Until the step is closed, the step may also request the
// connector's tokens and credentials from its endpoint. Environ has these variables for it:
//
//   - ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN, for clients that get
//     their token from a GitHub runner;
//   - OIDCTOKEN_URL and OIDCTOKEN_HEADER_FILE. The URL responds to a POST of {"audience":"..."}
//     with {"count":N,"value":"JWT","expiresAt":"..."}. The file contains the required
//     Authorization header, in the form for curl -H @FILE;
//   - for AWS, AWS_CONTAINER_CREDENTIALS_FULL_URI and AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE;
//   - NO_PROXY and no_proxy, so that no proxy sees the endpoint's secret. If the step already
//     has these variables, use NoProxy to combine them.
//
// A request for an audience uses the step's only connector that allows it. A request without an
// audience uses the step's only connector. In every form, a request returns a token for the
// audience that it names, or an error.
//
// Some Exchangers have nothing for their cloud's tools: no file, no endpoint, no variables. For
// them, Deliver gets a Credential and adds its variables. A running process keeps the values of
// its variables, so they work until the Credential expires. Audit receives that time. If the
// Credential was renewed, another call of Deliver replaces the variables in Environ.
//
// Deliver also gives the step private places for the logins of container tools, helm and
// kubectl: DOCKER_CONFIG, REGISTRY_AUTH_FILE, HELM_CONFIG_HOME, HELM_REGISTRY_CONFIG,
// HELM_REPOSITORY_CONFIG, HELM_CACHE_HOME, HELM_REPOSITORY_CACHE and KUBECONFIG.
//
// A step can have one connector of each cloud. Deliver may be called again for the same
// connector, and then restores files that the step has removed. If Deliver fails, it delivers
// nothing.
func (s *Step) Deliver(ctx context.Context, ref string) error {
	e, err := s.deliver(ctx, ref)
	if err != nil {
		return err
	}
	s.audit(ctx, e)
	return nil
}

// deliver implements Deliver, for one caller at a time. So of two connectors of one cloud, it
// refuses one.
func (s *Step) deliver(ctx context.Context, ref string) (Event, error) {
	end, err := s.begin()
	if err != nil {
		return Event{}, err
	}
	defer end()
	during, done := s.during(ctx)
	defer done()
	select {
	case s.delivering <- struct{}{}:
		defer func() { <-s.delivering }()
	case <-during.Done():
		return Event{}, s.ended(during.Err())
	}
	rc, err := s.authorize(ctx, ref, "")
	if err != nil {
		return Event{}, err
	}
	cloud := rc.connector.cloud()
	s.mu.Lock()
	other, taken := s.delivered[cloud]
	s.mu.Unlock()
	if taken && other != rc.ref {
		return Event{}, fmt.Errorf("broker: connector %s: %s was already delivered, and a step can have only one connector of a cloud", rc.ref, other)
	}
	endpoint, err := s.endpointEnv(ctx)
	if err != nil {
		return Event{}, err
	}
	private, err := s.privateEnv(ctx)
	if err != nil {
		return Event{}, err
	}
	v, err := s.variablesOf(ctx, rc)
	if err != nil {
		return Event{}, err
	}
	e := rc.deliveredEvent(v.expires, nil)
	if files, ok := rc.connector.fileSourced(); ok {
		if _, ok := files.(exchange.SessionBundler); ok {
			if e.SessionName, err = s.toolSession(rc); err != nil {
				return Event{}, err
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.addVariables(rc, v); err != nil {
		return Event{}, err
	}
	if cloud != "" {
		s.delivered[cloud] = rc.ref
	}
	for name, value := range private {
		if _, ok := s.environ[name]; !ok {
			s.environ[name] = value
		}
	}
	maps.Copy(s.environ, endpoint)
	s.serveConnector(rc)
	return e, nil
}

// variables holds the variables that a delivery adds to a step's environment.
type variables struct {
	env     map[string]string
	expires time.Time // expiry of the values in env; zero if they point to something that is kept fresh
}

// variablesOf returns the variables that point tools to the connector. If the Exchanger has
// nothing for tools, as one that implements only exchange.Exchanger, it returns the variables
// of the Credential. A connector without an Exchanger has no variables of its own: it uses the
// step's endpoint.
func (s *Step) variablesOf(ctx context.Context, rc *resolvedConnector) (v variables, err error) {
	if rc.connector.Exchanger == nil {
		return v, nil
	}
	if v.env, err = s.bundle(ctx, rc); err != nil {
		return v, err
	}
	if len(v.env) == 0 {
		credential, err := s.credential(ctx, rc, "")
		if err != nil {
			return v, err
		}
		v.env, v.expires = credential.Env(), credential.Expires()
	}
	if len(v.env) == 0 {
		return v, fmt.Errorf("broker: connector %s: there is nothing to deliver: its Exchanger has neither a Bundle nor a Credential with variables", rc.ref)
	}
	for _, name := range slices.Sorted(maps.Keys(v.env)) {
		if name == "" || strings.ContainsAny(name, "=\x00\n") || strings.ContainsAny(v.env[name], "\x00\n") {
			return v, fmt.Errorf("broker: connector %s: its variable %.64q is not valid in an environment: its name is empty or has an equals sign, or its name or value has a NUL or a line break", rc.ref, name)
		}
	}
	return v, nil
}

// origin records which connector set a variable of a step.
type origin struct {
	ref   Ref
	value bool // the variable contains a credential, and not a path or a URL
}

// addVariables adds the variables of rc to the step's environment. It refuses to replace a
// variable of another connector if one of the two is a credential, or if the new connector's
// cloud has no name. For a named cloud the step has one connector anyway. A variable for a
// place of logins may be replaced. The caller holds s.mu.
func (s *Step) addVariables(rc *resolvedConnector, v variables) error {
	value := !v.expires.IsZero()
	for _, name := range slices.Sorted(maps.Keys(v.env)) {
		o, taken := s.origins[name]
		if taken && o.ref != rc.ref && !isStore(name) && (value || o.value || rc.connector.cloud() == "") {
			return fmt.Errorf("broker: connector %s: its variable %s was already delivered by %s", rc.ref, name, o.ref)
		}
	}
	for name, text := range v.env {
		s.environ[name], s.origins[name] = text, origin{rc.ref, value}
	}
	return nil
}
