package broker

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

const (
	maxConns   = 32      // of an endpoint, at once: a step must not use up the host's descriptors
	maxRequest = 4 << 10 // bytes of a request's body
)

// requestError is a request that the endpoint does not serve.
type requestError struct {
	status int
	code   string
	reason string
}

func (e *requestError) Error() string { return "broker: the step's endpoint: " + e.reason }

// ServeHTTP answers one request.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	end, err := e.step.begin()
	var body []byte
	if err == nil {
		defer end()
		body, err = e.answer(r)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err == nil {
		w.Write(body) // if it fails, there is nobody left to tell
		return
	}
	status, code := statusOf(err)
	if request, ok := errors.AsType[*requestError](err); ok { // what is refused behind it has been told
		e.step.audit(r.Context(), Event{Kind: Refused, Err: request})
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	var refusal *exchange.Error
	if errors.As(err, &refusal) && refusal.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((refusal.RetryAfter+time.Second-1)/time.Second)))
	}
	w.WriteHeader(status)
	// The members that AWS's SDKs and GitHub's client show.
	message, _ := json.Marshal(map[string]string{"code": code, "message": e.step.masks.Text(err.Error())}) // strings can be encoded
	w.Write(message)
}

// answer is what a request is answered with.
func (e *endpoint) answer(r *http.Request) ([]byte, error) {
	switch {
	case r.Host != e.host:
		// A page in a browser can be made to ask, under a name of its own.
		return nil, &requestError{http.StatusMisdirectedRequest, "misdirected_request", "it is asked for under another name"}
	case subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(e.authorization())) != 1:
		return nil, &requestError{http.StatusUnauthorized, "invalid_token", "the Authorization is not the one that this step was given"}
	}
	switch r.URL.Path {
	case tokenPath:
		audience, err := askedFor(r)
		if err != nil {
			return nil, err
		}
		return e.step.answerToken(r.Context(), audience)
	case credentialsPath:
		if r.Method != http.MethodGet {
			return nil, &requestError{http.StatusMethodNotAllowed, "invalid_request", "the method is not GET"}
		}
		return e.step.answerCredentials(r.Context())
	}
	return nil, &requestError{http.StatusNotFound, "invalid_request", "there is nothing at that path"}
}

// askedFor is the audience that a request names; empty if it names none.
func askedFor(r *http.Request) (string, error) {
	bad := func(reason string) (string, error) {
		return "", &requestError{http.StatusBadRequest, "invalid_request", reason}
	}
	switch r.Method {
	case http.MethodGet:
		values := r.URL.Query()["audience"]
		if len(values) > 1 {
			return bad("the query has more than one audience")
		}
		return strings.Join(values, ""), nil
	case http.MethodPost:
		text, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
		if err != nil || len(text) > maxRequest {
			return bad(fmt.Sprintf("the body cannot be read, or is longer than %d bytes", maxRequest))
		}
		if len(text) == 0 {
			return "", nil
		}
		var body struct {
			Audience string `json:"audience"`
		}
		if json.Unmarshal(text, &body) != nil {
			return bad(`the body is not of the form {"audience":"..."}`)
		}
		return body.Audience, nil
	}
	return "", &requestError{http.StatusMethodNotAllowed, "invalid_request", "the method is neither GET nor POST"}
}

// answerToken is the JWT for an audience, of the one connector of the step that
// allows it; without an audience, of the step's only connector.
func (s *Step) answerToken(ctx context.Context, audience string) ([]byte, error) {
	g, err := s.choose(ctx, audience)
	if err != nil {
		return nil, err
	}
	token, err := s.token(ctx, g)
	if err != nil {
		return nil, err
	}
	s.audit(ctx, g.delivered(token.Expires()))
	return json.Marshal(struct {
		Count     int       `json:"count"`
		Value     string    `json:"value"`
		ExpiresAt time.Time `json:"expiresAt"`
	}{len(token.JWT()), token.JWT(), token.Expires().UTC()})
}

