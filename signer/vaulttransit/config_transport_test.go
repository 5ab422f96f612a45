package vaulttransit_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/vaulttransit"
)

// A connection serves one call after the other, also after an error.
func TestConnectionIsKept(t *testing.T) {
	v := newVault()
	v.Server.Close()
	var made atomic.Int64
	v.Server = httptest.NewUnstartedServer(v)
	v.Server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			made.Add(1)
		}
	}
	v.Server.Start()
	defer v.Close()
	v.addKey("ci", "ecdsa-p256")
	s := newSigner(t, v, "ci", 1)
	for _, status := range []int{403, 0, 404, 0} {
		v.answer(nil)
		if status != 0 {
			v.answerWith("sign/", status, nil, errorsBody("x"))
		}
		if _, err := signOnce(t.Context(), s); (err != nil) != (status != 0) {
			t.Errorf("Sign answered with %d = %v", status, err)
		}
	}
	if n := made.Load(); n != 1 {
		t.Errorf("%d connections for 5 calls in a row, want 1", n)
	}
}

// Plain http goes to no other machine, even if a resolver has another address
// for localhost. The address is refused before the connection is made.
func TestLoopbackAlone(t *testing.T) {
	_, err := vaulttransit.NewTransport(true).DialContext(t.Context(), "tcp", "192.0.2.1:8200")
	if err == nil || !strings.Contains(err.Error(), "plain http leads to an address that is not loopback") {
		t.Errorf("DialContext = %v", err)
	}
	v := startVault(t)
	conn, err := vaulttransit.NewTransport(true).DialContext(t.Context(), "tcp", strings.TrimPrefix(v.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// The errors of a host's own Transport are redacted as well.
func TestTransportMisbehaves(t *testing.T) {
	v := startVault(t)
	for name, tt := range map[string]struct {
		transport roundTripper
		want      failure
		words     string
	}{
		"nothing": {func(*http.Request) (*http.Response, error) { return nil, nil },
			failure{Op: "read key", Kind: signer.Malformed}, "neither an answer nor an error"},
		"no body": {func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 200}, nil },
			failure{Op: "read key", Kind: signer.Malformed}, "neither an answer nor an error"},
		"inflated": {func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Uncompressed: true, Body: http.NoBody}, nil
		}, failure{Op: "read key", Code: "200", Kind: signer.Malformed}, "compressed"},
		"panics": {func(*http.Request) (*http.Response, error) { panic(vaultToken) },
			failure{Op: "read key", Kind: signer.Malformed}, "panic of type string"},
	} {
		config := v.config()
		config.Transport = tt.transport
		_, err := vaulttransit.New(t.Context(), must(vaulttransit.NewClient(config)), "ci", 1, nil)
		if diff := diffFailure(tt.want, tt.words, err); diff != "" {
			t.Errorf("%s: New (-want +got):\n%s", name, diff)
		}
	}
}

// A key that was rotated often is read as long as its answer is of some size.
func TestManyVersions(t *testing.T) {
	v := startVault(t)
	v.addKey("ci", "ed25519")
	for range 189 {
		v.rotate(t, "ci")
	}
	if _, err := signEd25519(t, newSigner(t, v, "ci", 190)); err != nil {
		t.Errorf("Sign with version 190: %v", err)
	}
	for range 30 {
		v.rotate(t, "ci")
	}
	_, err := vaulttransit.New(t.Context(), v.client(), "ci", 220, nil)
	if diff := diffFailure(failure{Op: "read key", Kind: signer.Malformed}, "too many members", err); diff != "" {
		t.Errorf("New of version 220 (-want +got):\n%s", diff)
	}
	v.with(func(keys map[string]*transitKey) { keys["ci"].minDecryption = 100 })
	newSigner(t, v, "ci", 220)
}

func signEd25519(t *testing.T, s *vaulttransit.Signer) ([]byte, error) {
	t.Helper()
	return s.Sign(t.Context(), []byte("message"), nil)
}
