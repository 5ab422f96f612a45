package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// ConfigError says which of the host's values cannot work with AWS, and why. No
// request was made with it.
type ConfigError struct {
	// Field is that of a [Config], such as "RoleARN" or "PolicyARNs[1]", one of
	// an exchange.Request, such as "Request.SessionName", or the name of a
	// parameter.
	Field  string
	Reason string // continues the field's name, such as "is required"
}

// Error never repeats the value at fault: it may be anything.
func (e *ConfigError) Error() string { return "aws: " + e.Field + " " + e.Reason }

const (
	provider = "aws"
	op       = "sts:AssumeRoleWithWebIdentity"
)

// STS's codes, as its API names them.
const (
	codeInvalidToken   = "InvalidIdentityToken"
	codeIDPUnreachable = "IDPCommunicationError"
	codeIDPRejected    = "IDPRejectedClaim"
	codeExpired        = "ExpiredTokenException"
	codeDenied         = "AccessDenied"
	codePackedTooLarge = "PackedPolicyTooLarge"
	codeMalformed      = "MalformedPolicyDocument"
	codeRegionDisabled = "RegionDisabledException"
	codeValidation     = "ValidationError"
)

// throttled are the codes of the query APIs for "slow down", which come with
// status 400 as well as 429.
var throttled = []string{"Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
	"RequestLimitExceeded", "TooManyRequestsException", "SlowDown", "PriorRequestNotComplete"}

// malformed is the refusal to use an answer. A retry would not help: whatever
// stands at that address is not STS.
func malformed(err error) *exchange.Error {
	return &exchange.Error{
		Provider: provider, Op: op, Status: http.StatusOK, Err: err,
		Hint: "check that the configured endpoint is that of AWS STS, and what proxies stand between",
	}
}

// post makes one request and returns the body of an answer of status 200.
func (e *Exchanger) post(ctx context.Context, form url.Values, jwt string) ([]byte, error) {
	answer, err := e.client.Post(ctx, tokenhttp.Request{
		URL:         e.config.url(),
		ContentType: "application/x-www-form-urlencoded",
		Body:        []byte(form.Encode()),
		Accept:      "text/xml",
	})
	if err != nil {
		return nil, unanswered(err)
	}
	if answer.Status != http.StatusOK {
		return nil, e.refusal(answer, jwt)
	}
	return answer.Body, nil
}

// unanswered is the error for a request that brought nothing to work with.
func unanswered(err error) error {
	var te *tokenhttp.Error
	if !errors.As(err, &te) {
		return &exchange.Error{Provider: provider, Op: op, Err: err}
	}
	if te.Kind == tokenhttp.Ended {
		return fmt.Errorf("aws: %s: %w", op, err)
	}
	return &exchange.Error{
		Provider: provider, Op: op, Status: te.Status, Err: te,
		RetryAfter: te.RetryAfter, Retryable: te.Temporary(),
	}
}

// refusal is the error for an answer of another status than 200.
func (e *Exchanger) refusal(answer *tokenhttp.Response, jwt string) *exchange.Error {
	code, message := parseRefusal(answer.Body)
	if tokenhttp.Redact(code, jwt) != code {
		code = ""
	}
	return &exchange.Error{
		Provider:    provider,
		Op:          op,
		Status:      answer.Status,
		Code:        code,
		Description: tokenhttp.Redact(message, jwt),
		Hint:        e.hint(code, message),
		RetryAfter:  answer.RetryAfter,
		Retryable:   retryable(answer.Status, code, message),
	}
}

func retryable(status int, code, message string) bool {
	switch {
	case code == codeIDPUnreachable, slices.Contains(throttled, code):
		return true
	case code == codeInvalidToken:
		// AWS may not know a new key yet. That it knows no such provider, or
		// another audience, is for somebody to change.
		return !says(message, "audience") && !says(message, "provider found") && !says(message, "thumbprint")
	}
	return tokenhttp.RetryableStatus(status)
}

func says(message, words string) bool { return strings.Contains(strings.ToLower(message), words) }

// hint says what to change, and where. STS's codes are few, so its words are
// searched, too; unknown words give the code's hint.
func (e *Exchanger) hint(code, message string) string {
	switch code {
	case codeInvalidToken:
		return e.hintInvalidToken(message)
	case codeIDPUnreachable:
		return reachable
	case codeIDPRejected:
		return "AWS does not take the claims of the JWT: compare a preview of the token with the IAM OIDC identity provider in account " + e.role.account
	case codeExpired:
		return "the JWT had ended, or is older than 24 hours, when AWS saw it: raise its lifetime (oidctoken.Profile.Lifetime) and check this machine's clock"
	case codeDenied:
		return e.hintDenied()
	case codePackedTooLarge:
		return "the session policies and tags are too long together: shorten Config.SessionPolicy, or name fewer PolicyARNs or SessionTags"
	case codeMalformed:
		return "Config.SessionPolicy is not a valid IAM policy"
	case codeRegionDisabled:
		return "activate STS in " + e.config.Region + " for account " + e.role.account + " (IAM, account settings), or choose another Config.Region"
	case codeValidation:
		if says(message, "maxsessionduration") {
			return "Config.Lifetime is longer than the maximum session duration of " + e.config.RoleARN + ": lower it, or raise the role's"
		}
	}
	return ""
}

const reachable = "AWS must reach the issuer's discovery document and JWK Set from the Internet, over https, and get an answer in less than 5 seconds"

func (e *Exchanger) hintInvalidToken(message string) string {
	switch {
	case says(message, "audience"):
		return "add " + e.config.Audience + " to the client ids of the IAM OIDC identity provider in account " + e.role.account + ", or change Config.Audience"
	case says(message, "provider found"):
		return "create an IAM OIDC identity provider in account " + e.role.account + " whose URL equals the JWT's iss byte for byte, with its path and without a slash more or less"
	case says(message, "thumbprint"):
		return "remove the thumbprints of the IAM OIDC identity provider, or add that of the issuer's certificate authority"
	case says(message, "verification key"):
		return reachable
	}
	return "AWS cannot verify the JWT: its key must be in the issuer's JWK Set, which AWS reads from time to time, and " + reachable
}

func (e *Exchanger) hintDenied() string {
	actions := "sts:AssumeRoleWithWebIdentity"
	if len(e.config.SessionTags) > 0 {
		actions += ", sts:TagSession"
	}
	if e.config.SourceIdentity != "" {
		actions += ", sts:SetSourceIdentity"
	}
	hint := "the trust policy of " + e.config.RoleARN + " must allow " + actions +
		" to the issuer's OIDC provider, and its conditions must admit this aud (" + e.config.Audience +
		") and the JWT's sub, as a preview of the token shows it: no other claim is a condition key"
	if !e.config.InsecureAnyRole {
		hint += "; the JWT's roles claim admits this role alone, so the role must exist under exactly this ARN"
	}
	return hint
}
