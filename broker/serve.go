package broker

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

// requestError is a request that the endpoint refuses.
type requestError struct {
	status int
	code   string
	reason string
}

func (e *requestError) Error() string { return "broker: the step's endpoint: " + e.reason }

// ServeHTTP responds to a request.
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
		w.Write(body) // on an error, the client has left
		return
	}
	err = e.step.ended(err)
	refusal := e.refuse(r.Context(), err)
	switch refusal.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.Header().Set("Connection", "close") // only clients with the secret may keep a connection
	case http.StatusMisdirectedRequest:
		w.Header().Set("Connection", "close")
	}
	if failure, ok := errors.AsType[*exchange.Error](err); ok && failure.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((failure.RetryAfter+time.Second-1)/time.Second)))
	}
	w.WriteHeader(refusal.status)
	// AWS's SDKs and GitHub's client show these members.
	message, _ := json.Marshal(map[string]string{"code": refusal.code, "message": e.step.masks.Text(refusal.Error())}) // strings can always be encoded
	w.Write(message)
}

// refuse converts err to the response for the step. Details about the host are logged and not
// returned: addresses, names, reasons of the policy.
func (e *endpoint) refuse(ctx context.Context, err error) *requestError {
	request, isRequest := errors.AsType[*requestError](err)
	denied, isDenied := errors.AsType[*DeniedError](err)
	failure, isFailure := errors.AsType[*exchange.Error](err)
	missing := errors.Is(err, ErrNoConnector)
	var refusal *requestError
	switch {
	case isRequest:
		refusal = request
	case errors.Is(err, ErrClosed):
		return &requestError{http.StatusServiceUnavailable, "temporarily_unavailable", "the step is closed"}
	case isDenied:
		refusal = &requestError{http.StatusForbidden, "access_denied", denied.Error()}
	case missing:
		refusal = &requestError{http.StatusForbidden, "access_denied", ErrNoConnector.Error()}
	case errors.Is(err, oidctoken.ErrDenied): // the issuer has reported it
		return &requestError{http.StatusForbidden, "access_denied", oidctoken.ErrDenied.Error()}
	case isFailure && failure.Temporary():
		return &requestError{http.StatusServiceUnavailable, "temporarily_unavailable", failure.Error()}
	case isFailure:
		return &requestError{http.StatusBadGateway, "server_error", failure.Error()}
	case errors.Is(err, oidctoken.ErrSignerUnavailable), errors.Is(err, oidctoken.ErrNoKey), errors.Is(err, errExpired), errors.Is(err, context.DeadlineExceeded):
		refusal = &requestError{http.StatusServiceUnavailable, "temporarily_unavailable", "no token or credential is available at present"}
	default:
		refusal = &requestError{http.StatusInternalServerError, "server_error", "the host failed; its log has the reason"}
	}
	missed, tell := e.refusals.record(e.step.now())
	switch {
	case !tell:
	case isRequest || isDenied || missing:
		e.step.audit(ctx, Event{Kind: Refused, Missed: missed, Err: err})
	default:
		e.step.warn(ctx, "a step's endpoint failed to answer a request", err)
	}
	return refusal
}

// refusals limits how often refused requests are reported, because every process on the machine
// can send requests.
type refusals struct {
	mu     sync.Mutex
	burst  int // refusals that were reported one by one
	next   time.Time
	missed int
}

const refusalBurst = 100

// record counts a refusal. It returns whether to report it, and how many refusals were not
// reported before. The first hundred are reported, and then one each second.
func (r *refusals) record(now time.Time) (missed int, tell bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.burst < refusalBurst:
		r.burst++
	case now.Before(r.next):
		r.missed++
		return 0, false
	}
	r.next = now.Add(time.Second)
	missed, r.missed = r.missed, 0
	return missed, true
}

// answer returns the body of the response to a request.
func (e *endpoint) answer(r *http.Request) ([]byte, error) {
	switch {
	case r.Host != e.host:
		// A page in a browser can send requests under its own host name.
		return nil, &requestError{http.StatusMisdirectedRequest, "misdirected_request", "the Host header does not name the endpoint"}
	case !e.authorized(r.Header["Authorization"]):
		return nil, &requestError{http.StatusUnauthorized, "invalid_token", "the Authorization header is not the one of this step"}
	}
	if conn, ok := r.Context().Value(connKey{}).(*pooledConn); ok {
		conn.authorized()
	}
	switch {
	case r.URL.Path != tokenPath && r.URL.Path != credentialsPath:
		return nil, &requestError{http.StatusNotFound, "invalid_request", "the endpoint does not serve that path"}
	case r.Method == http.MethodGet, r.Method == http.MethodPost && r.URL.Path == tokenPath:
	default:
		return nil, &requestError{http.StatusMethodNotAllowed, "invalid_request", "the path does not allow that method"}
	}
	audience, err := requestedAudience(r)
	switch {
	case err != nil:
		return nil, err
	case r.URL.Path == tokenPath:
		return e.step.answerToken(r.Context(), audience)
	case audience != "":
		return nil, badRequest("a request for credentials must not name an audience")
	}
	return e.step.answerCredentials(r.Context())
}

