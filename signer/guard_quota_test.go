package signer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/signer"
)

// A service of 20 ms and 50 operations a second serves 64 callers with tokens
// for 40 scopes: with a cache of tokens, at least 50 times as many as with one
// call per token, and all but a thousandth of them at once. P7
func TestQuota(t *testing.T) {
	const during = 2 * time.Minute
	direct, _ := demand(t, during, func(issuer *oidctoken.Issuer) (mint, func()) { return issuer.Mint, func() {} })
	cached, stalled := demand(t, during, func(issuer *oidctoken.Issuer) (mint, func()) {
		cache := oidctoken.NewCache(issuer, oidctoken.CacheConfig{})
		return cache.Mint, cache.Close
	})
	t.Logf("in %v: %d tokens with one call each, %d with a cache, %d of them not at once", during, direct, cached, stalled)
	if cached < 50*direct {
		t.Errorf("%d tokens with a cache, want 50 times the %d with one call each", cached, direct)
	}
	if 1000*stalled > cached {
		t.Errorf("%d of %d callers waited for more than a millisecond, want a thousandth at most", stalled, cached)
	}
}

type mint = func(context.Context, oidctoken.Scope) (*oidctoken.Token, error)

// demand has 64 callers ask for tokens, each some 45 times a second, and counts
// those that they got, and those that took more than a millisecond.
func demand(t *testing.T, during time.Duration, by func(*oidctoken.Issuer) (mint, func())) (tokens, stalled int64) {
	var got, late atomic.Int64
	synctest.Test(t, func(t *testing.T) {
		service, guard := newKMS(), signer.NewGuard(signer.Limits{Rate: kmsQuota, InFlight: 64})
		version := must((&kmsProvisioner{service, guard}).Create(t.Context(), "ES256"))
		mint, closeAll := by(newIssuer(oidctoken.StaticKeys{{Signer: version.Signer}}))
		end := time.Now().Add(during)
		var wg sync.WaitGroup
		for caller := range uint64(64) {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(caller, 0)) // the same in every run
				for time.Now().Before(end) {
					scope := es256Scope()
					scope.Profile.Lifetime = time.Minute
					scope.Pipeline = &oidctoken.Pipeline{ID: fmt.Sprintf("pipeline%d", random.IntN(40))}
					began := time.Now()
					if _, err := mint(t.Context(), scope); err != nil {
						t.Errorf("Mint: %v", err)
						return
					}
					got.Add(1)
					if time.Since(began) > time.Millisecond {
						late.Add(1)
					}
					time.Sleep(20*time.Millisecond + time.Duration(random.IntN(int(4*time.Millisecond))))
				}
			})
		}
		wg.Wait()
		closeAll()
	})
	return got.Load(), late.Load()
}
