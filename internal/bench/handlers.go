//go:build unix

package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/blocks"
)

const (
	helloPath     = "/hello"
	jwksPath      = "/.well-known/jwks.json"
	discoveryPath = "/.well-known/openid-configuration"
)

// site serves an issuer's documents and a minimal page to compare with.
type site struct{ issuer *oidctoken.Issuer }

func (s site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == helloPath {
		io.WriteString(w, "hello") // an error means that the client has gone
		return
	}
	s.issuer.ServeHTTP(w, r)
}

// newSite returns a site that publishes the keys of a platform during a rotation: two
// keys of each of the two algorithms that the clouds accept.
func newSite() (site, error) {
	var keys oidctoken.StaticKeys
	for range 2 {
		rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return site{}, err
		}
		ecKey, err := newKey("ES256")
		if err != nil {
			return site{}, err
		}
		for _, key := range []crypto.Signer{rsaKey, ecKey} {
			signer, err := oidctoken.NewSigner(key)
			if err != nil {
				return site{}, err
			}
			keys = append(keys, oidctoken.Key{Signer: signer})
		}
	}
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{URL: issuerURL, Keys: keys})
	return site{issuer}, err
}

// measureAlone measures the handler without a server.
func measureAlone(plan blocks.Plan) (table, error) {
	t := table{title: "one request, in the handler", unit: "hello"}
	s, err := newSite()
	if err != nil {
		return t, err
	}
	tag := httptest.NewRecorder()
	s.ServeHTTP(tag, httptest.NewRequest(http.MethodGet, jwksPath, nil))
	var candidates []blocks.Candidate
	for _, c := range []struct {
		name, path, match string
		status            int
	}{
		{"hello", helloPath, "", http.StatusOK},
		{"JWK Set", jwksPath, "", http.StatusOK},
		{"JWK Set, not modified", jwksPath, tag.Header().Get("Etag"), http.StatusNotModified},
		{"discovery", discoveryPath, "", http.StatusOK},
	} {
		r := httptest.NewRequest(http.MethodGet, c.path, nil)
		r.Header.Set("If-None-Match", c.match)
		got := httptest.NewRecorder()
		if s.ServeHTTP(got, r); got.Code != c.status {
			return t, fmt.Errorf("%s: status %d, not %d", c.name, got.Code, c.status)
		}
		w := &writer{header: http.Header{}}
		run := func(n int) {
			for range n {
				clear(w.header)
				s.ServeHTTP(w, r)
			}
		}
		candidates = append(candidates, blocks.Candidate{Name: c.name, Run: run})
		counted := newRow(c.name, run)
		t.rows = append(t.rows, counted)
		t.targets = append(t.targets, target{id: "P5", what: c.name + ", allocations in the handler", got: counted.allocs, exact: true})
	}
	t.result = plan.Compare(candidates...)
	return t, nil
}

// writer is a ResponseWriter that discards everything.
type writer struct{ header http.Header }

func (w *writer) Header() http.Header               { return w.header }
func (w *writer) WriteHeader(int)                   {}
func (w *writer) Write(b []byte) (int, error)       { return len(b), nil }
func (w *writer) WriteString(s string) (int, error) { return len(s), nil }

// measureServed measures a server in this process. The client is another process, with
// one connection over loopback.
func measureServed(plan blocks.Plan) (t table, err error) {
	s, err := newSite()
	if err != nil {
		return t, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return t, err
	}
	server := &http.Server{Handler: s}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		err = errors.Join(err, server.Close())
		if end := <-served; !errors.Is(end, http.ErrServerClosed) {
			err = errors.Join(err, end)
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	v, err := newClientProcess(ctx, listener.Addr().String())
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, v.close()) }()

	t = table{title: "one request, in a server", unit: "hello"}
	var candidates []blocks.Candidate
	for _, c := range []struct{ name, path string }{
		{"hello", helloPath}, {"JWK Set", jwksPath}, {"discovery", discoveryPath},
	} {
		if err := v.get(c.path, 1); err != nil {
			return t, err
		}
		run := func(n int) {
			if err := v.get(c.path, n); err != nil {
				panic(fmt.Errorf("bench: a call that succeeded before failed: %w", err))
			}
		}
		candidates = append(candidates, blocks.Candidate{Name: c.name, Run: run})
		t.rows = append(t.rows, newRow(c.name, run))
	}
	t.result = plan.Compare(candidates...)
	for i, name := range t.result.Names[1:] {
		t.targets = append(t.targets, target{id: "P5", what: name + " / hello, server", got: t.result.Ratio[i+1], limit: 1.15})
	}
	return t, nil
}
