// Package kmstest has the helpers that the tests of several signers share.
package kmstest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"syscall"
	"testing"
)

// A BreakingTransport is an [http.Transport] whose idle connections can be broken.
type BreakingTransport struct {
	*http.Transport

	mu     sync.Mutex
	conns  []*breakingConn
	closed bool // the next request meets a closed connection
}

// NewBreakingTransport returns a copy of base that is closed at the end of the test.
func NewBreakingTransport(t *testing.T, base *http.Transport) *BreakingTransport {
	b := &BreakingTransport{Transport: base.Clone()}
	dial := base.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	b.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := &breakingConn{Conn: conn}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.conns = append(b.conns, c)
		return c, nil
	}
	t.Cleanup(b.CloseIdleConnections)
	return b
}

// BreakAll makes every connection that exists fail its next write with EPIPE, as if
// the server had closed it. It returns how many there are.
func (b *BreakingTransport) BreakAll() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.conns)
	for _, c := range b.conns {
		c.mu.Lock()
		c.broken = true
		c.mu.Unlock()
	}
	b.conns = nil
	return n
}

// CloseNext makes the next request fail as http.Transport does when the server has
// closed the idle connection that the request was about to use.
func (b *BreakingTransport) CloseNext() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}

// RoundTrip implements [http.RoundTripper].
func (b *BreakingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	b.mu.Lock()
	closed := b.closed
	b.closed = false
	b.mu.Unlock()
	if !closed {
		return b.Transport.RoundTrip(r)
	}
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Reused: true, WasIdle: true})
	}
	if r.Body != nil {
		r.Body.Close()
	}
	return nil, errors.New("http: server closed idle connection")
}

type breakingConn struct {
	net.Conn
	mu     sync.Mutex
	broken bool
}

func (c *breakingConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	broken := c.broken
	c.mu.Unlock()
	if broken {
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	}
	return c.Conn.Write(p)
}
