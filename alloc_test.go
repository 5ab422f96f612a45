package oidctoken_test

import (
	"crypto"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/oidctoken/oidctoken"
)

// hashOf is the hash of each algorithm.
var hashOf = map[string]crypto.Hash{
	"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
	"ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512, "EdDSA": 0,
}

// digestFor is something to sign.
func digestFor(alg string) []byte {
	if hashOf[alg] == 0 {
		return make([]byte, 1200)
	}
	return make([]byte, hashOf[alg].Size())
}

// A token costs two allocations above the signature, which is the standard
// library's: its text with the Token, and what the signer's answer becomes.
func TestMintAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := inStage("deployment")
	for alg, key := range keyFor {
		t.Run(alg, func(t *testing.T) {
			digest := digestFor(alg)
			raw := testing.AllocsPerRun(100, func() {
				if _, err := key().Sign(rand.Reader, digest, hashOf[alg]); err != nil {
					t.Fatal(err)
				}
			})
			for name, try := range minters(t, issuerFor(t, alg), s) {
				if got := testing.AllocsPerRun(100, func() {
					if _, err := try(); err != nil {
						t.Fatal(err)
					}
				}); got > raw+2 {
					t.Errorf("%s allocates %v times, the signature %v times: want 2 more at most", name, got, raw)
				}
			}
		})
	}
}

// minters are both ways to a token.
func minters(t testing.TB, issuer *oidctoken.Issuer, s oidctoken.Scope) map[string]func() (*oidctoken.Token, error) {
	t.Helper()
	prepared, err := issuer.Prepare(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	return map[string]func() (*oidctoken.Token, error){
		"Mint":          func() (*oidctoken.Token, error) { return issuer.Mint(ctx, s) },
		"Prepared.Mint": func() (*oidctoken.Token, error) { return prepared.Mint(ctx) },
	}
}

// constantIssuer is an issuer whose signatures cost nothing.
func constantIssuer(t testing.TB, alg string) *oidctoken.Issuer {
	t.Helper()
	key := keyFor[alg]()
	signature, err := key.Sign(rand.Reader, digestFor(alg), hashOf[alg])
	if err != nil {
		t.Fatal(err)
	}
	return newIssuer(t, oidctoken.Config{
		Keys:    oidctoken.StaticKeys{{Signer: oidctoken.ConstantSigner(key.Public(), signature), Algorithm: alg}},
		Profile: oidctoken.Profile{Algorithms: []string{alg}},
	})
}

func TestMintAllocationsWithoutSignature(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for alg := range keyFor {
		for name, try := range minters(t, constantIssuer(t, alg), inStage("deployment")) {
			if got := testing.AllocsPerRun(100, func() {
				if _, err := try(); err != nil {
					t.Fatal(err)
				}
			}); got > 2 {
				t.Errorf("%s, %s allocates %v times, want 2 at most", alg, name, got)
			}
		}
	}
}

// writer is a ResponseWriter that is used again, as a server's is.
type writer struct {
	header http.Header
	status int
	bytes  int
}

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) { w.status = status }

func (w *writer) Write(b []byte) (int, error) { w.bytes += len(b); return len(b), nil }

func (w *writer) WriteString(s string) (int, error) { w.bytes += len(s); return len(s), nil }

func TestServeHTTPAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	issuer := newIssuer(t, oidctoken.Config{Keys: allAlgorithms()})
	for _, path := range []string{discovery, jwks} {
		etag := get(issuer, "GET", path).Header.Get("Etag")
		for _, tt := range []struct{ method, match string }{{"GET", ""}, {"HEAD", ""}, {"GET", etag}, {"GET", `"x", W/` + etag}} {
			r := httptest.NewRequest(tt.method, path, nil)
			r.Header.Set("If-None-Match", tt.match)
			w := &writer{header: http.Header{}}
			got := testing.AllocsPerRun(100, func() {
				clear(w.header)
				w.bytes, w.status = 0, 200
				issuer.ServeHTTP(w, r)
			})
			if served := w.bytes > 0; served != (tt.method == "GET" && tt.match == "") || (w.status == 304) != (tt.match != "") {
				t.Errorf("%s %s: status %d, %d bytes", tt.method, path, w.status, w.bytes)
			}
			if got != 0 {
				t.Errorf("%s %s allocates %v times, want 0", tt.method, path, got)
			}
		}
	}
}
