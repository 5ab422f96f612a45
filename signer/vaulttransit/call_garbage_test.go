package vaulttransit_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/vaulttransit"
)

// T07: a call that met a closing connection is a temporary failure, and so is
// every failure that is not known to be garbage.
func TestConnectionEnds(t *testing.T) {
	v := startVault(t)
	v.addKey("ci", "ecdsa-p256")
	for _, text := range []string{
		"http: server closed idle connection",
		"http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR, debug=\"\"",
		"http2: client connection lost",
		"something new",
	} {
		config := v.config()
		config.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost {
				return nil, errors.New(text)
			}
			return http.DefaultTransport.RoundTrip(r)
		})
		s, err := vaulttransit.New(t.Context(), must(vaulttransit.NewClient(config)), "ci", 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = signOnce(t.Context(), s)
		if diff := diffFailure(failure{Op: "sign data", Kind: signer.Unavailable}, text[:8], err); diff != "" {
			t.Errorf("%s: Sign (-want +got):\n%s", text, diff)
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// T07: an answer that is not HTTP, or not TLS, is no temporary failure.
func TestGarbageOnTheWire(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	for _, tt := range []struct{ name, scheme, answer string }{
		{"another protocol", "http", "SSH-2.0-OpenSSH_9.9\r\n"},
		{"no status", "http", "HTTP/1.1 OK\r\n\r\n"},
		{"no version", "http", "HTTP/x 200 OK\r\n\r\n"},
		{"a malformed header line", "http", head + "no colon\r\n\r\n"},
		{"no length", "http", head + "Content-Length: x\r\n\r\n"},
		{"an empty length", "http", head + "Content-Length: \r\n\r\n"},
		{"another encoding", "http", head + "Transfer-Encoding: br\r\n\r\n"},
		{"no end of headers", "http", head + strings.Repeat("X: "+strings.Repeat("x", 4000)+"\r\n", 4000)},
		{"no chunk", "http", head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"},
		{"an empty chunk length", "http", head + "Transfer-Encoding: chunked\r\n\r\n;x\r\n"},
		{"a huge chunk", "http", head + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"},
		{"a chunk without end", "http", head + "Transfer-Encoding: chunked\r\n\r\n1\r\n{xx\r\n"},
		{"HTTP for TLS", "https", head + "\r\n"},
		{"neither for TLS", "https", "SSH-2.0-OpenSSH_9.9\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := must(net.Listen("tcp", "127.0.0.1:0"))
			served := make(chan struct{})
			go func() {
				defer close(served)
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				if _, err := conn.Read(make([]byte, 4096)); err != nil { // the request
					return
				}
				io.WriteString(conn, tt.answer) // as much as is taken
				io.Copy(io.Discard, conn)       // until the client goes
			}()
			config := vaulttransit.Config{Address: tt.scheme + "://" + l.Addr().String(), Token: staticToken(vaultToken)}
			_, err := vaulttransit.New(t.Context(), must(vaulttransit.NewClient(config)), "ci", 1, nil)
			if diff := diffFailure(failure{Op: "read key", Kind: signer.Malformed}, "", err); diff != "" {
				t.Errorf("New: %v (-want +got):\n%s", err, diff)
			}
			l.Close()
			<-served
		})
	}
}
