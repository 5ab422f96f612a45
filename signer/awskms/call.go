package awskms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
	"github.com/oidctoken/oidctoken/signer"
)

const (
	service   = "awskms"
	maxAnswer = 1 << 20 // bytes; a page of 1,000 keys has a sixth of that
)

// KMS's codes, as its API names them.
const (
	codeDenied = "AccessDeniedException"

	codeNotFound     = "NotFoundException"
	codeDisabled     = "DisabledException"
	codeInvalidState = "KMSInvalidStateException"

	// codeUnknown is the SDK's own, for an answer without one.
	codeUnknown = "UnknownError"
)

// away has the codes of temporary failures. Most come with status 400. It does
// not have LimitExceededException, which reports the number of keys or the
// length of a value.
var away = []string{
	"ThrottlingException", "Throttling", "ThrottledException", "RequestThrottled", "RequestThrottledException",
	"RequestLimitExceeded", "TooManyRequestsException", "SlowDown",
	"KMSInternalException", "DependencyTimeoutException", "KeyUnavailableException",
	"InternalFailure", "InternalError", "ServiceUnavailable", "ServiceUnavailableException",
	"RequestTimeout", "RequestTimeoutException",
}

var errTooLarge = fmt.Errorf("the answer has more than %d bytes", maxAnswer)

func checkClient(client *kms.Client) error {
	switch {
	case client == nil:
		return configError("client", "is required")
	case client.Options().ClientLogMode.IsSigning():
		// The SDK reads that when it makes a client, and no more.
		return configError("client", "logs the signed request with session tokens: leave LogSigning out of its ClientLogMode")
	}
	return nil
}

// call makes one call. secrets are the parts of the request that no error may
// repeat; the credentials are added. in may be read until the SDK returns,
// which may be after call has returned.
func call[In, Out any](
	ctx context.Context, guard *signer.Guard, op string,
	method func(context.Context, *In, ...func(*kms.Options)) (*Out, error), in *In, secrets ...string,
) (*Out, error) {
	var out *Out
	err := guard.Do(ctx, service, op, func(ctx context.Context) error {
		w := &wire{secrets: secrets}
		answer, err := method(ctx, in, w.options)
		if err != nil {
			return w.failure(op, err)
		}
		out = answer
		return nil
	})
	if err != nil {
		return nil, err // out is not read: the SDK may still write to it
	}
	return out, nil
}

// wire stands between the SDK and the network for one call.
type wire struct {
	client  kms.HTTPClient
	secrets []string
}

func (w *wire) options(o *kms.Options) {
	o.Retryer = aws.NopRetryer{}
	o.ClientLogMode = 0
	w.client = o.HTTPClient
	if c, ok := w.client.(*http.Client); ok {
		// The SDK's own client follows no redirect that would take the body
		// along; this one would take the session token to another host.
		own := *c
		own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		w.client = &own
	}
	o.HTTPClient = w
}

// Do records the secrets of the request, and limits how much of the answer is
// read.
func (w *wire) Do(r *http.Request) (*http.Response, error) {
	w.secrets = append(slices.Clip(w.secrets), r.Header.Get("X-Amz-Security-Token"), r.Header.Get("Authorization"))
	if r.Body != nil {
		// The SDK closes the body when it has the answer's header. The body's WriteTo
		// then fails, which ends the connection if net/http is just looking for the
		// end of the body. Its Read does not.
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	response, err := tokenhttp.Resend(r, w.client.Do)
	if response != nil && response.Body != nil {
		response.Body = &body{ReadCloser: response.Body}
	}
	return response, err
}

// body is an answer's, bounded.
type body struct {
	io.ReadCloser
	read int
}

// readError is a failure of the network in the middle of an answer.
type readError struct{ error }

func (e *readError) Unwrap() error { return e.error }

func (b *body) Read(p []byte) (int, error) {
	if b.read > maxAnswer {
		return 0, errTooLarge
	}
	n, err := b.ReadCloser.Read(p)
	b.read += n
	if b.read > maxAnswer {
		return 0, errTooLarge
	}
	if err != nil && err != io.EOF {
		err = &readError{err}
	}
	return n, err
}

// failure converts an error of the SDK.
func (w *wire) failure(op string, err error) *signer.Error {
	e := &signer.Error{Service: service, Op: op, Kind: signer.Unavailable}
	var status int
	if response := (*smithyhttp.ResponseError)(nil); errors.As(err, &response) && response.Response != nil {
		status = response.HTTPStatusCode()
		e.RetryAfter = tokenhttp.ParseRetryAfter(response.Response.Header.Get("Retry-After"), time.Now())
	}
	var api smithy.APIError
	refused := errors.As(err, &api) && api.ErrorCode() != codeUnknown
	var unsent *smithyhttp.RequestSendError
	var broken *readError
	switch {
	case errors.As(err, &unsent), errors.As(err, &broken), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
	case errors.Is(err, errTooLarge):
		e.Kind, err = signer.Malformed, errTooLarge
	case refused:
		return w.refusal(e, status, api, err)
	case status == 0:
		// No request was sent: no credentials are available, which may change soon.
	case tokenhttp.RetryableStatus(status):
		err = fmt.Errorf("status %d", status)
	case status < 200 || status > 299:
		e.Kind, err = signer.Malformed, fmt.Errorf("status %d without an error of KMS", status)
	default:
		e.Kind = signer.Malformed
	}
	e.Err = &cause{w.redact(err.Error()), err}
	return e
}

// refusal completes e for an error with a code of KMS. It does not wrap the
// cause: KMS writes parts of the request into some messages, such as the signed
// headers.
func (w *wire) refusal(e *signer.Error, status int, api smithy.APIError, err error) *signer.Error {
	e.Code = w.redact(api.ErrorCode())
	switch code := api.ErrorCode(); {
	case slices.Contains(away, code), tokenhttp.RetryableStatus(status):
	case code == codeNotFound, code == codeDisabled, code == codeInvalidState:
		e.Kind = signer.Gone
	default:
		e.Kind = signer.Refused
	}
	text := w.redact(api.ErrorMessage())
	if id := (interface{ ServiceRequestID() string })(nil); errors.As(err, &id) && id.ServiceRequestID() != "" {
		text += " (request ID " + w.redact(tokenhttp.Printable(id.ServiceRequestID(), 64)) + ")"
	}
	if text != "" {
		e.Err = errors.New(text)
	}
	return e
}

func (w *wire) redact(text string) string { return tokenhttp.Redact(text, w.secrets...) }

// cause shows an error without the secrets of the request.
type cause struct {
	text string
	err  error
}

func (c *cause) Error() string { return c.text }
func (c *cause) Unwrap() error { return c.err }

func malformed(op, format string, args ...any) error {
	return &signer.Error{Service: service, Op: op, Kind: signer.Malformed, Err: fmt.Errorf(format, args...)}
}

// ofAnother returns the error for an answer that belongs to another key than
// want. The service has chosen got, so got is shown only if it is an ARN;
// another text could be an echo of the request.
func ofAnother(op, got, want string) error {
	if !isKeyARN(got) {
		return malformed(op, "the answer is of another key, not of %s", want)
	}
	return malformed(op, "the answer is of the key %s, not of %s", printable(got), want)
}

func refused(op, format string, args ...any) error {
	return &signer.Error{Service: service, Op: op, Kind: signer.Refused, Err: fmt.Errorf(format, args...)}
}

// printable returns a text of KMS's that stands where a name is expected.
func printable(text string) string { return fmt.Sprintf("%q", tokenhttp.Printable(text, 256)) }
