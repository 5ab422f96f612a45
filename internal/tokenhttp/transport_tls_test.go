package tokenhttp_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// The roots and the proxy are read from the environment once per process, so
// these tests make their requests in a child: this program with childTarget
// set to the URL.
const (
	childTarget = "TOKENHTTP_TEST_TARGET"
	childSecret = "assertion-of-the-child-process"
)

// outcome is the report of a child.
type outcome struct {
	failed
	OK   bool
	Text string // of the error
}

func child(target string) int {
	_, err := new(tokenhttp.Client).Post(context.Background(), post(target, childSecret))
	o := outcome{OK: err == nil}
	var e *tokenhttp.Error
	if errors.As(err, &e) {
		o.failed, o.Text = failed{e.Kind, e.Status, e.Temporary()}, fmt.Sprintf("%v %+v %#v", err, err, err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(o); err != nil {
		return 1
	}
	return 0
}

func runChild(t *testing.T, target string, env ...string) outcome {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(env, childTarget+"="+target, "SSL_CERT_DIR="+t.TempDir(), "GOCOVERDIR="+t.TempDir(), "GORACE=atexit_sleep_ms=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("child: %v: %s", err, stderr.String())
	}
	var o outcome
	if err := json.Unmarshal(out, &o); err != nil {
		t.Fatalf("child: %v: %s", err, out)
	}
	if stderr.Len() != 0 || strings.Contains(o.Text, childSecret) {
		t.Errorf("child: %s%s", stderr.String(), o.Text)
	}
	return o
}

// authority signs certificates for tests; file has its own.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der := a.sign(t, a.cert, key)
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) sign(t *testing.T, c *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// issue returns a certificate for 127.0.0.1 and sts.example, changed.
func (a *authority) issue(t *testing.T, change func(c *x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"sts.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	change(c)
	return tls.Certificate{Certificate: [][]byte{a.sign(t, c, key)}, PrivateKey: key}
}

// tlsServer answers {} and counts the requests that came through.
func tlsServer(t *testing.T, config *tls.Config) (url string, requests *int) {
	t.Helper()
	requests = new(int)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		*requests++
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, "{}")
	}))
	server.TLS = config
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, requests
}

// X18: TLS 1.2 or later, with a certificate that the system's roots verify;
// nothing in the environment lowers that.
func TestTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	same := func(*x509.Certificate) {}
	good := ca.issue(t, same)
	refused := outcome{failed: failed{tokenhttp.TLS, 0, false}}
	for _, tt := range []struct {
		name     string
		cert     tls.Certificate
		min, max uint16
		want     outcome
		text     string
	}{
		{"TLS 1.3", good, tls.VersionTLS13, tls.VersionTLS13, outcome{OK: true}, ""},
		{"TLS 1.2", good, tls.VersionTLS12, tls.VersionTLS12, outcome{OK: true}, ""},
		{"TLS 1.1", good, tls.VersionTLS10, tls.VersionTLS11, refused, "protocol version not supported"},
		{"foreign authority", other.issue(t, same), 0, 0, refused, "signed by an authority that this machine does not trust"},
		{"expired", ca.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), 0, 0, refused, "has expired"},
		{"for another host", ca.issue(t, func(c *x509.Certificate) { c.IPAddresses = nil; c.DNSNames = []string{childSecret} }), 0, 0, refused, "is for another host"},
		{"not for servers", ca.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), 0, 0, refused, "is not valid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, requests := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{tt.cert}, MinVersion: tt.min, MaxVersion: tt.max})
			got := runChild(t, url, "SSL_CERT_FILE="+ca.file, "GODEBUG=tls10server=1,tlsrsakex=1,x509sha1=1", "NODE_TLS_REJECT_UNAUTHORIZED=0", "CURL_INSECURE=1")
			if !strings.Contains(got.Text, tt.text) {
				t.Errorf("error %q, want one with %q", got.Text, tt.text)
			}
			got.Text = ""
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(outcome{})); diff != "" {
				t.Errorf("Post (-want +got):\n%s", diff)
			}
			if want := map[bool]int{true: 1}[tt.want.OK]; *requests != want {
				t.Errorf("the server got %d requests, want %d", *requests, want)
			}
		})
	}
}

// X18: a certificate that the machine does not trust is refused, with an empty
// environment, too.
func TestSelfSigned(t *testing.T) {
	url, requests := tlsServer(t, nil)
	assertion := newAssertion()
	_, err := new(tokenhttp.Client).Post(t.Context(), post(url, assertion))
	if diff := cmp.Diff(failed{tokenhttp.TLS, 0, false}, asFailed(t, err)); diff != "" {
		t.Errorf("Post = %v (-want +got):\n%s", err, diff)
	}
	if *requests != 0 {
		t.Errorf("the server got %d requests, want 0", *requests)
	}
	checkNoSecret(t, err, assertion)
}

