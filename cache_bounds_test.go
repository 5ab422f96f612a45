package oidctoken_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/oidctoken/oidctoken"
)

func heap() int64 {
	runtime.GC()
	runtime.GC() // also frees what pools kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// X17: a cache never keeps more tokens than MaxEntries, and keeps the tokens in use.
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
		t.Errorf("%d more signatures for 1,000 scopes, want at least 990: the cache may keep 10", got-1001)
	}
}
