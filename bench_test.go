package oidctoken_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/oidctoken/oidctoken"
)

// measured are the algorithms of the benchmarks: one of each kind of key.
var measured = []string{"RS256", "ES256", "EdDSA"}

func BenchmarkMint(b *testing.B) { benchmark(b, "Mint") }

func BenchmarkPrepared(b *testing.B) { benchmark(b, "Prepared.Mint") }

// benchmark mints with a real signature and, to show this package's own work,
// with one that costs nothing.
func benchmark(b *testing.B, way string) {
	for _, alg := range measured {
		for name, issuer := range map[string]*oidctoken.Issuer{alg: issuerFor(b, alg), alg + "/constant": constantIssuer(b, alg)} {
			b.Run(name, func(b *testing.B) {
				mint := minters(b, issuer, inStage("deployment"))[way]
				b.ReportAllocs()
				for b.Loop() {
					if _, err := mint(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkServeHTTP(b *testing.B) {
	issuer := newIssuer(b, oidctoken.Config{Keys: allAlgorithms()})
	for name, path := range map[string]string{"discovery": discovery, "jwks": jwks} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			w := &writer{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				issuer.ServeHTTP(w, r)
			}
		})
	}
}
