package oidctoken_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"go.uber.org/goleak"

	"github.com/oidctoken/oidctoken"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func heap() int64 {
	runtime.GC()
	runtime.GC() // of what pools kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// X17: a cache never keeps more tokens than it may, and those that are used stay.
func TestCacheIsBounded(t *testing.T) {
	signer := newCounting(edKey())
	issuer := newIssuer(t, oidctoken.Config{Keys: oidctoken.StaticKeys{{Signer: signer}}, Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}}})
	cache := newCache(t, issuer, oidctoken.CacheConfig{MaxEntries: 10})
	hot := inAccount("hot")
	cached(t, cache, hot)
	for i := range 1000 {
		cached(t, cache, inAccount(fmt.Sprintf("cold_%d", i)))
		cached(t, cache, hot)
	}
	if got := signer.signatures(); got != 1001 {
		t.Errorf("%d signatures, want one for each scope", got)
	}
	for i := range 1000 {
		cached(t, cache, inAccount(fmt.Sprintf("cold_%d", i)))
	}
	if got := signer.signatures(); got < 1001+990 {
		t.Errorf("%d signatures more for 1,000 scopes, want 990 at least: 10 may be there", got-1001)
	}
}

// P6, X17: a token takes 160 bytes at most with ES256, and by the size of the
// signature otherwise.
func TestCachedTokenSize(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory of its own")
	}
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
			t.Errorf("%s: a token takes %d bytes, want %d at most", alg, took, most)
		}
		fill(tokens, tokens*6/5)
		if grown := heap() - before; grown > most*tokens {
			t.Errorf("%s: %d bytes after more tokens than may be kept, want %d at most", alg, grown, most*tokens)
		}
		cache.Close()
		if left := heap() - before; left > most*tokens/20 {
			t.Errorf("%s: %d bytes are left after Close", alg, left)
		}
	}
}

// Of endless scopes that the signer fails for, few are remembered.
func TestCacheFailuresAreBounded(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory of its own")
	}
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
		t.Errorf("10,000 failures take %d bytes, want those of 10", grown)
	}
}

// A token that is at hand costs the one allocation of its text.
func TestCacheAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for alg := range keyFor {
		cache := newCache(t, constantIssuer(t, alg), oidctoken.CacheConfig{})
		ctx, s := t.Context(), inStage("deployment")
		cached(t, cache, s)
		if got := testing.AllocsPerRun(100, func() {
			if _, err := cache.Mint(ctx, s); err != nil {
				t.Fatal(err)
			}
		}); got > 2 {
			t.Errorf("%s: Mint allocates %v times, want the token and its text", alg, got)
		}
	}
}
