package gcpkms

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
	"github.com/oidctoken/oidctoken/signer"
)

// failure converts the error of a call. It drops the client's own error,
// because its text holds the whole body.
func failure(op string, err error) error {
	e := &signer.Error{Service: serviceName, Op: op}
	var answered *googleapi.Error
	var unsent *url.Error
	var cutOff *cutOffError
	switch {
	case errors.As(err, &answered):
		s := parseStatus([]byte(answered.Body))
		e.Kind, e.Code = kindOf(answered.Code, s), s.status
		if e.Code == "" {
			e.Code = strconv.Itoa(answered.Code)
		}
		e.RetryAfter = max(s.retryDelay, tokenhttp.ParseRetryAfter(answered.Header.Get("Retry-After"), time.Now()))
		e.Err = s.cause(answered.Code)
	case errors.As(err, &unsent): // the text holds no more than the code
		e.Kind, e.Err = unanswered(unsent.Err)
	case errors.As(err, &cutOff):
		e.Kind, e.Err = signer.Unavailable, cutOff
	case errors.Is(err, errTooLong):
		e.Kind, e.Err = signer.Malformed, errTooLong
	default: // from the JSON decoder, whose errors may show values
		e.Kind, e.Err = signer.Malformed, errors.New("it is not the JSON that the call answers with")
	}
	return e
}

// kindOf classifies an answer by its HTTP status, and FAILED_PRECONDITION by
// its reason. Gone needs the service's own reason, because every server returns
// 404 for an unknown path.
func kindOf(code int, s status) signer.Kind {
	switch {
	case code >= 500, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, s.status == "ABORTED":
		return signer.Unavailable
	case s.status == "NOT_FOUND":
		return signer.Gone
	case s.status == "FAILED_PRECONDITION" && slices.Contains(s.reasons, "KEY_PENDING_GENERATION"):
		return signer.Unavailable
	case s.status == "FAILED_PRECONDITION" && slices.ContainsFunc(s.reasons, func(r string) bool { return strings.HasPrefix(r, "KEY_") }):
		return signer.Gone
	case code >= 400:
		return signer.Refused
	}
	return signer.Malformed
}

// unanswered returns why a request got no answer.
func unanswered(err error) (signer.Kind, error) {
	var token *auth.Error
	var retrieve *oauth2.RetrieveError
	var certificate *tls.CertificateVerificationError
	var network net.Error
	switch {
	case errors.As(err, &token):
		return uncredited(token.Response)
	case errors.As(err, &retrieve):
		return uncredited(retrieve.Response)
	case errors.As(err, &certificate):
		return signer.Refused, certificate
	case errors.As(err, &network):
		return signer.Unavailable, network
	}
	// Other errors may have been written by the code that authorizes the requests,
	// so their text is not shown.
	return signer.Unavailable, fmt.Errorf("the request was not answered: %T", err)
}

// uncredited returns why the client has no credentials. It leaves out the token
// endpoint's text, which may repeat an assertion.
func uncredited(answer *http.Response) (signer.Kind, error) {
	if answer == nil {
		return signer.Unavailable, errors.New("the client got no access token")
	}
	kind := signer.Unavailable
	if c := answer.StatusCode; c >= 400 && c < 500 && c != http.StatusTooManyRequests && c != http.StatusRequestTimeout {
		kind = signer.Refused
	}
	return kind, fmt.Errorf("the client got no access token: its token endpoint answered with status %d", answer.StatusCode)
}

// status is the content of an error's body: a google.rpc.Status in JSON. Its
// message is left out, because it may repeat the request with the access token.
type status struct {
	status     string   // such as "FAILED_PRECONDITION"
	reasons    []string // of ErrorInfo, and the violations of PreconditionFailure
	retryDelay time.Duration
}

const maxReasons = 8

// parseStatus leaves out malformed parts.
func parseStatus(body []byte) status {
	var reply struct {
		Error struct {
			Status  string            `json:"status"`
			Details []json.RawMessage `json:"details"`
		} `json:"error"`
	}
	if tokenhttp.DecodeJSON(body, &reply) != nil {
		return status{}
	}
	s := status{status: constant(reply.Error.Status)}
	for _, detail := range reply.Error.Details {
		s.add(detail)
	}
	return s
}

// add reads the useful parts of one of the details.
func (s *status) add(detail json.RawMessage) {
	var d struct {
		Reason     string `json:"reason"`
		RetryDelay string `json:"retryDelay"`
		Violations []struct {
			Type string `json:"type"`
		} `json:"violations"`
	}
	if tokenhttp.DecodeJSON(detail, &d) != nil {
		return
	}
	if wait, err := time.ParseDuration(d.RetryDelay); err == nil {
		s.retryDelay = min(max(s.retryDelay, wait), longestRetry)
	}
	reasons := []string{d.Reason}
	for _, v := range d.Violations {
		reasons = append(reasons, v.Type)
	}
	for _, r := range reasons {
		if r = constant(r); r != "" && len(s.reasons) < maxReasons {
			s.reasons = append(s.reasons, r)
		}
	}
}

// constant returns s if it has the form of the service's constants, and ""
// otherwise: no error may show another text.
func constant(s string) string {
	for i := range len(s) {
		if c := s[i]; c != '_' && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return ""
		}
	}
	if len(s) > 63 {
		return ""
	}
	return s
}

// cause returns the code that identifies the failure beside the status.
func (s status) cause(code int) error {
	text := fmt.Sprintf("HTTP status %d", code)
	if len(s.reasons) > 0 {
		text += " (" + strings.Join(s.reasons, ", ") + ")"
	}
	return errors.New(text)
}

// longestRetry also limits a Retry-After.
const longestRetry = 30 * time.Second
