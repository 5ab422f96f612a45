package azurekeys

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
	"github.com/oidctoken/oidctoken/signer"
)

// maxAnswer is the limit for an answer, in bytes: many times a page of
// versions.
const maxAnswer = 1 << 20

var errTooLong = fmt.Errorf("the answer has more than %d bytes", maxAnswer)

// HTTPClient returns a client for azcore's ClientOptions.Transport. It follows
// no redirect, which would carry the digest, and it refuses an answer of more
// than 1 MiB, which the SDK's own client would read to its end. It sends
// through rt; nil means a new [http.Transport] with the proxy of the
// environment, which keeps as many connections as a [signer.Guard] allows
// calls.
func HTTPClient(rt http.RoundTripper) *http.Client {
	if rt == nil {
		rt = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			ForceAttemptHTTP2:     true,
			MaxIdleConns:          64,
			MaxIdleConnsPerHost:   32,
			IdleConnTimeout:       90 * time.Second,
			TLSHandshakeTimeout:   5 * time.Second,
			ExpectContinueTimeout: time.Second,
		}
	}
	return &http.Client{
		Transport:     bounded{rt},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded limits how much of an answer is read, after decompression.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := tokenhttp.Resend(r, b.RoundTripper.RoundTrip)
	if err != nil {
		return nil, err
	}
	response.Body = &body{response.Body, maxAnswer}
	return response, nil
}

// CloseIdleConnections is called by [http.Client.CloseIdleConnections].
func (b bounded) CloseIdleConnections() {
	if c, ok := b.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

type body struct {
	io.ReadCloser
	left int
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left+1)])
	if n > b.left {
		return 0, &bodyError{errTooLong}
	}
	b.left -= n
	if err != nil && err != io.EOF {
		err = &bodyError{err}
	}
	return n, err
}

// bodyError marks a failure to read an answer's body. The SDK wraps it like a
// credential's failure.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

func (e *bodyError) classify() *signer.Error {
	kind := signer.Malformed
	if !errors.Is(e, errTooLong) && isNetwork(e) {
		kind = signer.Unavailable
	}
	return &signer.Error{Kind: kind, Err: e}
}
