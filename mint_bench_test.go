package oidctoken_test

import (
	"crypto"
	"crypto/rand"
	"testing"

	"github.com/oidctoken/oidctoken"
)

// hashOf holds the hash of each algorithm.
var hashOf = map[string]crypto.Hash{
	"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
	"ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512, "EdDSA": 0,
}

// digestFor returns a digest to sign.
func digestFor(alg string) []byte {
	if hashOf[alg] == 0 {
		return make([]byte, 1200)
	}
	return make([]byte, hashOf[alg].Size())
}

// minters returns the two functions that mint a token.
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

// constantIssuer returns an issuer whose signatures take no time.
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

// measured lists the algorithms of the benchmarks, one for each type of key.
var measured = []string{"RS256", "ES256", "EdDSA"}

func BenchmarkMint(b *testing.B) { benchmark(b, "Mint") }

func BenchmarkPrepared(b *testing.B) { benchmark(b, "Prepared.Mint") }

// benchmark mints with a real signature, and with a signature that takes no time, which
// shows the cost of this package.
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
