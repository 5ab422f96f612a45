//go:build unix

package main_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// P09: the issuer that the runner serves over TLS speaks TLS 1.2 and later
// only, although the standard library would allow 1.0.
func TestTLSVersions(t *testing.T) {
	t.Setenv("GODEBUG", "tls10server=1")
	cert, key := certificate(t)
	file, out := step(t, "echo ready\nread word <\"$OUT/fifo\"", "files:", `  token: <+secrets.getJWT("mine")>`)
	file = strings.Replace(file, "echo ready", `cp "$STEP_DIR/token" "$OUT/token"; echo ready`, 1) +
		"issuer: {tls: {cert: " + cert + ", key: " + key + "}}\n"
	fifo := filepath.Join(out, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	command := start(t, writeFile(t, file))
	var stderr bytes.Buffer
	command.Stderr = &stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v; %s", line, err, stderr.String())
	}
	address := issuerAddress(t, read(t, out, "token"))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(read(t, cert)))
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, MinVersion: version, MaxVersion: version}) // #nosec G402 -- to be refused
		if err == nil {
			conn.Close()
		}
		if (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
	if err := os.WriteFile(fifo, []byte("done\n"), 0o600); err != nil {
		t.Error(err)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("%v: %s", err, stderr.String())
	}
}

// issuerAddress returns the address of a JWT's issuer.
func issuerAddress(t *testing.T, jwt string) string {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(jwt, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(claims.Issuer)
	if err != nil || u.Scheme != "https" {
		t.Fatalf("the issuer is %q: %v", claims.Issuer, err)
	}
	return u.Host
}
