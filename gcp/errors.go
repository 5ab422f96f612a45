package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// ConfigError says which of the host's values cannot work with Google Cloud,
// and why. No request was made with it.
type ConfigError struct {
	// Field is that of a [Config], such as "Provider" or "Delegates[1]", or
	// begins with the name of another type, such as "FileSource.Path" or
	// "Request.Scopes". It is "SubjectToken" for the JWT that such a func
	// returned, and a place in the document for [JWKSet], such as "keys[2].kid".
	Field  string
	Reason string // continues the field's name, such as "is required"
}

// Error never repeats the value at fault: it may be anything.
func (e *ConfigError) Error() string { return "gcp: " + e.Field + " " + e.Reason }

// What is wrong with an answer of status 200.
var (
	errTokenType       = errors.New("token_type is not Bearer")
	errIssuedTokenType = errors.New("issued_token_type is not that of an access token")
	errExpireTime      = errors.New("expireTime is not a time of RFC 3339")
	errIDToken         = errors.New("token is not an ID token for the audience")
	errExpired         = errors.New("the token is over already")
	errTooLong         = errors.New("the token claims to live longer than was asked for")
)

// malformed is the refusal to use an answer. A retry would not help: whatever
// stands at that address is not Google's API.
func malformed(op string, err error) *exchange.Error {
	return &exchange.Error{
		Provider: "gcp", Op: op, Status: http.StatusOK, Err: err,
		Hint: "check that the configured address is that of Google's API, and what proxies stand between",
	}
}

// retryable is for tokenhttp.Retry.
func retryable(err error) (time.Duration, bool) {
	var e *exchange.Error
	if !errors.As(err, &e) || e.Provider != "gcp" {
		return 0, false // of the host's SubjectToken, or of ctx
	}
	return e.RetryAfter, e.Retryable
}

// post makes one request and returns the body of an answer of status 200.
func (t *trade) post(ctx context.Context, op string, r tokenhttp.Request) ([]byte, error) {
	answer, err := t.client.Post(ctx, r)
	if err != nil {
		return nil, t.unanswered(op, err)
	}
	if answer.Status != http.StatusOK {
		return nil, t.refusal(op, answer)
	}
	return answer.Body, nil
}

// unanswered is the error for a request that brought nothing to work with.
// tokenhttp hides what that one request showed, and not the JWTs of those
// before it.
func (t *trade) unanswered(op string, err error) error {
	e := &tokenhttp.Error{Reason: "there was no answer"}
	errors.As(err, &e) // always so, by the contract of Post
	safe := *e
	safe.Reason = tokenhttp.Redact(e.Reason, t.shown...)
	if e.Kind == tokenhttp.Ended {
		return fmt.Errorf("gcp: %s: %w", op, &safe)
	}
	return &exchange.Error{
		Provider: "gcp", Op: op, Status: e.Status, Err: &safe,
		RetryAfter: e.RetryAfter, Retryable: e.Temporary(),
	}
}

// refusal is the error for an answer of another status than 200.
func (t *trade) refusal(op string, answer *tokenhttp.Response) *exchange.Error {
	code, description := parseRefusal(answer.Body)
	if tokenhttp.Redact(code, t.shown...) != code {
		code = ""
	}
	return &exchange.Error{
		Provider:    "gcp",
		Op:          op,
		Status:      answer.Status,
		Code:        code,
		Description: tokenhttp.Redact(description, t.shown...),
		Hint:        t.hint(op, answer.Status, code, description),
		RetryAfter:  answer.RetryAfter,
		Retryable:   tokenhttp.RetryableStatus(answer.Status),
	}
}

// parseRefusal reads an error of OAuth (RFC 6749, section 5.2), which the STS
// sends, or one of Google's APIs, which have "error" as an object. Both are
// empty if body is neither.
func parseRefusal(body []byte) (code, description string) {
	var a struct {
		Error       json.RawMessage `json:"error"`
		Description string          `json:"error_description"`
	}
	if tokenhttp.DecodeJSON(body, &a) != nil {
		return "", ""
	}
	var status struct {
		Message string `json:"message"`
		Status  string `json:"status"`
	}
	switch {
	case json.Unmarshal(a.Error, &code) == nil:
		description = a.Description
	case json.Unmarshal(a.Error, &status) == nil:
		code, description = status.Status, status.Message
	}
	if len(code) > 64 || !consists(code, codeByte) {
		code = ""
	}
	return code, description
}

func codeByte(b byte) bool { return lower(b) || 'A' <= b && b <= 'Z' || b == '_' }

const propagation = " (a change takes up to 5 minutes)"

// hint says what to change, and where. Google's codes are few, so its words
// are searched, too; unknown words give the code's hint.
func (e *Exchanger) hint(op string, status int, code, description string) string {
	says := func(words string) bool { return strings.Contains(description, words) }
	if op != opToken {
		return e.hintIAM(op, status, says)
	}
	switch {
	case says("127 bytes"):
		return "shorten what the provider maps to google.subject, or Config.Subject: it may have 127 bytes"
	case says("must be of type STRING"):
		return "the provider's attribute mapping reads a claim that the JWT does not have or that is not a string"
	case says("credential's issuer"):
		return "Google must reach the issuer's discovery document and JWK Set from the Internet, over https; " +
			"or upload the JWK Set to the provider"
	case says("attribute condition"), code == "unauthorized_client":
		return "the provider's attribute condition or mapping does not admit these claims: compare it with a preview of the token" + propagation
	case code == "invalid_target":
		return "check that " + e.config.Provider + " exists and is not disabled or deleted, and that Provider has the project's number, not its id" + propagation
	case code == "invalid_request" && says(`"audience"`):
		return "Provider is not a workload identity pool provider's full name"
	case code == "invalid_grant":
		return "the provider does not take the JWT: its issuer must equal the JWT's iss byte for byte, its allowed audiences must hold " +
			e.config.Audience + ", and the key must be in the issuer's JWK Set" + propagation
	}
	return ""
}

func (e *Exchanger) hintIAM(op string, status int, says func(string) bool) string {
	switch {
	case says("has not been used"):
		return "enable the IAM Service Account Credentials API, iamcredentials.googleapis.com, in the service account's project" + propagation
	case status == http.StatusForbidden && len(e.config.Delegates) > 0:
		return "grant roles/iam.workloadIdentityUser on " + e.config.Delegates[0] + " to " + e.principals() +
			", and roles/iam.serviceAccountTokenCreator on each next account, up to " + e.config.ServiceAccount + ", to the one before it" + propagation
	case status == http.StatusForbidden:
		return "grant roles/iam.workloadIdentityUser on " + e.config.ServiceAccount + " to " + e.principals() + propagation
	case status == http.StatusNotFound:
		return "check that the service account " + e.config.ServiceAccount + " exists"
	case status == http.StatusBadRequest && op == opAccessToken && e.config.Lifetime > time.Hour:
		return "a Lifetime over 1 hour needs the service account in the organization policy " +
			"constraints/iam.allowServiceAccountCredentialLifetimeExtension"
	}
	return ""
}

// principals names the pipeline as an IAM policy does.
func (e *Exchanger) principals() string {
	pool := "//iam.googleapis.com/" + e.config.pool()
	return "principal:" + pool + "/subject/SUBJECT or principalSet:" + pool + "/attribute.NAME/VALUE"
}
