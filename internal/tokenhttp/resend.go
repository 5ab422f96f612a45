package tokenhttp

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
)

// Resend sends r. If r was sent on an idle connection that the server had closed, so
// that the server cannot have received the whole request, Resend sends it once more.
// Without this, a service that closes idle connections fails a call now and then,
// because [http.Transport] repeats a POST only in some of these cases.
//
// Resend reads the body of r into memory if r has no GetBody. send must not follow
// redirects.
func Resend(r *http.Request, send func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	if r.GetBody == nil && r.Body != nil && r.Body != http.NoBody {
		body, err := io.ReadAll(r.Body)
		if closeErr := r.Body.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		if r.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
	var unsent unsentTrace
	answer, err := send(r.WithContext(httptrace.WithClientTrace(r.Context(), unsent.trace())))
	if err == nil || !unsent.isSure(err) || r.Context().Err() != nil {
		return answer, err
	}
	again := r.Clone(r.Context())
	if r.GetBody != nil {
		body, bodyErr := r.GetBody()
		if bodyErr != nil {
			return nil, err
		}
		again.Body = body
	}
	return send(again)
}

// unsentTrace records whether a request was written to a connection that was used before.
type unsentTrace struct {
	mu     sync.Mutex
	reused bool
	failed bool // the request could not be written completely
}

func (u *unsentTrace) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.reused, u.failed = info.Reused, false
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.failed = info.Err != nil
		},
	}
}

// isSure reports whether the server cannot have received the request that failed with
// err. net/http's error for a connection that the server closed before the request has
// a text and no type.
func (u *unsentTrace) isSure(err error) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.reused && (u.failed || strings.HasSuffix(err.Error(), "server closed idle connection"))
}
