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
	endpointTimeout = 90 * time.Second // an exchange takes at most a minute

	tokenPath       = "/token"
	credentialsPath = "/credentials"
)

// endpoint serves tokens and credentials to a step's own processes, on a loopback address, until
// the step is closed. It accepts only requests with its secret, and serves only connectors that
// were delivered to the step.
//
//	GET  /token?audience=A       {"count":N,"value":JWT,"expiresAt":T}, like GitHub's runners
//	POST /token {"audience":A}   the same
//	GET  /credentials            like AWS's containers
type endpoint struct {
	step   *Step
	host   string        // 127.0.0.1:port
	secret func() string // in a func, so that no print verb reaches it

	refusals refusals
}

// listen starts the step's endpoint, unless it is running.
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

// connKey is the context key of a request's *pooledConn.
type connKey struct{}

// serve starts an endpoint on a listener. It closes the listener when the step ends.
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
		stop := context.AfterFunc(ctx, func() { server.Close() }) // the error of Close is the listener's and has no effect
		defer stop()
		if err := server.Serve(newPool(listener)); !errors.Is(err, http.ErrServerClosed) {
			s.warn(ctx, "a step's endpoint stopped", err)
		}
	})
	return e
}

// endpointEnv starts the step's endpoint and returns the variables that point to it. The header
// of a request is in a file, for curl -H @file, because every process can see a secret in an
// argument.
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

// of returns the endpoint in the form for the tools of the connector's cloud.
func (e *endpoint) of(rc *resolvedConnector) exchange.Endpoint {
	return exchange.Endpoint{
		TokenURL:       e.url(tokenPath) + "?audience=" + url.QueryEscape(rc.audience),
		CredentialsURL: e.url(credentialsPath),
		Authorization:  e.authorization,
	}
}

// serveConnector adds a connector to those that the endpoint serves, and keeps the step's
// requests away from proxies. The caller holds s.mu.
func (s *Step) serveConnector(rc *resolvedConnector) {
	s.environ[upperNoProxy], s.environ[lowerNoProxy] = noProxy(s.endpoint.unproxied())
	if !slices.Contains(s.served, rc.ref) {
		s.served = append(s.served, rc.ref)
	}
}
