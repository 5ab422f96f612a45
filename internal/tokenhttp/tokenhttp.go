// Package tokenhttp makes the one kind of HTTP request that an exchange needs:
// a bounded POST with secrets to a fixed host. It also reads the answer, and
// trusts neither its size nor its form nor its text.
package tokenhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	defaultTimeout = 10 * time.Second
	firstRead      = 8 << 10
	maxAnswer      = 256 << 10 // bytes of a 2xx answer's body
	maxRefusal     = 64 << 10  // bytes of any other answer's body
)

// Client posts to one cloud. The zero value works. It is safe for concurrent
// use and stateless.
type Client struct {
	// Transport makes the request. Nil means a transport of this package, shared
	// by all Clients. It requires TLS 1.2 or later and a certificate that the
	// system's roots verify (SSL_CERT_FILE adds to them, as in crypto/x509). It
	// takes HTTPS_PROXY and NO_PROXY from the environment (a proxy sees the host's
	// name, never the request), and keeps no idle connection.
	//
	// A RoundTripper of the caller is asked not to compress and not to keep
	// connections. It must not follow redirects by itself, and is responsible for
	// its TLS settings, its header limit and its buffers (net/http buffers up to 4
	// MiB of an HTTP/2 answer). If it ignores the request's ctx, Post still
	// returns in time, but a goroutine runs until the RoundTripper returns.
	Transport http.RoundTripper

	// Timeout bounds one attempt, from the dial to the last byte read. Zero
	// or less means 10 s.
	Timeout time.Duration
}

// Request is a POST. It does not print: see Format.
type Request struct {
	URL         string // as CheckURL allows
	ContentType string // of Body
	Body        []byte // must not be changed afterwards, also not once Post returned
	Bearer      string // for the Authorization header; empty: none
	Accept      string // the media type that a 2xx answer must have, such as "application/json". Required.

	hide func() []string // the secrets of the Call; nil: none
}

// Response is a whole answer, of a status from 200 to 299 or from 400 up. It
// does not print: see Format.
type Response struct {
	Status     int
	Body       []byte        // at most 256 KiB; of a status from 400 up, at most 64 KiB and of any media type
	RetryAfter time.Duration // as ParseRetryAfter reads it
}

// Post makes the request once. It returns when the answer is complete, Timeout
// has passed or ctx has ended, whichever is first.
//
// Its error is always an *Error. It holds nothing of the request's body,
// bearer or query, whatever the server echoes, and errors.Is finds ctx.Err()
// in it if ctx ended.
func (c *Client) Post(ctx context.Context, r Request) (*Response, error) {
	u, err := checkRequest(r)
	if err != nil {
		return nil, err
	}
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	type result struct {
		resp *Response
		err  error
	}
	// A goroutine, since a RoundTripper or a Body of the caller's may ignore
	// the ctx. It never blocks on done, and ends with the RoundTripper.
	done := make(chan result, 1)
	go func() {
		resp, err := c.post(bounded, u, r)
		done <- result{resp, err}
	}()
	var got result
	select {
	case got = <-done:
	case <-bounded.Done():
		got.err = bounded.Err()
	}
	switch {
	case got.err == nil:
		return got.resp, nil
	case errors.Is(context.Cause(ctx), errBudget): // no end of the caller's
		return nil, &Error{Kind: Timeout, Host: u.Host, Reason: "no whole answer before the time for retries was over", Err: os.ErrDeadlineExceeded}
	case ctx.Err() != nil:
		return nil, &Error{Kind: Ended, Host: u.Host, Reason: ctx.Err().Error(), Err: ctx.Err()}
	case bounded.Err() != nil: // not context.DeadlineExceeded: the caller's ctx has not ended
		return nil, &Error{Kind: Timeout, Host: u.Host, Reason: "no whole answer within " + timeout.String(), Err: os.ErrDeadlineExceeded}
	default:
		return nil, failure(got.err, u, r)
	}
}

