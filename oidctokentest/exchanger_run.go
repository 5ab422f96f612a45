package oidctokentest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

const (
	endpointHost = "127.0.0.1:1" // in the memory of a run: nothing is dialled
	strangerHost = "127.0.0.2:1"

	otherPrefix = "other-" // of the value in an answer that Path did not choose

	maxSeen      = 1 << 20 // bytes of a request
	secretWindow = 12      // bytes of a secret that no error may show in a row
	maxErrorText = 1 << 10 // bytes
)

// exchangerRun is one subtest: an Exchanger, its cloud, and the requests and
// answers between them.
type exchangerRun struct {
	*testing.T
	test      ExchangerTest
	exchanger exchange.Exchanger
	issuer    *oidctoken.Issuer
	value     string // the secret of a credential

	mu        sync.Mutex
	cloud     http.Handler // of the requests that Path chooses
	jwts      []string     // minted, in order
	requests  int          // that Path chose
	carriers  []string     // the JWTs of requests that carry one, in order
	strangers int          // connections to other hosts
}

func newExchangerRun(t *testing.T, test ExchangerTest) *exchangerRun {
	r := &exchangerRun{T: t, test: test, value: "value-" + rand.Text()}
	listener := &pipeListener{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: http.HandlerFunc(r.serve), ErrorLog: discardLog()}
	var served sync.WaitGroup
	served.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the cloud's server ended: %v", err)
		}
	})
	t.Cleanup(func() {
		server.Close()
		served.Wait()
	})
	r.exchanger = test.New(t, "http://"+endpointHost, &http.Transport{
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 64 << 10,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			if address != endpointHost {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.strangers++
				return nil, errors.New("nobody is there")
			}
			return listener.dial(ctx)
		},
	})
	var err error
	if r.issuer, err = issuerOf(r.exchanger.Profile()); err != nil {
		t.Fatalf("an issuer for the Exchanger's Profile: %v", err)
	}
	return r
}

// issuerOf returns an issuer with a key for the algorithm that p prefers.
func issuerOf(p oidctoken.Profile) (*oidctoken.Issuer, error) {
	var key oidctoken.Key
	var err error
	if len(p.Algorithms) == 0 || p.Algorithms[0] == "RS256" {
		key, err = sharedRSA()
	} else {
		key, err = newKey(p.Algorithms[0])
	}
	if err != nil {
		return nil, err
	}
	return oidctoken.NewIssuer(oidctoken.Config{
		URL:         "https://issuer.example.com",
		Keys:        oidctoken.StaticKeys{key},
		MaxLifetime: 24 * time.Hour,
	})
}

// serve records a request, checks how it carries its JWT, and answers.
func (r *exchangerRun) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, maxSeen))
	if err != nil {
		return // the Exchanger went away
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	target := r.test.Path == "" || strings.HasSuffix(req.URL.Path, r.test.Path)
	r.mu.Lock()
	for _, jwt := range r.jwts {
		if strings.Contains(req.RequestURI, jwt) {
			r.Errorf("a JWT stands in a request's URL: %s %s", req.Method, req.URL.Path)
		}
		if bytes.Contains(body, []byte(jwt)) {
			r.carriers = append(r.carriers, jwt)
		}
	}
	if target {
		r.requests++
	}
	cloud := r.cloud
	r.mu.Unlock()
	if target {
		cloud.ServeHTTP(w, req)
	} else {
		writeCloud(w, r.test.Answer(req, otherPrefix+r.value, defaultLifetime))
	}
}

func writeCloud(w http.ResponseWriter, a CloudAnswer) {
	w.Header().Set("Content-Type", a.ContentType)
	w.WriteHeader(a.Status)
	_, _ = io.WriteString(w, a.Body) // who went away needs no error
}

// exchange makes an exchange with the answers of cloud.
func (r *exchangerRun) exchange(ctx context.Context, cloud http.Handler) (*exchange.Credential, error) {
	r.mu.Lock()
	r.cloud = cloud
	r.mu.Unlock()
	return r.exchanger.Exchange(ctx, exchange.Request{Subject: r.subject, SessionName: "oidctokentest"})
}

// subject mints a JWT with the Exchanger's Profile.
func (r *exchangerRun) subject(ctx context.Context, audience string) (string, error) {
	if want := r.exchanger.Audience(); audience != want {
		r.Errorf("Exchange asked for a JWT for %q, and its Audience is %q", audience, want)
	}
	profile := r.exchanger.Profile()
	token, err := r.issuer.Mint(ctx, oidctoken.Scope{
		Audience: audience, Profile: &profile,
		Account: oidctoken.Entity{ID: "acme"}, Organization: oidctoken.Entity{ID: "payments"}, Project: oidctoken.Entity{ID: "ledger"},
	})
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jwts = append(r.jwts, token.JWT())
	return token.JWT(), nil
}

// made returns the number of requests that Path selects.
func (r *exchangerRun) made() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

// checkSubjects requires a new JWT in each request that carries one.
func (r *exchangerRun) checkSubjects() {
	r.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := make(map[string]bool)
	for _, jwt := range r.carriers {
		if seen[jwt] {
			r.Error("a JWT was sent twice: Subject must be called before each try")
		}
		seen[jwt] = true
	}
	if len(r.jwts) != len(seen) {
		r.Errorf("Subject was called %d times for %d requests that carry a JWT", len(r.jwts), len(seen))
	}
}

// refuses requires that the exchange fails with an error that may be shown.
func (r *exchangerRun) refuses(cloud http.Handler) {
	r.Helper()
	credential, err := r.exchange(r.Context(), cloud)
	if err == nil {
		r.Errorf("Exchange returned a %v, want an error", credential)
		return
	}
	r.checkError(err)
}

// checkError requires an *exchange.Error without a secret.
func (r *exchangerRun) checkError(err error) {
	r.Helper()
	var refused *exchange.Error
	if !errors.As(err, &refused) {
		r.Errorf("the error is a %T, want an *exchange.Error: %v", err, err)
	} else if refused.Provider == "" || refused.Op == "" {
		r.Errorf("the *exchange.Error has no Provider or no Op: %v", err)
	}
	r.checkShown(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.strangers > 0 {
		r.Errorf("Exchange opened %d connections to another host, which a redirect named", r.strangers)
	}
}

// checkShown looks for secrets in all ways to print err.
func (r *exchangerRun) checkShown(err error) {
	r.Helper()
	text := err.Error()
	if len(text) > maxErrorText {
		r.Errorf("the error's text has %d bytes, want at most %d", len(text), maxErrorText)
	}
	if i := strings.IndexFunc(text, unicode.IsControl); i >= 0 {
		r.Errorf("the error's text has the control character %q", text[i])
	}
	encoded, _ := json.Marshal(err) // an error that is no JSON shows nothing in it
	shown := fmt.Sprintf("%v\n%+v\n%#v\n%q\n%s\n%s", err, err, err, err, text, encoded)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, jwt := range r.jwts {
		if shows(shown, signatureOf(jwt)) {
			r.Error("the error shows a part of the JWT's signature")
		} else if showsEncoded(text, signatureOf(jwt)) {
			r.Error("the error shows an encoded part of the JWT's signature")
		}
	}
	if shows(shown, r.value) {
		r.Error("the error shows a part of the credential")
	}
}

// shows reports whether text has a window of the secret.
func shows(text, secret string) bool {
	for i := 0; i+secretWindow <= len(secret); i++ {
		if strings.Contains(text, secret[i:i+secretWindow]) {
			return true
		}
	}
	return false
}

// pipeListener is a network in memory.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.closed) // http.Server closes a listener once
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