// choose is the grant that an audience leads to.
func (s *Step) choose(ctx context.Context, audience string) (*grant, error) {
	given, refused := s.grants(ctx)
	var found []*grant
	var candidates []string
	for _, g := range given {
		allowed := g.connector.allowed()
		candidates = append(candidates, fmt.Sprintf("%s %q", g.ref, allowed))
		if audience == "" || slices.Contains(allowed, audience) {
			found = append(found, g)
		}
	}
	switch {
	case len(found) == 1:
		return s.grant(ctx, found[0].ref.String(), audience)
	case len(found) == 0 && refused != nil:
		return nil, refused
	case audience == "":
		return nil, &requestError{http.StatusBadRequest, "invalid_target", "name an audience: the step has " + strings.Join(candidates, ", ")}
	case len(found) == 0:
		return nil, &requestError{http.StatusForbidden, "invalid_target", "no connector of the step allows that audience: it has " + strings.Join(candidates, ", ")}
	}
	names := make([]string, len(found))
	for i, g := range found {
		names[i] = g.ref.String()
	}
	return nil, &requestError{http.StatusBadRequest, "invalid_target", "several connectors of the step allow that audience: " + strings.Join(names, ", ")}
}

// grants are the connectors that the step may ask its endpoint for, each for
// its own audience. The error says which of those that it was given it may use
// no longer.
func (s *Step) grants(ctx context.Context) (grants []*grant, refused error) {
	s.mu.Lock()
	refs := slices.Clone(s.given)
	s.mu.Unlock()
	for _, ref := range refs {
		g, err := s.grant(ctx, ref.String(), "")
		if err != nil {
			refused = errors.Join(refused, err)
			continue
		}
		grants = append(grants, g)
	}
	return grants, refused
}

// answerCredentials is the credential of the step's connector whose cloud has a
// form for such an answer; it has one of a cloud.
func (s *Step) answerCredentials(ctx context.Context) ([]byte, error) {
	given, refused := s.grants(ctx)
	for _, g := range given {
		form, ok := g.connector.Exchanger.(exchange.ContainerSourced)
		if !ok {
			continue
		}
		credential, err := s.credential(ctx, g, "")
		if err != nil {
			return nil, err
		}
		s.audit(ctx, g.delivered(credential.Expires()))
		return form.ContainerCredentials(credential)
	}
	if refused != nil {
		return nil, refused
	}
	return nil, &requestError{http.StatusForbidden, "access_denied", "no connector of the step has credentials to serve"}
}

// statusOf tells a client whether to ask again.
func statusOf(err error) (status int, code string) {
	var request *requestError
	if errors.As(err, &request) {
		return request.status, request.code
	}
	var temporary interface{ Temporary() bool }
	switch {
	case errors.Is(err, oidctoken.ErrDenied), errors.Is(err, ErrNoConnector):
		return http.StatusForbidden, "access_denied"
	case errors.Is(err, oidctoken.ErrSignerUnavailable), errors.Is(err, errExpired),
		errors.As(err, &temporary) && temporary.Temporary():
		return http.StatusServiceUnavailable, "temporarily_unavailable"
	}
	return http.StatusBadGateway, "server_error"
}

// bounded is a listener with at most maxConns connections.
type bounded struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	close  func() error
}

func newBounded(l net.Listener) *bounded {
	b := &bounded{Listener: l, slots: make(chan struct{}, maxConns), closed: make(chan struct{})}
	b.close = sync.OnceValue(func() error {
		close(b.closed)
		return l.Close()
	})
	return b
}

func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.slots <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	conn, err := b.Listener.Accept()
	if err != nil {
		<-b.slots
		return nil, err
	}
	return &boundedConn{Conn: conn, release: sync.OnceFunc(func() { <-b.slots })}, nil
}

func (b *bounded) Close() error { return b.close() }

type boundedConn struct {
	net.Conn
	release func()
}

func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
