package vaulttransit

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
	"github.com/oidctoken/oidctoken/signer"
)

const (
	service    = "vaulttransit"
	maxAnswer  = 256 << 10 // bytes of a 2xx answer's body
	maxRefusal = 64 << 10  // bytes of any other's
)

// request is a call of the API.
type request struct {
	op     string // as the API's documentation names it
	method string
	path   string // below the mount
	body   any    // nil: none
	secret string // a part of body that no error repeats; may be empty
}

// fail returns an error of the call. reason is a text of ours, or redacted.
func (r *request) fail(kind signer.Kind, code, reason string) *signer.Error {
	return &signer.Error{Service: service, Op: r.op, Kind: kind, Code: code, Err: errors.New(reason)}
}

func (r *request) malformed(reason string) *signer.Error {
	return r.fail(signer.Malformed, "", reason)
}

// isKind reports whether err is a failure of a call, of that kind.
func isKind(err error, kind signer.Kind) bool {
	var failure *signer.Error
	return errors.As(err, &failure) && failure.Kind == kind
}

// do makes the call when guard allows it, and decodes the answer's "data" into
// the pointer data; nil means that it is not decoded. After an error, data may
// still be written to.
func (c *Client) do(ctx context.Context, guard *signer.Guard, r request, data any) error {
	var body []byte
	if r.body != nil {
		var err error
		if body, err = json.Marshal(r.body); err != nil {
			return fmt.Errorf("vaulttransit: %s: %w", r.op, err)
		}
	}
	return guard.Do(ctx, service, r.op, func(ctx context.Context) error {
		return c.send(ctx, &r, body, data)
	})
}

