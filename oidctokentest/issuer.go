package oidctokentest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
)

// Issuer is an issuer on a loopback address for a test.
type Issuer struct {
	*oidctoken.Issuer
	// URL is its address, http://127.0.0.1:PORT, and its issuer identifier, unless
	// the test configured another one.
	URL string
	// Client is a client for it.
	Client *http.Client
}

// NewIssuer returns an issuer with an RS256 and an ES256 key, which serves its
// discovery document and JWK Set until the test ends. Each configure may change
// its configuration, in order: they are given one with URL and Keys (of type
// [oidctoken.StaticKeys]) filled in. The RSA key is made once per process, the
// other at every call.
func NewIssuer(tb testing.TB, configure ...func(*oidctoken.Config)) *Issuer {
	tb.Helper()
	shared, err := sharedRSA()
	if err != nil {
		tb.Fatalf("oidctokentest: RS256 key: %v", err)
	}
	server := httptest.NewUnstartedServer(nil)
	tb.Cleanup(server.Close)
	c := oidctoken.Config{
		URL:  "http://" + server.Listener.Addr().String(),
		Keys: oidctoken.StaticKeys{shared, NewKey(tb, "ES256")},
	}
	for _, f := range configure {
		f(&c)
	}
	issuer, err := oidctoken.NewIssuer(c)
	if err != nil {
		tb.Fatal(err)
	}
	server.Config.Handler = issuer
	server.Config.ReadHeaderTimeout = 10 * time.Second
	server.Start()
	return &Issuer{Issuer: issuer, URL: server.URL, Client: server.Client()}
}

// NewKey returns a new key in memory, without a schedule, for one of the
// algorithms of [oidctoken.Key]. RSA keys have 2048 bits and take up to a
// second to make.
func NewKey(tb testing.TB, algorithm string) oidctoken.Key {
	tb.Helper()
	key, err := newKey(algorithm)
	if err != nil {
		tb.Fatalf("oidctokentest: %s key: %v", algorithm, err)
	}
	return key
}

// sharedRSA is the one thing here that is slow to make.
var sharedRSA = sync.OnceValues(func() (oidctoken.Key, error) { return newKey("RS256") })

func newKey(algorithm string) (oidctoken.Key, error) {
	private, err := newPrivate(algorithm)
	if err != nil {
		return oidctoken.Key{}, err
	}
	signer, err := oidctoken.NewSigner(private)
	if err != nil {
		return oidctoken.Key{}, err
	}
	return oidctoken.Key{Signer: signer, Algorithm: algorithm}, nil
}

func newPrivate(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case "RS256", "RS384", "RS512":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, fmt.Errorf("there is no algorithm %q", algorithm)
}
