package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// variables is what a delivery adds to a step's environment.
type variables struct {
	env     map[string]string
	expires time.Time // of what is in env itself; zero: it leads to what is kept fresh
}

// variablesOf returns what leads tools to the grant's connector. An Exchanger that
// has nothing for tools, as one that implements exchange.Exchanger alone, gives the
// variables of its Credential. A connector without an Exchanger has none of its
// own: it has the step's endpoint.
func (s *Step) variablesOf(ctx context.Context, g *grant) (v variables, err error) {
	if g.connector.Exchanger == nil {
		return v, nil
	}
	if v.env, err = s.bundle(ctx, g); err != nil {
		return v, err
	}
	if len(v.env) == 0 {
		credential, err := s.credential(ctx, g, "")
		if err != nil {
			return v, err
		}
		v.env, v.expires = credential.Env(), credential.Expires()
	}
	if len(v.env) == 0 {
		return v, fmt.Errorf("broker: connector %s: its Exchanger has neither a Bundle nor a Credential with variables: there is nothing to deliver", g.ref)
	}
	for _, name := range slices.Sorted(maps.Keys(v.env)) {
		if name == "" || strings.ContainsAny(name, "=\x00\n") || strings.ContainsAny(v.env[name], "\x00\n") {
			return v, fmt.Errorf("broker: connector %s: its variable %.64q cannot stand in an environment: it has a NUL, a line break or an equals sign in its name", g.ref, name)
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
func (s *Step) place(g *grant, v variables) error {
	value := !v.expires.IsZero()
	for _, name := range slices.Sorted(maps.Keys(v.env)) {
		o, taken := s.origins[name]
		if taken && o.ref != g.ref && !isStore(name) && (value || o.value || g.connector.cloud() == "") {
			return fmt.Errorf("broker: connector %s: its variable %s was delivered already, by %s", g.ref, name, o.ref)
		}
	}
	for name, text := range v.env {
		s.environ[name], s.origins[name] = text, origin{g.ref, value}
	}
	return nil
}
