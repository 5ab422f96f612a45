package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/oidctoken/oidctoken/exchange"
)

const (
	endpointTimeout = 90 * time.Second // an exchange takes a minute at most

	tokenPath       = "/token"
	credentialsPath = "/credentials"
)

// endpoint gives a step's own processes tokens and credentials on demand, for
// as long as the step lives, on a loopback address. It serves who knows its
// secret, and nothing but the connectors that the step was given.
//
//	GET  /token?audience=A       {"count":N,"value":JWT}, as GitHub's runners have it
//	POST /token {"audience":A}   the same, with "expiresAt"
//	GET  /credentials            as AWS's containers have it
type endpoint struct {
	step   *Step
	host   string        // 127.0.0.1:port
	secret func() string // in a func, so that no print verb reaches it

	refusals refusals
}

// listen starts the step's endpoint, unless it is there already.
func (s *Step) listen() (*endpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, ErrClosed
	case s.endpoint != nil:
		return s.endpoint, nil
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("broker: the step's endpoint: %w", err)
	}
	secret := rand.Text()
	s.masks.Add(secret)
	e := &endpoint{step: s, host: listener.Addr().String(), secret: func() string { return secret }}
	server := &http.Server{
		Handler:           e,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      endpointTimeout,
		IdleTimeout:       10 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	s.run(func(ctx context.Context) {
		server.BaseContext = func(net.Listener) context.Context { return ctx }
		stop := context.AfterFunc(ctx, func() { server.Close() }) // its error is the listener's, which nobody needs any more
		defer stop()
		if err := server.Serve(newBounded(listener)); !errors.Is(err, http.ErrServerClosed) {
			s.warn(ctx, "a step's endpoint has ended", err)
		}
	})
	s.endpoint = e
	return e, nil
}

// endpointEnv starts the step's endpoint and returns the variables that lead to
// it. The header of a request is in a file, which curl takes as -H @file: a
// secret in an argument can be seen by every process.
func (s *Step) endpointEnv(ctx context.Context) (map[string]string, error) {
	e, err := s.listen()
	if err != nil {
		return nil, err
	}
	dir, err := s.Dir()
	if err != nil {
		return nil, err
	}
	header := filepath.Join(privateDir, "endpoint.header")
	if err := s.keepFixed(ctx, header, "Authorization: "+e.authorization()); err != nil {
		return nil, err
	}
	return map[string]string{
		"ACTIONS_ID_TOKEN_REQUEST_URL":   e.url(tokenPath) + "?v=1", // clients append &audience=
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN": e.secret(),
		"OIDCTOKEN_URL":                  e.url(tokenPath),
		"OIDCTOKEN_HEADER_FILE":          filepath.Join(dir, header),
	}, nil
}

func (e *endpoint) url(path string) string { return "http://" + e.host + path }

func (e *endpoint) authorization() string { return "Bearer " + e.secret() }

// of is the endpoint as the tools of a grant's cloud are led to it.
func (e *endpoint) of(g *grant) exchange.Endpoint {
	return exchange.Endpoint{
		TokenURL:       e.url(tokenPath) + "?audience=" + url.QueryEscape(g.audience),
		CredentialsURL: e.url(credentialsPath),
		Authorization:  e.authorization,
	}
}

// give lets the step ask its endpoint for what a grant's connector has. The
// caller holds s.mu.
func (s *Step) give(g *grant) {
	if !slices.Contains(s.given, g.ref) {
		s.given = append(s.given, g.ref)
	}
}
