package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// configError reports a setting or an argument that cannot work.
func configError(field, reason string) *oidctoken.ConfigError {
	return &oidctoken.ConfigError{Package: "gcp", Field: field, Reason: reason}
}

// Defects of an answer of status 200.
var (
	errTokenType       = errors.New("token_type is not Bearer")
	errIssuedTokenType = errors.New("issued_token_type is not the type of an access token")
	errExpireTime      = errors.New("expireTime is not a time of RFC 3339")
	errIDToken         = errors.New("token is not an ID token for the audience")
	errExpired         = errors.New("the token is over already")
	errTooLong         = errors.New("the token claims to live longer than requested")
)

// malformed refuses an answer. It is not retried: the server at that address is
// not Google's API.
func malformed(op string, err error) *exchange.Error {
	return &exchange.Error{
		Provider: "gcp", Op: op, Status: http.StatusOK, Err: err,
		Hint: "check that the configured address is Google's API, and the proxies between",
	}
}

// again is for tokenhttp.Retry.
func again(err error) tokenhttp.Again {
	var e *exchange.Error
	if !errors.As(err, &e) || e.Provider != "gcp" || !e.Retryable {
		return tokenhttp.Again{} // also for errors of the host's SubjectToken, and of ctx
	}
	return tokenhttp.Again{For: tokenhttp.Always, After: e.RetryAfter}
}

// retryable reports whether the same call may succeed later. That Google could
// not read the issuer's keys comes with the status and the code of a bad JWT.
func retryable(op string, status int, code, description string) bool {
	return tokenhttp.RetryableStatus(status) || op == opToken && code == "invalid_grant" && strings.Contains(description, unreachable)
}

// unreachable are words of the STS. They stand for an issuer whose documents it
// could not get, and for a key that it does not find there.
const unreachable = "connecting to the given credential's issuer"

// post makes one request and returns the body of an answer of status 200.
func (t *exchangeCall) post(ctx context.Context, op string, r tokenhttp.Request) ([]byte, error) {
	answer, err := t.call.Post(ctx, r)
	if err != nil {
		return nil, unanswered(op, err)
	}
	if answer.Status != http.StatusOK {
		return nil, t.refusal(op, answer)
	}
	return answer.Body, nil
}

// unanswered returns the error for a request that brought nothing to work with.
func unanswered(op string, err error) error {
	e := &tokenhttp.Error{Reason: "there was no answer"}
	errors.As(err, &e) // always so, by the contract of Post
	if e.Kind == tokenhttp.Ended {
		return fmt.Errorf("gcp: %s: %w", op, e)
	}
	return &exchange.Error{
		Provider: "gcp", Op: op, Status: e.Status, Err: e,
		RetryAfter: e.RetryAfter, Retryable: e.Temporary(),
	}
}

// refusal returns the error for an answer of another status than 200.
func (t *exchangeCall) refusal(op string, answer *tokenhttp.Response) *exchange.Error {
	code, description := parseRefusal(answer.Body)
	code = t.call.Code(code)
	return &exchange.Error{
		Provider:    "gcp",
		Op:          op,
		Status:      answer.Status,
		Code:        code,
		Description: t.call.Redact(description),
		Hint:        t.hint(op, answer.Status, code, description),
		RetryAfter:  answer.RetryAfter,
		Retryable:   retryable(op, answer.Status, code, description),
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
	case tokenhttp.DecodeJSON(a.Error, &status) == nil:
		code, description = status.Status, status.Message
	}
	if len(code) > 64 || !consists(code, codeByte) {
		code = ""
	}
	return code, description
}

func codeByte(b byte) bool { return lower(b) || 'A' <= b && b <= 'Z' || b == '_' }

const propagation = " (a change takes up to 5 minutes)"

// hint returns which setting to change, and where. Google has few codes, so
// hint also searches its messages. An unknown message gets the hint of its
// code.
func (t *exchangeCall) hint(op string, status int, code, description string) string {
	says := func(words string) bool { return strings.Contains(description, words) }
	if op != opToken {
		return t.hintIAM(op, status, says)
	}
	switch {
	case says("127 bytes"):
		return "shorten the provider's mapping to google.subject, or Config.Subject: a subject may have 127 bytes"
	case says("must be of type STRING"):
		return "the provider's attribute mapping reads a claim that the JWT does not have or that is not a string"
	case says("credential's issuer"):
		return "Google must reach the issuer's discovery document and JWK Set from the Internet, over https; " +
			"or upload the JWK Set to the provider"
	case says("stale to sign-in"):
		return "the JWT's times are not valid now at Google: this machine's clock runs ahead or behind, or the JWT has expired"
	case says("attribute condition"), code == "unauthorized_client":
		return "the provider's attribute condition or mapping does not admit the JWT of sub " + shown(t.sent.claims.Sub) +
			": compare it with a preview of the token" + propagation
	case code == "invalid_target":
		return "check that " + t.config.Provider + " exists and is not disabled or deleted, and that Provider has the project's number, not its id" + propagation
	case code == "invalid_request" && says(`"audience"`):
		return "Provider is not a workload identity pool provider's full name"
	case code == "invalid_grant":
		return "the provider does not take the JWT: its issuer must equal the JWT's iss, " + shown(t.sent.claims.Iss) +
			", byte for byte, its allowed audiences must hold " + t.config.Audience + ", and the key must be in the issuer's JWK Set" + propagation
	}
	return ""
}

func (t *exchangeCall) hintIAM(op string, status int, says func(string) bool) string {
	switch {
	case says("has not been used"):
		return "enable the IAM Service Account Credentials API, iamcredentials.googleapis.com, in the service account's project" + propagation
	case status == http.StatusForbidden && len(t.config.Delegates) > 0:
		return "grant roles/iam.workloadIdentityUser on " + t.config.Delegates[0] + " to " + t.principals() +
			", and roles/iam.serviceAccountTokenCreator on each next account, up to " + t.config.ServiceAccount + ", to the one before it" + propagation
	case status == http.StatusForbidden:
		return "grant roles/iam.workloadIdentityUser on " + t.config.ServiceAccount + " to " + t.principals() + propagation
	case status == http.StatusNotFound:
		return "check that the service account " + t.config.ServiceAccount + " exists"
	case status == http.StatusBadRequest && op == opAccessToken && t.config.Lifetime > time.Hour:
		return "a Lifetime over 1 hour needs the service account in the organization policy " +
			"constraints/iam.allowServiceAccountCredentialLifetimeExtension"
	}
	return ""
}

// principals names the pipeline as an IAM policy does.
func (t *exchangeCall) principals() string {
	pool := "//iam.googleapis.com/" + t.config.pool()
	return "principal:" + pool + "/subject/SUBJECT (the JWT's sub is " + shown(t.sent.claims.Sub) + ") or principalSet:" + pool + "/attribute.NAME/VALUE"
}

// shown makes a claim fit for a hint. Claims are public.
func shown(claim string) string { return tokenhttp.Printable(claim, 255) }
