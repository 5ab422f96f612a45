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

// Deliver gives the step all that the tools of a connector's cloud need: it
// writes the files and adds the variables to Environ. And it lets the step ask
// its endpoint for what the connector has, for as long as the step lives:
//
//   - ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN, for clients
//     that get their token from a GitHub runner;
//   - OIDCTOKEN_URL, which answers a POST of {"audience":"..."} with
//     {"count":N,"value":"JWT","expiresAt":"..."}, and OIDCTOKEN_HEADER_FILE, a
//     file with the Authorization header that it wants, as curl -H @FILE sends it;
//   - for AWS, AWS_CONTAINER_CREDENTIALS_FULL_URI and
//     AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE;
//   - NO_PROXY and no_proxy, so that no proxy sees the endpoint's secret. Where the
//     step has these already, NoProxy joins them.
//
// An audience leads to the step's one connector that allows it; without one,
// to the step's only connector. A request gets a token for the audience that it
// names, or an error, whatever its form.
//
// An Exchanger that has nothing for its cloud's tools, neither a file nor an
// endpoint nor variables for them, is asked for a Credential, and Deliver adds its
// variables. A process that has started keeps their values, so they serve until the
// Credential expires: Audit receives when. To call Deliver again replaces them in
// Environ if the Credential was renewed.
//
// Each step has private places for what container tools, helm and kubectl log in
// with: DOCKER_CONFIG, REGISTRY_AUTH_FILE, HELM_CONFIG_HOME, HELM_REGISTRY_CONFIG,
// HELM_REPOSITORY_CONFIG, HELM_CACHE_HOME, HELM_REPOSITORY_CACHE and KUBECONFIG.
//
// Of one cloud, a step can be given one connector. It may be delivered again, which
// brings back the files that the step has removed. What fails delivers nothing.
func (s *Step) Deliver(ctx context.Context, ref string) error {
	e, err := s.deliver(ctx, ref)
	if err != nil {
		return err
	}
	s.audit(ctx, e)
	return nil
}

// deliver is Deliver, for one caller at a time: of two connectors of one cloud,
// one is refused.
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
		return Event{}, fmt.Errorf("broker: connector %s: %s was delivered already, and a step can have one connector of a cloud", rc.ref, other)
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

// variables is what a delivery adds to a step's environment.
type variables struct {
	env     map[string]string
	expires time.Time // of what is in env itself; zero: it leads to what is kept fresh
}

// variablesOf returns what leads tools to the grant's connector. An Exchanger that
// has nothing for tools, as one that implements exchange.Exchanger alone, gives the
// variables of its Credential. A connector without an Exchanger has none of its
// own: it has the step's endpoint.
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
		return v, fmt.Errorf("broker: connector %s: its Exchanger has neither a Bundle nor a Credential with variables: there is nothing to deliver", rc.ref)
	}
	for _, name := range slices.Sorted(maps.Keys(v.env)) {
		if name == "" || strings.ContainsAny(name, "=\x00\n") || strings.ContainsAny(v.env[name], "\x00\n") {
			return v, fmt.Errorf("broker: connector %s: its variable %.64q cannot stand in an environment: it has a NUL, a line break or an equals sign in its name", rc.ref, name)
		}
	}
	return v, nil
}

// origin is the connector that a variable of a step is from.
type origin struct {
	ref   Ref
	value bool // it is a credential itself, and leads to no file or endpoint
}

// place adds what was delivered for g to the step's environment. It refuses to
// replace a variable of another connector that is a credential, or of one whose
// cloud has no name: of a named cloud, the step has one connector. A place for
// logins may be replaced. The caller holds s.mu.
func (s *Step) addVariables(rc *resolvedConnector, v variables) error {
	value := !v.expires.IsZero()
	for _, name := range slices.Sorted(maps.Keys(v.env)) {
		o, taken := s.origins[name]
		if taken && o.ref != rc.ref && !isStore(name) && (value || o.value || rc.connector.cloud() == "") {
			return fmt.Errorf("broker: connector %s: its variable %s was delivered already, by %s", rc.ref, name, o.ref)
		}
	}
	for name, text := range v.env {
		s.environ[name], s.origins[name] = text, origin{rc.ref, value}
	}
	return nil
}
