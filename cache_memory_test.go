//go:build !race

// The race detector takes memory of its own, so it skips these tests.

package oidctoken_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/oidctoken/oidctoken"
)

// P6, X17: a token takes at most 160 bytes with ES256. With other algorithms, the limit
// differs by the size of the signature.
func TestCachedTokenSize(t *testing.T) {
	const tokens = 50_000
	for alg, most := range map[string]int64{"ES256": 160, "EdDSA": 160, "RS256": 360} {
		issuer := constantIssuer(t, alg)
		cache := newCache(t, issuer, oidctoken.CacheConfig{MaxEntries: tokens})
		fill := func(from, to int) {
			for i := from; i < to; i++ {
				cached(t, cache, inAccount(fmt.Sprintf("account_%d", i)))
			}
		}
		before := heap()
		fill(0, tokens)
		took := (heap() - before) / tokens
		t.Logf("%s: %d bytes", alg, took)
		if took > most || took < most/4 {
			t.Errorf("%s: a token takes %d bytes, want at most %d", alg, took, most)
		}
		fill(tokens, tokens*6/5)
		if grown := heap() - before; grown > most*tokens {
			t.Errorf("%s: %d bytes after more tokens than MaxEntries, want at most %d", alg, grown, most*tokens)
		}
		cache.Close()
		if left := heap() - before; left > most*tokens/20 {
			t.Errorf("%s: %d bytes are left after Close", alg, left)
		}
	}
}

// The cache remembers a limited number of failures.
func TestCacheFailuresAreBounded(t *testing.T) {
	keys := &source{}
	keys.set(nil, ed25519Key("k"))
	issuer := newIssuer(t, oidctoken.Config{Keys: keys, Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}}})
	keys.set(errors.New("down"))
	cache := newCache(t, issuer, oidctoken.CacheConfig{MaxEntries: 10})
	fail := func(from, to int) {
		for i := from; i < to; i++ {
			if _, err := cache.Mint(t.Context(), inAccount(fmt.Sprintf("account_%d", i))); !errors.Is(err, oidctoken.ErrNoKey) {
				t.Fatalf("Mint = %v, want %v", err, oidctoken.ErrNoKey)
			}
		}
	}
	fail(0, 100)
	before := heap()
	fail(100, 10_100)
	if grown := heap() - before; grown > 10_000*20 {
		t.Errorf("10,000 failures take %d bytes, want the bytes of 10 failures", grown)
	}
}

// Mint of a cached token allocates once, for the token with its text.
func TestCacheAllocations(t *testing.T) {
	for alg := range keyFor {
		cache := newCache(t, constantIssuer(t, alg), oidctoken.CacheConfig{})
		ctx, s := t.Context(), inStage("deployment")
		cached(t, cache, s)
		if got := testing.AllocsPerRun(100, func() {
			if _, err := cache.Mint(ctx, s); err != nil {
				t.Fatal(err)
			}
		}); got > 2 {
			t.Errorf("%s: Mint allocates %v times, want one allocation for the token with its text", alg, got)
		}
	}
}
