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

// failure is what a failed call means. The client's own error is left out: its
// text has all of the body.
func failure(op string, err error, secrets []string) error {
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
		e.Err = s.cause(answered.Code, secrets)
	case errors.As(err, &unsent): // and says no more than what is in it
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

// kindOf classifies an answer by its HTTP status, and for a precondition by
// which it is.
func kindOf(code int, s status) signer.Kind {
	switch {
	case code >= 500, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, s.status == "ABORTED":
		return signer.Unavailable
	case code == http.StatusNotFound:
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

// unanswered says why a request got no answer.
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
	// Whatever else it is may have been written by what authorizes the requests.
	return signer.Unavailable, fmt.Errorf("the request was not answered: %T", err)
}

// uncredited says why the client has no credentials to send with, without what
// the token endpoint said: that may repeat an assertion.
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

// status is what an error's body says: a google.rpc.Status in JSON.
type status struct {
	status     string   // such as "FAILED_PRECONDITION"
	message    string   // for people
	reasons    []string // of ErrorInfo, and the violations of PreconditionFailure
	retryDelay time.Duration
}

const maxReasons = 8

// parseStatus leaves out what is not as it should be.
func parseStatus(body []byte) status {
	var reply struct {
		Error struct {
			Status  string            `json:"status"`
			Message string            `json:"message"`
			Details []json.RawMessage `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &reply) != nil {
		return status{}
	}
	s := status{message: reply.Error.Message}
	if isReason(reply.Error.Status) {
		s.status = reply.Error.Status
	}
	for _, detail := range reply.Error.Details {
		s.add(detail)
	}
	return s
}

// add takes what is of use in one of the details, of whatever type.
func (s *status) add(detail json.RawMessage) {
	var d struct {
		Reason     string `json:"reason"`
		RetryDelay string `json:"retryDelay"`
		Violations []struct {
			Type string `json:"type"`
		} `json:"violations"`
	}
	if json.Unmarshal(detail, &d) != nil {
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
		if isReason(r) && len(s.reasons) < maxReasons {
			s.reasons = append(s.reasons, r)
		}
	}
}

// isReason takes the service's constants.
func isReason(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '_' && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

// cause is what the service said, unless it repeats what it was sent.
func (s status) cause(code int, secrets []string) error {
	text := fmt.Sprintf("HTTP status %d", code)
	if len(s.reasons) > 0 {
		text += " (" + strings.Join(s.reasons, ", ") + ")"
	}
	switch {
	case s.message == "":
	case repeats(s.message, secrets):
		text += ": the message repeats what was sent and is not shown"
	default:
		text += ": " + s.message
	}
	return errors.New(text)
}

// repeats reports whether text has twelve bytes in a row of a secret, or all of
// a shorter one.
func repeats(text string, secrets []string) bool {
	const window = 12
	for _, secret := range secrets {
		for i := 0; i == 0 || i+window <= len(secret); i++ {
			part := secret[i:min(i+window, len(secret))]
			if part != "" && strings.Contains(text, part) {
				return true
			}
		}
	}
	return false
}

// longestRetry is more than any caller waits, and does not overflow.
const longestRetry = 24 * time.Hour
