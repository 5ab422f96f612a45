package oidctoken_test

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
)

// These are the limits of a cloud's key management service: a signature takes 20 ms, and
// 50 signatures are allowed per second.
const (
	quotaLatency = 20 * time.Millisecond
	quotaRate    = 50
)

// P7: 64 callers need tokens of 40 scopes, 64 times as many per second as the signer can
// sign. They get at least 50 times as many as the signer can sign, and at most one call of
// 1,000 waits. The test runs in virtual time.
func TestQuotaBoundSigner(t *testing.T) {
	const (
		scopes, callers = 40, 64
		every           = quotaLatency // time for which a caller uses a token
		lifetime        = 2 * time.Minute
	)
	span := 2 * time.Minute
	if raceEnabled {
		span = 20 * time.Second // slow under the race detector, so a shorter span; the first waits then count for more
	}
	synctest.Test(t, func(t *testing.T) {
		quota := make(chan struct{}, 1)
		signer := newCounting(edKey())
		signer.before = func(ctx context.Context, _ int) error {
			select {
			case quota <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			time.Sleep(time.Second / quotaRate)
			<-quota
			return nil
		}
		issuer := live(t, signer, oidctoken.Config{Profile: oidctoken.Profile{Lifetime: lifetime}})
		cache := newCache(t, issuer, oidctoken.CacheConfig{})

		var (
			all           sync.WaitGroup
			mu            sync.Mutex
			tokens, waits int
		)
		start := time.Now()
		for range callers {
			all.Go(func() {
				var got, waited int
				for time.Since(start) < span {
					begun := time.Now()
					token, err := cache.Mint(t.Context(), inAccount(fmt.Sprintf("account_%d", rand.IntN(scopes))))
					if err != nil {
						t.Error(err)
						return
					}
					if !token.Expires().After(time.Now().Add((lifetime-backdate)/2 - time.Second)) {
						t.Errorf("got a token that expires at %v, at %v", token.Expires(), time.Now())
						return
					}
					got++
					if time.Now().After(begun) {
						waited++
					}
					time.Sleep(every)
				}
				mu.Lock()
				defer mu.Unlock()
				tokens += got
				waits += waited
			})
		}
		all.Wait()
		byCalls := int(time.Since(start).Seconds() * quotaRate)
		t.Logf("%d tokens, %d at one signature each; %d signatures; %d waited", tokens, byCalls, signer.signatures(), waits)
		if tokens < 50*byCalls {
			t.Errorf("%d tokens, want at least 50 times %d", tokens, byCalls)
		}
		if most := scopes * (1 + int(span/(lifetime*2/5))); signer.signatures() > most {
			t.Errorf("%d signatures, want at most %d: one for each scope and renewal", signer.signatures(), most)
		}
		if waits*1000 > tokens && !raceEnabled {
			t.Errorf("%d of %d calls waited, want at most one in 1,000", waits, tokens)
		}
	})
}

// No caller waits for a renewal that the signer could have made in time, also where
// tokens live for seconds: of 1,000 callers at most one waits over 10 ms, with
// the first token of each scope counted.
func TestShortLifetime(t *testing.T) {
	const (
		scopes, callers = 40, 64
		lifetime        = 20 * time.Second
	)
	span := 3 * time.Minute
	if raceEnabled {
		span = 30 * time.Second
	}
	synctest.Test(t, func(t *testing.T) {
		signer := newCounting(edKey())
		signer.before = func(context.Context, int) error {
			time.Sleep(quotaLatency)
			return nil
		}
		issuer := live(t, signer, oidctoken.Config{Profile: oidctoken.Profile{Lifetime: lifetime}})
		cache := newCache(t, issuer, oidctoken.CacheConfig{})
		mint := func(scope int) time.Duration {
			begun := time.Now()
			if _, err := cache.Mint(t.Context(), inAccount(fmt.Sprintf("account_%d", scope))); err != nil {
				t.Error(err)
			}
			return time.Since(begun)
		}
		var (
			all           sync.WaitGroup
			tokens, waits atomic.Int64
		)
		start := time.Now()
		for range callers {
			all.Go(func() {
				time.Sleep(rand.N(quotaLatency))
				for time.Since(start) < span {
					tokens.Add(1)
					if mint(rand.IntN(scopes)) > 10*time.Millisecond {
						waits.Add(1)
					}
					time.Sleep(quotaLatency)
				}
			})
		}
		all.Wait()
		t.Logf("%d tokens, %d signatures, %d waited over 10 ms", tokens.Load(), signer.signatures(), waits.Load())
		if waits.Load()*1000 > tokens.Load() {
			t.Errorf("%d of %d waited over 10 ms, want one in 1,000 at most", waits.Load(), tokens.Load())
		}
	})
}
