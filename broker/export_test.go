package broker

import (
	"context"
	"net/http"
)

// Endpoint is the handler of an endpoint that was given connectors, on no
// address: what listens keeps the time of a bubble from passing.
func (s *Step) Endpoint(ctx context.Context, refs ...string) (http.Handler, error) {
	for _, ref := range refs {
		g, err := s.grant(ctx, ref, "")
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		s.given = append(s.given, g.ref)
		s.mu.Unlock()
	}
	return &endpoint{step: s, host: "127.0.0.1:1", secret: func() string { return "secret" }}, nil
}
