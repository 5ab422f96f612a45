package azurekeys

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
	"github.com/oidctoken/oidctoken/signer"
)

const service = "azurekeys"

// codeDisabled is the service's innermost code for a version that is disabled.
const codeDisabled = "KeyDisabled"

// call makes one call of the service: through the guard, without retries, and
// with the service's errors as ours.
func call[T any](ctx context.Context, guard *signer.Guard, op string, f func(context.Context) (T, error)) (T, error) {
	var result, zero T
	err := guard.Do(ctx, service, op, func(ctx context.Context) error {
		got, err := f(policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: -1}))
		if err != nil {
			return named(op, err)
		}
		result = got
		return nil
	})
	if err != nil {
		return zero, err // f may still be about to set result
	}
	return result, nil
}

// problem returns an error of ours, whose Op named sets.
func problem(kind signer.Kind, format string, args ...any) error {
	return &signer.Error{Service: service, Kind: kind, Err: fmt.Errorf(format, args...)}
}

// misuse returns an error of the caller. The service was not called.
func misuse(op string, err error) error {
	return &signer.Error{Service: service, Op: op, Kind: signer.Refused, Err: err}
}

// named returns err as an error of the call op.
func named(op string, err error) error {
	e, ok := err.(*signer.Error) // a problem; the error of a credential is wrapped
	if !ok {
		e = classify(err)
	}
	e.Service, e.Op = service, op
	return e
}

// classify converts an error of the SDK.
func classify(err error) *signer.Error {
	var answer *bodyError
	var final interface{ NonRetriable() }
	var response *azcore.ResponseError
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &answer):
		return answer.classify()
	case errors.As(err, &untrusted):
		return &signer.Error{Kind: signer.Refused, Err: untrusted}
	// The SDK marks failures before the request as final: the credential's own
	// service may have answered 404.
	case errors.As(err, &final):
		return classifyCredential(err)
	case errors.As(err, &response):
		return classifyResponse(response, time.Now())
	case isNetwork(err):
		return &signer.Error{Kind: signer.Unavailable, Err: err}
	}
	// A malformed answer may hold any text, which is not shown.
	return &signer.Error{Kind: signer.Malformed, Err: errors.New("the answer is not JSON of the form that it should have")}
}

func isNetwork(err error) bool {
	var request *url.Error
	var network net.Error
	return errors.As(err, &request) || errors.As(err, &network) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// classifyResponse does not keep the response: its request has the access token.
func classifyResponse(r *azcore.ResponseError, now time.Time) *signer.Error {
	e := &signer.Error{Kind: signer.Malformed, Err: fmt.Errorf("HTTP status %d", r.StatusCode)}
	var outer string
	if body, err := runtime.Payload(r.RawResponse); err == nil {
		outer, e.Code = errorCodes(body)
	}
	isCode := outer != ""
	switch status := r.StatusCode; {
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		e.Kind = signer.Unavailable
		e.RetryAfter = tokenhttp.ParseRetryAfter(r.RawResponse.Header.Get("Retry-After"), now)
	case e.Code == codeDisabled:
		e.Kind = signer.Gone
	case status == http.StatusNotFound && isCode: // any proxy has a 404
		e.Kind = signer.Gone
	case status >= 400 && status != http.StatusNotFound:
		e.Kind = signer.Refused
	}
	if e.Code != outer {
		e.Err = fmt.Errorf("HTTP status %d, %s", r.StatusCode, outer)
	}
	return e
}

// errorCodes returns the outermost and the innermost code of the service's
// error. Both are empty if body is not such an error.
func errorCodes(body []byte) (outer, inner string) {
	type detail struct {
		Code  string          `json:"code"`
		Inner json.RawMessage `json:"innererror"`
	}
	var document struct {
		Error *detail `json:"error"`
	}
	if tokenhttp.DecodeJSON(body, &document) != nil || document.Error == nil || !isErrorCode(document.Error.Code) {
		return "", ""
	}
	outer, inner = document.Error.Code, document.Error.Code
	for next := document.Error.Inner; len(next) > 0; {
		var d detail
		if tokenhttp.DecodeJSON(next, &d) != nil || !isErrorCode(d.Code) {
			break
		}
		inner, next = d.Code, d.Inner
	}
	return outer, inner
}

func isErrorCode(s string) bool {
	return isName(strings.NewReplacer(".", "-", "_", "-").Replace(s)) && len(s) <= 64
}

// credentialError shows the first line of a credential's error: azidentity
// appends a whole answer to it.
type credentialError struct{ err error }

func (e *credentialError) Error() string {
	line, _, _ := strings.Cut(e.err.Error(), "\n")
	return "no access token for the vault: " + line
}

func (e *credentialError) Unwrap() error { return e.err }

// classifyCredential returns Refused, unless the error is temporary.
func classifyCredential(err error) *signer.Error {
	e := &signer.Error{Kind: signer.Refused, Err: &credentialError{err}}
	e.Code = regexp.MustCompile(`AADSTS[0-9]{1,9}`).FindString(err.Error())
	var temporary interface{ Temporary() bool }
	var response *http.Response
	switch failed := authenticationFailed(err, &response); {
	case errors.As(err, &temporary) && temporary.Temporary(), isNetwork(err):
		e.Kind = signer.Unavailable
	case failed && response == nil: // no answer came
		e.Kind = signer.Unavailable
	case failed:
		if s := response.StatusCode; s == http.StatusRequestTimeout || s == http.StatusTooManyRequests || s >= 500 {
			e.Kind = signer.Unavailable
			e.RetryAfter = tokenhttp.ParseRetryAfter(response.Header.Get("Retry-After"), time.Now())
		}
	}
	return e
}

// authenticationFailed finds azidentity's AuthenticationFailedError by its field
// RawResponse: importing the type would link MSAL into every host, also into
// those that have another credential.
func authenticationFailed(err error, response **http.Response) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		v := reflect.Indirect(reflect.ValueOf(err))
		if v.Kind() != reflect.Struct || v.Type().Name() != "AuthenticationFailedError" {
			continue
		}
		if r, ok := v.FieldByName("RawResponse").Interface().(*http.Response); ok {
			*response = r
			return true
		}
	}
	return false
}