func TestPlainServerForHTTPS(t *testing.T) {
	assertion := newAssertion()
	url := rawServer(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 "+assertion+"\r\n\r\n"); c.Close() })
	_, err := new(tokenhttp.Client).Post(t.Context(), post("https"+strings.TrimPrefix(url, "http"), assertion))
	if diff := cmp.Diff(failed{tokenhttp.TLS, 0, false}, asFailed(t, err)); diff != "" {
		t.Errorf("Post = %v (-want +got):\n%s", err, diff)
	}
	checkNoSecret(t, err, assertion)
}

// X18: a proxy of the environment learns the host's name, and nothing else.
func TestProxy(t *testing.T) {
	ca := newAuthority(t)
	url, requests := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, func(*x509.Certificate) {})}})
	seen, proxy := connectProxy(t, strings.TrimPrefix(url, "https://"))
	got := runChild(t, "https://sts.example/token", "SSL_CERT_FILE="+ca.file, "HTTPS_PROXY="+proxy, "HTTP_PROXY="+proxy)
	if !got.OK || *requests != 1 {
		t.Errorf("Post = %+v with %d requests, want one that succeeds", got, *requests)
	}
	if text := seen(); !strings.HasPrefix(text, "CONNECT sts.example:443 HTTP/1.1\r\n") || shown(text, childSecret) != "" {
		t.Errorf("the proxy saw %q", text)
	}

	// Plain HTTP to loopback, where the assertion would be readable, never
	// passes a proxy.
	plain := rawServer(t, answer("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}"))
	before := seen()
	got = runChild(t, plain, "HTTPS_PROXY="+proxy, "HTTP_PROXY="+proxy, "ALL_PROXY="+proxy)
	if !got.OK || seen() != before {
		t.Errorf("Post = %+v, the proxy saw %q; want an answer without it", got, strings.TrimPrefix(seen(), before))
	}
}

// D06: the error names the proxy when the proxy fails, without the password in
// its address.
func TestProxyFails(t *testing.T) {
	refusal := func(status int) string {
		return rawServer(t, answer(fmt.Sprintf("HTTP/1.1 %d hunter2\r\n\r\n", status)))
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, tt := range []struct {
		name, proxy string
		want        failed
		text        string
	}{
		{"wants a password", refusal(407), failed{tokenhttp.Malformed, 0, false}, ": the proxy refused to connect: HTTP 407"},
		{"is busy", refusal(503), failed{tokenhttp.Network, 0, true}, ": the proxy refused to connect: HTTP 503"},
		{"echoes its credentials", rawServer(t, answer("HTTP/1.1 4x7 dXNlcjpodW50ZXIy\r\n\r\n")), failed{tokenhttp.Malformed, 0, false}, "malformed HTTP status code …"},
		{"does not listen", "http://" + closed.Addr().String(), failed{tokenhttp.Network, 0, true}, "sts.example: the proxy: connection refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := runChild(t, "https://sts.example/token", "HTTPS_PROXY="+strings.Replace(tt.proxy, "://", "://user:hunter2@", 1))
			if diff := cmp.Diff(tt.want, got.failed); diff != "" {
				t.Errorf("Post (-want +got):\n%s", diff)
			}
			if !strings.Contains(got.Text, tt.text) || strings.Contains(got.Text, "hunter2") || strings.Contains(got.Text, "dXNlcjpodW50ZXIy") {
				t.Errorf("Post = %s, want %q and no password", got.Text, tt.text)
			}
		})
	}
}

// connectProxy tunnels every CONNECT to target, and records the bytes that it
// reads.
func connectProxy(t *testing.T, target string) (seen func() string, url string) {
	var (
		mu  sync.Mutex
		all bytes.Buffer
	)
	url = rawServer(t, func(c net.Conn) {
		defer c.Close()
		head := make([]byte, 0, 4096)
		for !bytes.HasSuffix(head, []byte("\r\n\r\n")) && len(head) < cap(head) {
			n, err := c.Read(head[len(head) : len(head)+1])
			if err != nil {
				return
			}
			head = head[:len(head)+n]
		}
		up, err := net.Dial("tcp", target)
		if err != nil {
			t.Errorf("proxy: %v", err)
			return
		}
		defer up.Close()
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		mu.Lock()
		all.Write(head)
		mu.Unlock()
		var wg sync.WaitGroup
		wg.Go(func() { io.Copy(c, up); c.Close() })
		io.Copy(up, io.TeeReader(c, locked{&mu, &all}))
		up.Close()
		wg.Wait()
	})
	return func() string { mu.Lock(); defer mu.Unlock(); return all.String() }, strings.TrimSuffix(url, "/token")
}

type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
