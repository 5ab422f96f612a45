package conformance_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// proxy is an HTTP proxy on loopback that itself serves some hosts, under its
// own CA, and connects to no other. So files that name Google's hosts can be
// used unchanged.
type proxy struct {
	url    string
	caFile string // PEM
	ca     *authority
	hosts  *httptest.Server // TLS; serves every host

	mu      sync.Mutex
	refused []string
}

// newProxy returns a proxy that answers for the hosts that has reports.
func newProxy(t *testing.T, has func(host string) bool, handler http.Handler) *proxy {
	t.Helper()
	p := &proxy{ca: newAuthority(t), caFile: filepath.Join(t.TempDir(), "ca.pem")}
	if err := os.WriteFile(p.caFile, p.ca.pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	quiet := log.New(io.Discard, "", 0) // of clients that hang up; they report their own errors
	p.hosts = httptest.NewUnstartedServer(handler)
	p.hosts.EnableHTTP2 = true // gRPC needs it
	p.hosts.TLS = &tls.Config{GetCertificate: p.ca.certificate}
	p.hosts.Config.ErrorLog = quiet
	p.hosts.StartTLS()
	t.Cleanup(p.hosts.Close)
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, port, err := net.SplitHostPort(r.Host)
		if r.Method != http.MethodConnect || err != nil || port != "443" || !has(host) {
			p.refuse(r)
			http.Error(w, "this proxy does not lead there", http.StatusForbidden)
			return
		}
		p.tunnel(w)
	}))
	front.Config.ErrorLog = quiet
	front.Start()
	t.Cleanup(front.Close)
	p.url = front.URL
	return p
}

func (p *proxy) refuse(r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = append(p.refused, describe(r))
}

const withCredentials = " with credentials"

// describe returns the method, host and path of r, without anything secret.
func describe(r *http.Request) string {
	what := r.Method + " " + r.Host + r.URL.Path
	if r.Header.Get("Authorization") != "" || r.Header.Get("Proxy-Authorization") != "" {
		what += withCredentials
	}
	return what
}

// Refused returns the requests for hosts that the proxy does not serve.
func (p *proxy) Refused() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.refused...)
}

// tunnel joins a client and the server of all hosts. When either end closes,
// both are closed.
func (p *proxy) tunnel(w http.ResponseWriter) {
	inner, err := net.Dial("tcp", p.hosts.Listener.Addr().String())
	if err != nil {
		http.Error(w, "the hosts are gone", http.StatusBadGateway)
		return
	}
	outer, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		inner.Close()
		return
	}
	closeBoth := func() { inner.Close(); outer.Close() }
	// By hand, because an answer to CONNECT has no Transfer-Encoding (RFC 9110,
	// section 9.3.6): gRPC for Go would wait for the body's end.
	if _, err := io.WriteString(outer, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		closeBoth()
		return
	}
	go func() {
		defer closeBoth()
		_, _ = io.Copy(inner, buffered) // a client that hangs up needs no answer
	}()
	go func() {
		defer closeBoth()
		_, _ = io.Copy(outer, inner)
	}()
}

// authority is a CA that makes a certificate for every requested name.
type authority struct {
	key *ecdsa.PrivateKey
	crt *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "conformance"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	crt, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, crt}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.crt.Raw})
}

// serve serves https on an address of loopback.
func (a *authority) serve(t *testing.T, handler http.Handler) *httptest.Server {
	t.Helper()
	certificate, err := a.issue(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{*certificate}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func (a *authority) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if hello.ServerName == "" {
		return nil, errors.New("the client names no host")
	}
	return a.issue(&x509.Certificate{DNSNames: []string{hello.ServerName}})
}

// issue makes a server's certificate for the names of template.
func (a *authority) issue(template *x509.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = a.crt.NotBefore, a.crt.NotAfter
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.crt, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.crt.Raw}, PrivateKey: key}, nil
}

func isGoogle(host string) bool {
	return strings.HasSuffix(host, ".googleapis.com") || host == "gcr.io"
}