func (c *Client) send(ctx context.Context, r *request, body []byte, data any) error {
	req, err := c.newRequest(ctx, r, body)
	if err != nil {
		return err
	}
	secrets := []string{req.Header.Get("X-Vault-Token"), r.secret}
	resp, err := tokenhttp.Resend(req, c.transport.RoundTrip)
	if err != nil {
		return r.broken(err, secrets)
	}
	if resp == nil || resp.Body == nil {
		return r.malformed("the transport returned neither an answer nor an error")
	}
	defer resp.Body.Close()
	if err := r.checkHead(resp); err != nil {
		return err
	}
	limit := maxRefusal
	if resp.StatusCode <= 299 {
		limit = maxAnswer
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	switch {
	case err != nil:
		return r.broken(err, secrets)
	case resp.StatusCode > 299:
		return r.refused(resp, text[:min(len(text), limit)], secrets)
	case len(text) > limit:
		return r.malformed(fmt.Sprintf("the answer is longer than %d KiB", limit>>10))
	}
	return r.decode(resp, text, data)
}

func (c *Client) newRequest(ctx context.Context, r *request, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, c.address+"/v1/"+c.mount+"/"+r.path, bytes.NewReader(body))
	if err != nil {
		return nil, r.fail(signer.Refused, "", "the request cannot be made")
	}
	req.Header = http.Header{
		"Accept": {"application/json"},
		// Set by us, it also keeps a transport from inflating the answer.
		"Accept-Encoding": {"identity"},
		"User-Agent":      {"oidctoken"},
		// An agent or proxy may demand it, against requests that a browser was
		// tricked into.
		"X-Vault-Request": {"true"},
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.namespace != "" {
		req.Header.Set("X-Vault-Namespace", c.namespace)
	}
	if c.token == nil {
		return req, nil
	}
	token, err := c.token(ctx)
	if err != nil {
		return nil, &signer.Error{Service: service, Op: r.op, Kind: signer.Unavailable, Err: fmt.Errorf("no token: %w", err)}
	}
	if err := tokenhttp.CheckToken(token); err != nil {
		return nil, r.fail(signer.Refused, "", "Token returned a token that cannot be sent: "+err.Error())
	}
	req.Header.Set("X-Vault-Token", token)
	return req, nil
}

// broken returns the error of a call without an answer. It is the network's
// failure, unless another cause is known. The texts of net/http's errors repeat
// bytes of the wire.
func (r *request) broken(err error, secrets []string) error {
	var (
		certificate *tls.CertificateVerificationError
		op          *net.OpError
	)
	kind := signer.Unavailable
	switch {
	case errors.As(err, &certificate), errors.Is(err, errNotLoopback):
		kind = signer.Refused
	case errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"): // an alert of TLS
		kind = signer.Refused
	case errors.As(err, &op):
	case isGarbage(err):
		kind = signer.Malformed
	}
	return r.fail(kind, "", tokenhttp.Redact(err.Error(), secrets...))
}

// isGarbage reports whether the answer is not TLS, or not HTTP, so that another
// try would not help. Most of these errors of net/http have no type, but a
// text.
func isGarbage(err error) bool {
	var record tls.RecordHeaderError
	var header textproto.ProtocolError
	if errors.As(err, &record) || errors.As(err, &header) || errors.Is(err, http.ErrSchemeMismatch) {
		return true
	}
	text := err.Error()
	return slices.ContainsFunc([]string{
		"malformed HTTP ", " Content-Length", "unsupported transfer encoding", "response headers exceeded",
		"chunked encoding", "chunk length", "chunked line", "header line too long", "server gave HTTP response to HTTPS client",
	}, func(phrase string) bool { return strings.Contains(text, phrase) })
}

// checkHead refuses an answer whose body need not be read.
func (r *request) checkHead(resp *http.Response) error {
	code := strconv.Itoa(resp.StatusCode)
	switch {
	case resp.Request != nil && resp.Request.Response != nil: // too late, but it must not go unnoticed
		return r.fail(signer.Refused, "", "the transport followed a redirect; it must not")
	case resp.TLS != nil && resp.TLS.Version < tls.VersionTLS12:
		return r.fail(signer.Refused, "", "the transport allowed a TLS version before 1.2")
	case resp.StatusCode == http.StatusTemporaryRedirect:
		return r.fail(signer.Unavailable, code, "a standby names another host, which is never followed: Address must reach the active node")
	case resp.StatusCode >= 300 && resp.StatusCode <= 399:
		return r.fail(signer.Refused, code, "a redirect is never followed")
	case resp.StatusCode < 200 || resp.StatusCode > 599:
		return r.fail(signer.Malformed, code, "the status is not that of a final answer")
	case resp.Uncompressed || resp.Header.Get("Content-Encoding") != "":
		return r.fail(signer.Malformed, code, "the answer is compressed without a request")
	}
	return nil
}

// decode reads an answer to a call that succeeded. One without a body has
// status 204.
func (r *request) decode(resp *http.Response, text []byte, data any) error {
	if resp.StatusCode == http.StatusNoContent {
		if data != nil {
			return r.malformed("the answer has no content")
		}
		return nil
	}
	if !isJSON(resp) {
		return r.malformed("the answer is not application/json")
	}
	answer := struct {
		Data any `json:"data"`
	}{data}
	if data == nil {
		answer.Data = new(json.RawMessage) // any is right
	}
	if err := tokenhttp.DecodeJSON(text, &answer); err != nil {
		return r.malformed(err.Error())
	}
	return nil
}

func isJSON(resp *http.Response) bool {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// refused reads the answer to a call that failed: {"errors": ["text"]}.
func (r *request) refused(resp *http.Response, text []byte, secrets []string) error {
	var answer struct {
		Errors *[]string `json:"errors"`
	}
	said, known := "", false
	if isJSON(resp) && tokenhttp.DecodeJSON(text, &answer) == nil && answer.Errors != nil {
		said, known = strings.Join(*answer.Errors, "; "), true
	}
	shown := tokenhttp.Redact(strings.Join(strings.Fields(said), " "), secrets...)
	switch {
	case !known:
		shown = "the answer does not come from Vault"
	case said == "":
		shown = "without a reason"
	}
	failure := r.fail(kindOf(resp.StatusCode, said, known), strconv.Itoa(resp.StatusCode), shown)
	failure.RetryAfter = tokenhttp.ParseRetryAfter(resp.Header.Get("Retry-After"), time.Now())
	return failure
}

// kindOf classes a status from 400 up. known means that it is Vault who answers,
// and not a proxy on the way; nothing is said otherwise.
func kindOf(status int, said string, known bool) signer.Kind {
	switch status {
	case http.StatusNotFound:
		// A 404 without a text means that the key is missing. With a text the mount
		// or the namespace is missing, which must not end a key.
		if known && said == "" {
			return signer.Gone
		}
	case http.StatusBadRequest, http.StatusInternalServerError:
		if saysGone(said) {
			return signer.Gone
		}
	case http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusPreconditionFailed, // this node lags behind
		472, 473:                      // a standby of another cluster, or for reads
		return signer.Unavailable
	}
	if status >= 500 {
		return signer.Unavailable
	}
	return signer.Refused
}

// saysGone recognizes Vault's texts for a key or version that is missing, may
// no longer be used, or was deleted and may be restored.
func saysGone(said string) bool {
	for _, phrase := range []string{
		"signing key not found",
		"encryption key not found",
		"no such key version",
		"requested version for signing is higher than",
		"requested version for signing is less than",
		"version is disallowed by policy (too old)",
		"refusing to use soft-deleted key",
	} {
		if strings.Contains(said, phrase) {
			return true
		}
	}
	return false
}
