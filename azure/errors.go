package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// configError reports a setting or an argument that cannot work.
func configError(field, reason string) *oidctoken.ConfigError {
	return &oidctoken.ConfigError{Package: "azure", Field: field, Reason: reason}
}

var errTokenType = errors.New("token_type is not Bearer")

// Entra's own codes are AADSTS and a number. Microsoft splits them from time to
// time, so no decision depends on a code alone: a retry also needs an error and
// a status that fit, and an unknown code has no hint.
const (
	codeNoMatch     = 70021   // no federated credential; not said in what
	codeNoIssuer    = 700211  // none with this issuer
	codeNoAudience  = 700212  // none with this audience
	codeNoSubject   = 700213  // none with this subject
	codeSubjectCase = 7002138 // one whose subject differs by letter case
	codeExpired     = 700024  // the JWT is not valid now
	codeSignature   = 700027
	codeNoKey       = 7000272 // the issuer's JWK Set does not have the JWT's key
	codeAlgorithm   = 5002738
	codeBadJWT      = 50027
	codeNoClient    = 700016
	codeNoTenant    = 90002
	codeBadTenant   = 900023
	codeSecret      = 7000215
	codeScope       = 70011
	codeClientScope = 1002012
	codeNoResource  = 500011
	codeLoop        = 50196
)

var (
	unmatched   = []int{codeNoMatch, codeNoIssuer, codeNoAudience, codeNoSubject, codeSubjectCase}
	unreachable = []int{50166, 501661, 90061} // the issuer's documents cannot be fetched
)

// malformed refuses an answer. It is not retried: the server at that address is
// not Entra.
func malformed(err error) *exchange.Error {
	return &exchange.Error{
		Provider: provider, Op: op, Status: http.StatusOK, Err: err,
		Hint: "check that Config.AuthorityHost is the address of Entra, and the proxies between",
	}
}

