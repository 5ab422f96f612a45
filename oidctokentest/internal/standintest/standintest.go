// Package standintest has the helpers that the tests of the stand-ins share.
package standintest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// RSAKey returns the RSA key of oidctokentest.NewIssuer, because a new one takes
// long to make.
func RSAKey(t testing.TB) (key oidctoken.Key) {
	t.Helper()
	oidctokentest.NewIssuer(t, func(c *oidctoken.Config) { key = c.Keys.(oidctoken.StaticKeys)[0] })
	return key
}

// Call sends a request to h and returns the answer.
func Call(t testing.TB, h http.Handler, method, path string, header http.Header, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Sign makes a JWT of any header and claims, with an RSA key.
func Sign(t testing.TB, key oidctoken.Key, header, claims map[string]any) string {
	t.Helper()
	var parts []string
	for _, v := range []any{header, claims} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(b))
	}
	digest := sha256.Sum256([]byte(strings.Join(parts, ".")))
	sig, err := key.Signer.Sign(t.Context(), digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(append(parts, base64.RawURLEncoding.EncodeToString(sig)), ".")
}

// Counting counts the requests for JWK Sets, and fails the next Fail requests.
type Counting struct {
	JWKS, Fail atomic.Int32
	Next       http.RoundTripper
}

func (c *Counting) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.Fail.Load() > 0 {
		c.Fail.Add(-1)
		return nil, errors.New("no network")
	}
	if strings.HasSuffix(r.URL.Path, "/jwks.json") {
		c.JWKS.Add(1)
	}
	return c.Next.RoundTrip(r)
}

// ServeIssuer runs the issuer of a host, with an ES256 key. The caller closes the
// server.
func ServeIssuer() (*oidctoken.Issuer, *httptest.Server) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL:     "http://" + server.Listener.Addr().String(),
		Keys:    oidctoken.StaticKeys{{Signer: signer}},
		Profile: oidctoken.Profile{Algorithms: []string{"ES256"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	server.Config.Handler = issuer
	server.Start()
	return issuer, server
}