// authorized reports whether a request has one Authorization, with the step's secret as a
// bearer token (RFC 6750, section 2.1). The name of the scheme ignores case (RFC 9110, section
// 11.1), and the secret does not.
func (e *endpoint) authorized(values []string) bool {
	if len(values) != 1 {
		return false
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	same := subtle.ConstantTimeCompare([]byte(strings.TrimLeft(secret, " ")), []byte(e.secret()))
	return strings.EqualFold(scheme, "Bearer") && same == 1
}

// answerToken returns a JWT for an audience, of the step's only connector that allows it.
// Without an audience, it returns one of the step's only connector.
func (s *Step) answerToken(ctx context.Context, audience string) ([]byte, error) {
	rc, err := s.choose(ctx, audience)
	if err != nil {
		return nil, err
	}
	token, err := s.token(ctx, rc)
	if err != nil {
		return nil, err
	}
	s.audit(ctx, rc.deliveredEvent(token.Expires(), token))
	return json.Marshal(struct {
		Count     int       `json:"count"`
		Value     string    `json:"value"`
		ExpiresAt time.Time `json:"expiresAt"`
	}{len(token.JWT()), token.JWT(), token.Expires().UTC()})
}

// choose returns the connector for an audience. The choice does not depend on which connectors
// the step may use at the moment. So a client that got a token of one connector never gets a
// token of another.
func (s *Step) choose(ctx context.Context, audience string) (*resolvedConnector, error) {
	served, gone := s.resolveServed(ctx)
	var found []*resolvedConnector
	var candidates []string
	for _, rc := range served {
		allowed := rc.connector.allowed()
		candidates = append(candidates, fmt.Sprintf("%s %q", rc.ref, allowed))
		if audience == "" || slices.Contains(allowed, audience) {
			found = append(found, rc)
		}
	}
	switch {
	case audience == "" && len(served)+len(gone) != 1:
		return nil, &requestError{http.StatusBadRequest, "invalid_target", "the request must name an audience: the step has " + strings.Join(candidates, ", ")}
	case len(found) == 1:
		return s.authorizeServed(ctx, found[0].ref, audience)
	case len(gone) != 0:
		return nil, errors.Join(gone...)
	case len(found) == 0:
		return nil, &requestError{http.StatusForbidden, "invalid_target", "no connector of the step allows that audience: the step has " + strings.Join(candidates, ", ")}
	}
	names := make([]string, len(found))
	for i, rc := range found {
		names[i] = rc.ref.String()
	}
	return nil, &requestError{http.StatusBadRequest, "invalid_target", "several connectors of the step allow that audience: " + strings.Join(names, ", ")}
}

// resolveServed resolves the connectors that the endpoint serves, each for its default
// audience. It returns the errors of the connectors that cannot be resolved.
func (s *Step) resolveServed(ctx context.Context) (connectors []*resolvedConnector, gone []error) {
	s.mu.Lock()
	refs := slices.Clone(s.served)
	s.mu.Unlock()
	for _, ref := range refs {
		rc, err := s.resolve(ctx, ref.String(), "")
		if err != nil {
			gone = append(gone, err)
			continue
		}
		connectors = append(connectors, rc)
	}
	return connectors, gone
}

// authorizeServed authorizes the step for a connector that the endpoint serves. It audits no
// refusal: the endpoint reports it, with a limit on the rate.
func (s *Step) authorizeServed(ctx context.Context, ref Ref, audience string) (*resolvedConnector, error) {
	return s.authorizeUnaudited(ctx, ref.String(), audience)
}

// answerCredentials returns the credential of the step's connector whose cloud has a format for
// it. The step has at most one connector of each cloud.
func (s *Step) answerCredentials(ctx context.Context) ([]byte, error) {
	served, gone := s.resolveServed(ctx)
	for _, rc := range served {
		form, ok := rc.connector.Exchanger.(exchange.ContainerSourced)
		if !ok {
			continue
		}
		rc, err := s.authorizeServed(ctx, rc.ref, "")
		if err != nil {
			return nil, err
		}
		credential, err := s.credential(ctx, rc, "")
		if err != nil {
			return nil, err
		}
		s.audit(ctx, rc.deliveredEvent(credential.Expires(), nil))
		return form.ContainerCredentials(credential)
	}
	if len(gone) != 0 {
		return nil, errors.Join(gone...)
	}
	return nil, &requestError{http.StatusForbidden, "access_denied", "no connector of the step has credentials for the endpoint"}
}
