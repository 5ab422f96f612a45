package tokenhttp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"syscall"
	"testing"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// A request that the server surely did not receive is sent once more, and no other.
func TestResend(t *testing.T) {
	closedIdle := errors.New("http: server closed idle connection")
	for _, tt := range []struct {
		name   string
		reused bool
		wrote  error // the error of writing the request
		err    error // the error of the first try
		want   int   // tries
	}{
		{"an answer", true, nil, nil, 1},
		{"broken while writing, on an idle connection", true, syscall.EPIPE, syscall.EPIPE, 2},
		{"broken while flushing, on an idle connection", true, nil, &net.OpError{Op: "write", Err: syscall.EPIPE}, 2},
		{"reset while reading", true, nil, &net.OpError{Op: "read", Err: syscall.ECONNRESET}, 1},
		{"closed before writing", true, nil, closedIdle, 2},
		{"broken while writing, on a new connection", false, syscall.EPIPE, syscall.EPIPE, 1},
		{"written, then no answer", true, nil, io.ErrUnexpectedEOF, 1},
		{"written, then a reset", true, nil, syscall.ECONNRESET, 1},
		{"closed, on a new connection", false, nil, closedIdle, 1},
	} {
		for _, again := range []error{nil, io.ErrUnexpectedEOF} {
			t.Run(tt.name, func(t *testing.T) {
				var bodies []string
				send := func(r *http.Request) (*http.Response, error) {
					if r.GetBody != nil {
						t.Error("GetBody is set: a client could follow a redirect with the body")
					}
					body, err := io.ReadAll(r.Body)
					if err != nil {
						t.Error(err)
					}
					bodies = append(bodies, string(body))
					if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && len(bodies) == 1 {
						trace.GotConn(httptrace.GotConnInfo{Reused: tt.reused})
						trace.WroteRequest(httptrace.WroteRequestInfo{Err: tt.wrote})
					}
					if len(bodies) == 1 && tt.err != nil {
						return nil, tt.err
					}
					if len(bodies) == 2 && again != nil {
						return nil, again
					}
					return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
				}
				// Without GetBody, as the AWS SDK's requests.
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/", io.NopCloser(strings.NewReader("digest")))
				if err != nil {
					t.Fatal(err)
				}
				answer, err := tokenhttp.Resend(r, send)
				want := tt.err
				if tt.want == 2 {
					want = again
				}
				if !errors.Is(err, want) || (err == nil) != (answer != nil) {
					t.Errorf("got %v, %v, want the error %v", answer, err, want)
				}
				if len(bodies) != tt.want || strings.Join(bodies, "") != strings.Repeat("digest", tt.want) {
					t.Errorf("sent %q, want %d times the body", bodies, tt.want)
				}
			})
		}
	}
}

// A caller whose ctx has ended gets the first error.
func TestResendEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1/", strings.NewReader("digest"))
	if err != nil {
		t.Fatal(err)
	}
	tries := 0
	_, err = tokenhttp.Resend(r, func(r *http.Request) (*http.Response, error) {
		tries++
		trace := httptrace.ContextClientTrace(r.Context())
		trace.GotConn(httptrace.GotConnInfo{Reused: true})
		trace.WroteRequest(httptrace.WroteRequestInfo{Err: syscall.EPIPE})
		cancel()
		return nil, syscall.EPIPE
	})
	if !errors.Is(err, syscall.EPIPE) || tries != 1 {
		t.Errorf("%d tries, %v, want one", tries, err)
	}
}
