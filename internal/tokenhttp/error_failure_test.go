package tokenhttp_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// The errors of net, crypto/tls and crypto/x509 with the results, and which of
// them errors.As still finds.
func TestFailure(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, tt := range []struct {
		name string
		err  error
		want tokenhttp.Error
	}{
		{"lookup", dial(&net.DNSError{Err: "no such host", Name: "hunter2"}), tokenhttp.Error{Kind: tokenhttp.Network, Reason: "its address cannot be looked up"}},
		{"refused", dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), tokenhttp.Error{Kind: tokenhttp.Network, Reason: "connection refused", Err: syscall.ECONNREFUSED}},
		{"slow dial", dial(os.ErrDeadlineExceeded), tokenhttp.Error{Kind: tokenhttp.Network, Reason: "the connection timed out", Err: os.ErrDeadlineExceeded}},
		{"closed", dial(net.ErrClosed), tokenhttp.Error{Kind: tokenhttp.Network, Reason: "dial tcp: use of closed network connection"}},
		{"proxy refuses", &net.OpError{Op: "proxyconnect", Net: "tcp", Err: dial(syscall.ECONNREFUSED)}, tokenhttp.Error{Kind: tokenhttp.Network, Reason: "the proxy: connection refused", Err: syscall.ECONNREFUSED}},
		{"ended", fmt.Errorf("read: %w", io.EOF), tokenhttp.Error{Kind: tokenhttp.Network, Reason: "the connection ended before the whole answer", Err: io.ErrUnexpectedEOF}},
		{"alert", &net.OpError{Op: "remote error", Err: errors.New("tls: bad record MAC")}, tokenhttp.Error{Kind: tokenhttp.TLS, Reason: "no TLS connection: remote error: tls: bad record MAC"}},
		{"alert of QUIC", tls.AlertError(40), tokenhttp.Error{Kind: tokenhttp.TLS, Reason: "no TLS connection: tls: handshake failure"}},
		{"authority", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, tokenhttp.Error{Kind: tokenhttp.TLS, Reason: "the certificate is signed by an authority that this machine does not trust"}},
		{"name", x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"hunter2"}}, Host: "sts.example"}, tokenhttp.Error{Kind: tokenhttp.TLS, Reason: "the certificate is for another host"}},
		{"expired", x509.CertificateInvalidError{Reason: x509.Expired, Detail: "hunter2"}, tokenhttp.Error{Kind: tokenhttp.TLS, Reason: "the certificate has expired or is not valid yet"}},
		{"constraints", x509.CertificateInvalidError{Reason: x509.CANotAuthorizedForThisName, Detail: "hunter2"}, tokenhttp.Error{Kind: tokenhttp.TLS, Reason: "the certificate is not valid"}},
		{"other", &tls.CertificateVerificationError{Err: errors.New("hunter2")}, tokenhttp.Error{Kind: tokenhttp.TLS, Reason: "the certificate is not valid"}},
		{"roots", x509.SystemRootsError{Err: errors.New("hunter2")}, tokenhttp.Error{Kind: tokenhttp.TLS, Reason: "this machine has no root certificates"}},
		{"not TLS", tls.RecordHeaderError{Msg: "hunter2"}, tokenhttp.Error{Kind: tokenhttp.TLS, Reason: "the host does not speak TLS"}},
		{"something else", errors.New("out of luck"), tokenhttp.Error{Kind: tokenhttp.Malformed, Reason: "out of luck"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := tokenhttp.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, fmt.Errorf("%w", tt.err) })}
			_, err := client.Post(t.Context(), post("https://sts.example/", newAssertion()))
			var got *tokenhttp.Error
			if !errors.As(err, &got) {
				t.Fatalf("Post = %v, want an *Error", err)
			}
			tt.want.Host = "sts.example"
			if diff := cmp.Diff(tt.want, *got, cmpopts.EquateErrors()); diff != "" {
				t.Errorf("Post (-want +got):\n%s", diff)
			}
		})
	}
}

// D06: the text of a RoundTripper's error is shown without secrets, and its
// values are not.
func TestTransportError(t *testing.T) {
	assertion := newAssertion()
	target := "https://sts.example/token?key=" + assertion[:40]
	cause := errors.New("gate closed for " + assertion)
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"plain", cause, "sts.example: gate closed for [redacted]"},
		{"with the URL", &url.Error{Op: "Post", URL: target, Err: cause}, "sts.example: gate closed for [redacted]"},
		{"with the query", errors.New("no route to " + target), "sts.example: no route to https://sts.example/token?[redacted]"},
		{"with control characters", errors.New("a\x1b[31m\r\nb"), `sts.example: a\x1b[31m\r\nb`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := tokenhttp.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, tt.err })}
			_, err := client.Post(t.Context(), post(target, assertion))
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("Post (-want +got):\n%s", diff)
			}
			if errors.Is(err, tt.err) {
				t.Error("the transport's error is within reach")
			}
			checkNoSecret(t, err, assertion)
		})
	}
	client := tokenhttp.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, nil })}
	_, err := client.Post(t.Context(), post(target, assertion))
	if diff := cmp.Diff(failed{tokenhttp.Malformed, 0, false}, asFailed(t, err)); diff != "" {
		t.Errorf("Post without an answer (-want +got):\n%s", diff)
	}
}
