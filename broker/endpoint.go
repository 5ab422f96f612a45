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
// as long as the step lives, on a loopback address. It serves requests with its
// secret, and only from the connectors that the step was given.
//
//	GET  /token?audience=A       {"count":N,"value":JWT,"expiresAt":T}, as GitHub's runners do
//	POST /token {"audience":A}   the same
//	GET  /credentials            as AWS's containers do
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
	s.endpoint = s.serve(listener)
	return s.endpoint, nil
}

// connKey is the key of a request's *pooledConn in its context.
type connKey struct{}

// serve starts an endpoint on a listener, which it closes when the step ends.
func (s *Step) serve(listener net.Listener) *endpoint {
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
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ConnState:         func(c net.Conn, state http.ConnState) { c.(*pooledConn).changed(state) },
	}
	s.run(func(ctx context.Context) {
		server.BaseContext = func(net.Listener) context.Context { return ctx }
		stop := context.AfterFunc(ctx, func() { server.Close() }) // its error is the listener's, which nobody needs any more
		defer stop()
		if err := server.Serve(newPool(listener)); !errors.Is(err, http.ErrServerClosed) {
			s.warn(ctx, "a step's endpoint has ended", err)
		}
	})
	return e
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
func (e *endpoint) of(rc *resolvedConnector) exchange.Endpoint {
	return exchange.Endpoint{
		TokenURL:       e.url(tokenPath) + "?audience=" + url.QueryEscape(rc.audience),
		CredentialsURL: e.url(credentialsPath),
		Authorization:  e.authorization,
	}
}

// give adds a grant's connector to those that the endpoint serves, and keeps the
// step's requests from proxies. The caller holds s.mu.
func (s *Step) serveConnector(rc *resolvedConnector) {
	s.environ[upperNoProxy], s.environ[lowerNoProxy] = noProxy(s.endpoint.unproxied())
	if !slices.Contains(s.served, rc.ref) {
		s.served = append(s.served, rc.ref)
	}
}
