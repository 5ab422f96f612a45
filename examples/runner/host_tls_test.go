package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate makes a certificate for 127.0.0.1 that is its own authority.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test issuer"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret)
}

// With a certificate the issuer's identifier is https, and a client that trusts
// the certificate's authority accepts its tokens.
func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	file, _ := step(t, `echo "token ${#TOKEN}"`, `  TOKEN: <+secrets.getGCPAccessToken("account.gcp_prod")>`)
	file += "issuer: {tls: {cert: " + cert + ", key: " + key + "}}\n"
	path := writeFile(t, file)

	preview := finish(t, start(t, "-preview", path))
	if preview.code != 0 || !strings.Contains(preview.stdout, `"claims":{"iss":"https://127.0.0.1:`) {
		t.Errorf("-preview: %+v", preview)
	}
	trusting := start(t, path)
	trusting.Env = append(trusting.Env, "SSL_CERT_FILE="+cert, "SSL_CERT_DIR="+t.TempDir())
	if r := finish(t, trusting); r.code != 0 || !strings.HasPrefix(r.stdout, "token ") || strings.HasSuffix(r.stdout, " 0\n") {
		t.Errorf("with the authority: %+v", r)
	}
	other := start(t, path)
	other.Env = append(other.Env, "SSL_CERT_FILE="+os.DevNull, "SSL_CERT_DIR="+t.TempDir())
	if r := finish(t, other); r.code != 3 || r.stdout != "" || !strings.Contains(r.stderr, "gcp: sts:token: ") {
		t.Errorf("without the authority: %+v", r)
	}
}
