package oidctoken_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/oidctoken/oidctoken"
)

// A Prepared hashes how its tokens begin once for each header, while the keys
// and with them the hash may change between any two of its tokens: each token
// verifies with the key that it names.
func TestPreparedFollowsKeys(t *testing.T) {
	var rings [][]oidctoken.Key
	var algorithms []string
	for alg, key := range keyFor {
		rings = append(rings, []oidctoken.Key{{ID: alg, Algorithm: alg, Signer: memory(key())}})
		algorithms = append(algorithms, alg)
	}
	slices.Sort(algorithms)
	var turn atomic.Uint64
	issuer := newIssuer(t, oidctoken.Config{
		Keys: keysFunc(func(context.Context) ([]oidctoken.Key, error) {
			return rings[turn.Add(1)%uint64(len(rings))], nil
		}),
		Profile: oidctoken.Profile{Algorithms: algorithms},
	})
	prepared, err := issuer.Prepare(t.Context(), full())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 6 * len(rings) {
				token, err := prepared.Mint(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				alg := token.KeyID()
				if !verifyPlainly(t, token.JWT(), alg, keyFor[alg]().Public()) {
					t.Errorf("a token of %s does not verify", alg)
				}
			}
		})
	}
	wg.Wait()
}
