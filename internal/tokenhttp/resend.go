package tokenhttp

import (
	"bytes"
	"errors"
	"io"
	"net"
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
// Resend reads the body of r into memory if r has no GetBody. It does not set GetBody,
// with which an [http.Client] would follow a redirect with the body.
func Resend(r *http.Request, send func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	getBody := r.GetBody
	if getBody == nil && r.Body != nil && r.Body != http.NoBody {
		body, err := io.ReadAll(r.Body)
		if closeErr := r.Body.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return nil, err
		}
		getBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		r = r.Clone(r.Context())
		if r.Body, err = getBody(); err != nil {
			return nil, err
		}
	}
	var unsent unsentTrace
	answer, err := send(r.WithContext(httptrace.WithClientTrace(r.Context(), unsent.trace())))
	if err == nil || !unsent.isSure(err) || r.Context().Err() != nil {
		return answer, err
	}
	again := r.Clone(r.Context())
	if getBody != nil {
		body, bodyErr := getBody()
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

// isSure reports whether the server cannot have received the whole request that failed
// with err: writing it failed, or the server closed the connection before. net/http's
// error for the latter has a text and no type.
func (u *unsentTrace) isSure(err error) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	op, ok := errors.AsType[*net.OpError](err)
	return u.reused && (u.failed || ok && op.Op == "write" || strings.HasSuffix(err.Error(), "server closed idle connection"))
}
