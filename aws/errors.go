package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// configError reports a setting or an argument that cannot work.
func configError(field, reason string) *oidctoken.ConfigError {
	return &oidctoken.ConfigError{Package: "aws", Field: field, Reason: reason}
}

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

// malformed refuses an answer. It is not retried: the server at that address is
// not STS.
func malformed(err error) *exchange.Error {
	return &exchange.Error{
		Provider: provider, Op: op, Status: http.StatusOK, Err: err,
		Hint: "check that the configured endpoint is AWS STS, and the proxies between",
	}
}

// post makes one request, with the JWT j in it, and returns the body of an
// answer of status 200.
func (e *Exchanger) post(ctx context.Context, call *tokenhttp.Call, form url.Values, j *jwt) ([]byte, error) {
	answer, err := call.Post(ctx, tokenhttp.Request{
		URL:         e.config.url(),
		ContentType: "application/x-www-form-urlencoded",
		Body:        []byte(form.Encode()),
		Accept:      "text/xml",
	})
	if err != nil {
		return nil, unanswered(err)
	}
	if answer.Status != http.StatusOK {
		return nil, e.refusal(call, answer, j)
	}
	return answer.Body, nil
}

// unanswered returns the error for a request that brought nothing to work with.
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

// refusal returns the error for an answer of another status than 200.
func (e *Exchanger) refusal(call *tokenhttp.Call, answer *tokenhttp.Response, j *jwt) *exchange.Error {
	code, message := parseRefusal(answer.Body)
	code = call.Code(code)
	return &exchange.Error{
		Provider:    provider,
		Op:          op,
		Status:      answer.Status,
		Code:        code,
		Description: call.Redact(message),
		Hint:        e.hint(code, message, j),
		RetryAfter:  answer.RetryAfter,
		Retryable:   worth(answer.Status, code, message) > 0,
	}
}

// again returns a func for tokenhttp.Retry, for one call: it counts.
func again() func(err error) tokenhttp.Again {
	expired := 0
	return func(err error) tokenhttp.Again {
		var e *exchange.Error
		switch {
		case !errors.As(err, &e) || e.Provider != provider:
			return tokenhttp.Again{} // of the host's SubjectToken, or of ctx
		case e.Code == codeExpired:
			if expired++; expired > 1 {
				return tokenhttp.Again{}
			}
			return tokenhttp.Again{For: tokenhttp.Always}
		case !e.Retryable:
			return tokenhttp.Again{}
		case e.Code == "" || e.Err != nil:
			return tokenhttp.Again{For: tokenhttp.Always, After: e.RetryAfter}
		}
		return tokenhttp.Again{For: worth(e.Status, e.Code, e.Description), After: e.RetryAfter}
	}
}

// worth returns for how long a refusal is retried.
func worth(status int, code, message string) time.Duration {
	switch {
	case code == codeIDPUnreachable, slices.Contains(throttled, code), code == codeInvalidToken && says(message, noKey):
		return tokenhttp.Always
	case code == codeInvalidToken:
		// AWS may not know a new key yet. A retry does not mend a missing provider,
		// another audience or a wrong clock.
		for _, words := range append([]string{"audience", "provider found", "thumbprint"}, early...) {
			if says(message, words) {
				return 0
			}
		}
		return tokenhttp.Brief
	case tokenhttp.RetryableStatus(status):
		return tokenhttp.Always
	}
	return 0
}

// noKey is a part of AWS's text when it could not get the issuer's keys.
const noKey = "verification key"

// early are words for a JWT that is not valid yet.
var early = []string{"not valid yet", "not yet valid", "before issued", "in the future"}

func says(message, words string) bool { return strings.Contains(strings.ToLower(message), words) }

// hint returns which setting to change, and where. STS has few codes, so hint
// also searches its messages. An unknown message gets the hint of its code.
func (e *Exchanger) hint(code, message string, j *jwt) string {
	switch code {
	case codeInvalidToken:
		return e.hintInvalidToken(message, j)
	case codeIDPUnreachable:
		return reachable
	case codeIDPRejected:
		return "AWS does not take the claims of the JWT, of sub " + shown(j.claims.Sub) + ": compare a preview of the token with the IAM OIDC identity provider in account " + e.role.account
	case codeExpired:
		return "the JWT had ended, or is older than 24 hours, when AWS saw it: raise its lifetime (oidctoken.Profile.Lifetime) and check this machine's clock, which may be behind"
	case codeDenied:
		return e.hintDenied(j)
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

const clockAhead = "the JWT is not valid yet for AWS: the clock of this machine, or of the issuer's machine, runs ahead; set it by NTP"

// shown makes a claim fit for a hint. Claims are public.
func shown(claim string) string { return tokenhttp.Printable(claim, 255) }

func (e *Exchanger) hintInvalidToken(message string, j *jwt) string {
	switch {
	case says(message, "audience"):
		return "add " + e.config.Audience + " to the client ids of the IAM OIDC identity provider in account " + e.role.account + ", or change Config.Audience"
	case says(message, "provider found"):
		return "create an IAM OIDC identity provider in account " + e.role.account + " whose URL equals the JWT's iss byte for byte, with its path and without a slash more or less: " + shown(j.claims.Iss)
	case says(message, "thumbprint"):
		return "remove the thumbprints of the IAM OIDC identity provider, or add the thumbprint of the issuer's certificate authority"
	case says(message, noKey):
		return reachable
	}
	for _, words := range early {
		if says(message, words) {
			return clockAhead
		}
	}
	return "AWS cannot verify the JWT: its key must be in the issuer's JWK Set, which AWS reads from time to time, this machine's clock must not run ahead, and " + reachable
}

func (e *Exchanger) hintDenied(j *jwt) string {
	actions := "sts:AssumeRoleWithWebIdentity"
	if len(e.config.SessionTags) > 0 {
		actions += ", sts:TagSession"
	}
	if e.config.SourceIdentity != "" {
		actions += ", sts:SetSourceIdentity"
	}
	// The sub comes first: the error's text is cut at its end.
	hint := "the JWT's sub is " + shown(j.claims.Sub) + ": the trust policy of " + e.config.RoleARN + " must allow " + actions +
		" to the issuer's OIDC provider, and its conditions must admit this sub and this aud (" + shown(j.claims.Aud) +
		"), as a preview of the token shows them: no other claim is a condition key"
	if !e.config.InsecureAnyRole {
		hint += "; the JWT's roles claim admits this role alone, so the role must exist under exactly this ARN"
	}
	return hint
}