// post makes one request, with the JWT j in it, and returns the body of an
// answer of status 200.
func (e *Exchanger) post(ctx context.Context, call *tokenhttp.Call, form url.Values, j *jwt) ([]byte, error) {
	answer, err := call.Post(ctx, tokenhttp.Request{
		URL:         e.config.AuthorityHost + "/" + e.config.TenantID + "/oauth2/v2.0/token",
		ContentType: "application/x-www-form-urlencoded",
		Body:        []byte(form.Encode()),
		Accept:      "application/json",
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
	te := &tokenhttp.Error{Reason: "there was no answer"}
	errors.As(err, &te) // always so, by the contract of Post
	if te.Kind == tokenhttp.Ended {
		return fmt.Errorf("azure: %s: %w", op, te)
	}
	return &exchange.Error{
		Provider: provider, Op: op, Status: te.Status, Err: te,
		RetryAfter: te.RetryAfter, Retryable: te.Temporary(),
	}
}

// refusal returns the error for an answer of another status than 200.
func (e *Exchanger) refusal(call *tokenhttp.Call, answer *tokenhttp.Response, j *jwt) *exchange.Error {
	code, description := parseRefusal(answer.Body)
	code = call.Code(code)
	xe := &exchange.Error{
		Provider:    provider,
		Op:          op,
		Status:      answer.Status,
		Code:        code,
		Description: call.Redact(description),
		RetryAfter:  answer.RetryAfter,
	}
	xe.Retryable = e.retryable(xe)
	xe.Hint = e.hint(codeOf(xe), j)
	return xe
}

// parseRefusal reads an error of Entra: the one of RFC 6749, section 5.2, with
// the numbers of its codes. The description begins with the code, if there is
// one. Both results are empty if body is not such an error.
func parseRefusal(body []byte) (code, description string) {
	var a struct {
		Error       string          `json:"error"`
		Description string          `json:"error_description"`
		Codes       json.RawMessage `json:"error_codes"`
	}
	if tokenhttp.DecodeJSON(body, &a) != nil {
		return "", ""
	}
	code, description = a.Error, a.Description
	if len(code) > 64 || !consists(code, codeByte) {
		code = ""
	}
	var codes []int
	if !strings.HasPrefix(description, "AADSTS") && json.Unmarshal(a.Codes, &codes) == nil && len(codes) > 0 {
		description = strings.TrimSuffix("AADSTS"+strconv.Itoa(codes[0])+": "+description, ": ")
	}
	return code, description
}

func codeByte(b byte) bool { return lower(b) || b == '_' }

// codeOf returns the number of the code at the beginning of e's description, or
// 0.
func codeOf(e *exchange.Error) int {
	rest, ok := strings.CutPrefix(e.Description, "AADSTS")
	if !ok {
		return 0
	}
	number, _, _ := strings.Cut(rest, ":")
	code, err := strconv.ParseUint(number, 10, 31)
	if err != nil {
		return 0
	}
	return int(code) // #nosec G115 -- of 31 bits
}

// retryable reports whether the same call may succeed later.
func (e *Exchanger) retryable(xe *exchange.Error) bool {
	switch {
	case tokenhttp.RetryableStatus(xe.Status), xe.Code == "temporarily_unavailable", xe.Code == "server_error": // RFC 6749, section 4.1.2.1
		return true
	case xe.Status != http.StatusBadRequest && xe.Status != http.StatusUnauthorized,
		!slices.Contains([]string{"invalid_client", "invalid_request", "invalid_grant"}, xe.Code):
		return false
	}
	code := codeOf(xe)
	return code == codeNoKey || slices.Contains(unreachable, code) ||
		slices.Contains(unmatched, code) && !e.trusted.Load()
}

// again returns a func for tokenhttp.Retry, for one call: it counts.
func again() func(err error) tokenhttp.Again {
	expired := 0
	return func(err error) tokenhttp.Again {
		var e *exchange.Error
		if !errors.As(err, &e) || e.Provider != provider {
			return tokenhttp.Again{} // of the host's SubjectToken, or of ctx
		}
		switch code := codeOf(e); {
		case code == codeExpired:
			if expired++; expired > 1 {
				return tokenhttp.Again{}
			}
			return tokenhttp.Again{For: tokenhttp.Always}
		case !e.Retryable:
			return tokenhttp.Again{}
		case slices.Contains(unmatched, code) && !tokenhttp.RetryableStatus(e.Status):
			// It looks like a wrong configuration as much as like a new credential.
			return tokenhttp.Again{For: tokenhttp.Brief, After: max(e.RetryAfter, propagating)}
		}
		return tokenhttp.Again{For: tokenhttp.Always, After: e.RetryAfter}
	}
}

// hint returns which setting to change, and where.
func (e *Exchanger) hint(code int, j *jwt) string {
	application := "application " + e.config.ClientID
	const propagation = " (a change takes some minutes)"
	switch code {
	case codeNoMatch:
		return "add to " + application + " a federated credential with the issuer " + j.claims.Iss + ", the subject " + j.claims.Sub +
			" and the audience " + j.claims.Aud + ", byte for byte" + propagation
	case codeNoIssuer:
		return application + " has no federated credential whose issuer is " + j.claims.Iss +
			", byte for byte, also in a slash at the end" + propagation
	case codeNoAudience:
		return application + " has no federated credential for this issuer whose audience is " + j.claims.Aud +
			": change that, or Config.Audience" + propagation
	case codeNoSubject:
		return application + " has no federated credential for this issuer whose subject is " + j.claims.Sub +
			", byte for byte: there are no wildcards" + propagation
	case codeSubjectCase:
		return "the trust policy's subject differs only by letter case: correct the subject of " + application +
			"'s federated credential " + j.claims.Sub + propagation
	case codeExpired:
		return "the JWT was not valid when Entra saw it: check this machine's clock, and raise the JWT's lifetime (oidctoken.Profile.Lifetime)"
	case codeSecret:
		return "Entra expects a secret: check that a proxy or Config.AuthorityHost does not change the request"
	case codeLoop:
		return "Entra saw the same request too often: keep an access token until shortly before it expires"
	}
	return e.hintElsewhere(code, j, application)
}

// hintElsewhere returns the hint for a fault outside the federated credential.
func (e *Exchanger) hintElsewhere(code int, j *jwt, application string) string {
	const reachable = "Entra must reach the discovery document and the JWK Set of "
	if slices.Contains(unreachable, code) {
		return reachable + j.claims.Iss + " from the Internet, over https"
	}
	switch code {
	case codeNoKey:
		return reachable + j.claims.Iss + " from the Internet, over https, and find the key " + j.header.Kid +
			" among the first 100: a new key takes some minutes"
	case codeSignature:
		return "the JWT's signature is not one of the key " + j.header.Kid + " in the JWK Set of " + j.claims.Iss
	case codeAlgorithm:
		return "Entra takes no algorithm but RS256: mint the JWT with Exchanger.Profile"
	case codeBadJWT:
		return "Entra cannot read the JWT: check the proxies between this machine and " + e.config.AuthorityHost
	case codeNoClient:
		return "check that " + application + " exists in tenant " + e.config.TenantID +
			": ClientID is the application (client) id, not the object id"
	case codeNoTenant, codeBadTenant:
		return "check that tenant " + e.config.TenantID + " exists in the cloud of " + e.config.AuthorityHost
	case codeScope, codeClientScope:
		return "a scope is RESOURCE/.default, where RESOURCE is an application ID URI"
	case codeNoResource:
		return "the scope names a resource that tenant " + e.config.TenantID + " does not have: check its spelling and the cloud"
	}
	return ""
}