// post returns an *Error for a refused answer, and the transport's own error if
// there is no answer.
func (c *Client) post(ctx context.Context, u *url.URL, r Request) (*Response, error) {
	req, err := newRequest(ctx, u, r)
	if err != nil {
		return nil, err
	}
	transport := c.Transport
	if transport == nil {
		transport = shared()
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp == nil || resp.Body == nil {
		return nil, &Error{Kind: Malformed, Host: u.Host, Reason: "the transport returned neither an answer nor an error"}
	}
	defer resp.Body.Close() // drops the connection if the body was not read to its end
	answer := &Response{Status: resp.StatusCode, RetryAfter: ParseRetryAfter(resp.Header.Get("Retry-After"), time.Now())}
	refuse := func(kind Kind, reason string) (*Response, error) {
		return nil, &Error{Kind: kind, Host: u.Host, Status: answer.Status, RetryAfter: answer.RetryAfter, Reason: reason}
	}
	if kind, reason := checkHead(resp, r.Accept); kind != 0 {
		return refuse(kind, reason)
	}
	limit := maxRefusal
	if answer.Status <= 299 {
		limit = maxAnswer
	}
	if resp.ContentLength <= int64(limit) {
		answer.Body, err = readBounded(ctx, resp.Body, limit)
	}
	switch {
	case resp.ContentLength > int64(limit) || len(answer.Body) > limit:
		return refuse(TooLarge, fmt.Sprintf("the answer is longer than %d KiB", limit>>10))
	case err != nil:
		broken := failure(err, u, r)
		broken.Status, broken.RetryAfter = answer.Status, answer.RetryAfter
		return nil, broken
	}
	return answer, nil
}

func newRequest(ctx context.Context, u *url.URL, r Request) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	req.Header = http.Header{
		"Accept": {r.Accept},
		// Set by us, it also keeps net/http from asking for gzip and from
		// inflating the answer.
		"Accept-Encoding": {"identity"},
		"Content-Type":    {r.ContentType},
		"User-Agent":      {"oidctoken"},
	}
	if r.Bearer != "" {
		req.Header.Set("Authorization", "Bearer "+r.Bearer)
	}
	// On an idle connection net/http prints unexpected bytes of a server to the
	// standard log. They may hold the assertion, so no connection stays idle.
	req.Close = true
	return req, nil
}

// checkHead returns the fault of an answer before its body is read, or 0.
func checkHead(resp *http.Response, accept string) (kind Kind, reason string) {
	switch {
	case resp.Request != nil && resp.Request.Response != nil:
		// Too late, but it must not go unnoticed.
		return Redirect, "the transport followed a redirect; it must not"
	case resp.StatusCode >= 300 && resp.StatusCode <= 399:
		return Redirect, "a redirect is never followed"
	case resp.StatusCode < 200 || resp.StatusCode > 599:
		return Malformed, "the status is not that of a final answer"
	case resp.Uncompressed || !identity(resp.Header.Values("Content-Encoding")):
		return Encoding, "the answer is compressed without a request"
	case resp.StatusCode <= 299 && !isType(resp.Header.Values("Content-Type"), accept):
		return ContentType, "the answer is not " + accept
	}
	return 0, ""
}

func identity(encodings []string) bool {
	for _, e := range encodings {
		if e = strings.TrimSpace(e); e != "" && !strings.EqualFold(e, "identity") {
			return false
		}
	}
	return true
}

// isType reports whether the header has one value, of the media type want and
// with any parameters.
func isType(header []string, want string) bool {
	if len(header) != 1 {
		return false
	}
	got, _, _ := mime.ParseMediaType(header[0]) // "" for a malformed type; bad parameters do not matter
	return strings.EqualFold(got, want)
}

// readBounded reads r to its end, or to one byte past limit. Most answers fit
// the first buffer; the others get one of the full size, so that a hostile one
// costs no more than that.
func readBounded(ctx context.Context, r io.Reader, limit int) ([]byte, error) {
	buf := make([]byte, 0, min(firstRead, limit+1))
	for {
		if len(buf) == cap(buf) {
			if len(buf) > limit {
				return buf, nil
			}
			buf = append(make([]byte, 0, limit+1), buf...)
		}
		// A Body of the caller's may return neither bytes nor an error for ever.
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch err {
		case nil:
		case io.EOF:
			return buf, nil
		default:
			return nil, err
		}
	}
}

// Format shows nothing of the body and the bearer, for any verb.
func (r Request) Format(f fmt.State, _ rune) { io.WriteString(f, "request [REDACTED]") }

// LogValue returns the text of Format.
func (r Request) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(r)) }

// MarshalText returns the text of Format.
func (r Request) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(r)), nil }

// Format shows the status and nothing of the body, for any verb.
func (r Response) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "answer %d [REDACTED]", r.Status)
}

// LogValue returns the text of Format.
func (r Response) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(r)) }

// MarshalText returns the text of Format.
func (r Response) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(r)), nil }
