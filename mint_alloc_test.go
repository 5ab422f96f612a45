package oidctoken_test

import (
	"crypto/rand"
	"testing"
)

// A token costs two allocations more than a signature of the standard library: the Token
// with its text, and the converted signature.
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
					t.Errorf("%s allocates %v times, the signature %v times: want at most 2 more", name, got, raw)
				}
			}
		})
	}
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
				t.Errorf("%s, %s allocates %v times, want at most 2", alg, name, got)
			}
		}
	}
}
