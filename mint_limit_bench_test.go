//go:build unix

package oidctoken_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/blocks"
)

// BenchmarkLimit compares Mint, with a signature that takes no time, to the work that every
// token needs: a digest, base64url, random bytes, the clock and a copy.
// Run it alone: go test -run '^$' -bench Limit -benchtime 1x .
func BenchmarkLimit(b *testing.B) {
	for b.Loop() {
		for _, alg := range measured {
			ways := minters(b, constantIssuer(b, alg), typical())
			mint := func(way string) blocks.Candidate {
				return blocks.Candidate{Name: alg + " " + way, Run: func(n int) {
					for range n {
						if _, err := ways[way](); err != nil {
							b.Fatal(err)
						}
					}
				}}
			}
			token, err := ways["Mint"]()
			if err != nil {
				b.Fatal(err)
			}
			plan := blocks.Plan{Rounds: 400, Tries: 5}
			r := plan.Compare(neededWork(token.JWT(), hashOf[alg] != 0), mint("Mint"), mint("Prepared.Mint"))
			if err := r.Print(os.Stdout); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(r.Ratio[1], alg+"/needed")
		}
	}
}

// neededWork does the work that every token needs.
func neededWork(jwt string, digest bool) blocks.Candidate {
	header, rest, _ := strings.Cut(jwt, ".")
	body, signature, _ := strings.Cut(rest, ".")
	payload := make([]byte, base64.RawURLEncoding.DecodedLen(len(body)))
	raw := make([]byte, base64.RawURLEncoding.DecodedLen(len(signature)))
	out := make([]byte, 0, len(jwt))
	var (
		jti  [16]byte
		sum  [sha256.Size]byte
		now  time.Time
		text string
	)
	return blocks.Candidate{Name: fmt.Sprintf("needed work (%d bytes)", len(payload)), Run: func(n int) {
		for range n {
			rand.Read(jti[:])
			now = time.Now()
			out = append(append(out[:0], header...), '.')
			out = base64.RawURLEncoding.AppendEncode(out, payload)
			if digest {
				sum = sha256.Sum256(out)
			}
			out = base64.RawURLEncoding.AppendEncode(append(out, '.'), raw)
			text = string(out)
		}
		_, _, _ = sum, now, text
	}}
}

// typical returns the scope of a deployment. With issuerURL, its payload has 945 bytes and
// 25 claims besides the registered claims. internal/bench has the same scope.
func typical() oidctoken.Scope {
	return oidctoken.Scope{
		Audience:     "https://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/ci/providers/acme",
		Account:      oidctoken.Entity{ID: "acme", UID: "4d3f8a21"},
		Organization: oidctoken.Entity{ID: "payments"},
		Project:      oidctoken.Entity{ID: "ledger"},
		Pipeline:     &oidctoken.Pipeline{ID: "release", Ref: "refs/heads/main"},
		Execution:    &oidctoken.Execution{ID: "0190b2c4-6a1e-7f3d-9c5b-2d8e4f6a7b90", Sequence: "42"},
		Trigger:      &oidctoken.Trigger{Type: "MANUAL", ByID: "u-17"},
		Connector:    &oidctoken.Connector{ID: "gcp_prod", Name: "Production", Level: oidctoken.AccountLevel},
		Stage: oidctoken.Deployment{
			ID:             "deploy",
			Service:        &oidctoken.Entity{ID: "checkout", Name: "Checkout"},
			Environment:    &oidctoken.Environment{ID: "prod", Type: oidctoken.Production},
			Infrastructure: &oidctoken.Infrastructure{ID: "k8s_eu", Type: "Kubernetes"},
			Artifact:       &oidctoken.Artifact{Tag: "v1.4.2"},
		},
		Step: &oidctoken.Step{ID: "apply", Type: "Run"},
	}
}
