package broker

import (
	"context"
	"net"
	"net/http"
)

const (
	MaxConns     = maxConns
	MaxStrangers = maxStrangers
)

var ParseAudience = parseAudience

// Endpoint returns the handler of an endpoint that serves the connectors. It does not listen on
// an address, because a listener would stop the time of a synctest bubble.
func (s *Step) Endpoint(ctx context.Context, refs ...string) (http.Handler, error) {
	s.endpoint = &endpoint{step: s, host: "127.0.0.1:1", secret: func() string { return "SECRET" }}
	return s.endpoint, s.serveAll(ctx, refs)
}

// ServeEndpoint starts the step's endpoint on a listener, adds the connectors to it, and
// returns its secret.
func (s *Step) ServeEndpoint(ctx context.Context, l net.Listener, refs ...string) (secret string, err error) {
	s.endpoint = s.serve(l)
	return s.endpoint.secret(), s.serveAll(ctx, refs)
}

func (s *Step) serveAll(ctx context.Context, refs []string) error {
	for _, ref := range refs {
		rc, err := s.authorize(ctx, ref, "")
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.serveConnector(rc)
		s.mu.Unlock()
	}
	return nil
}

// Variables returns the variables that Deliver adds to Environ for a connector. It does not
// start an endpoint.
func (s *Step) Variables(ctx context.Context, ref string) (map[string]string, error) {
	rc, err := s.authorize(ctx, ref, "")
	if err != nil {
		return nil, err
	}
	v, err := s.variablesOf(ctx, rc)
	return v.env, err
}

// Exchangers returns the number of connectors whose Exchangers are remembered.
func (b *Broker) Exchangers() int {
	b.exchangers.mu.Lock()
	defer b.exchangers.mu.Unlock()
	return len(b.exchangers.current)
}
