//go:build !race

// The race detector uses additional memory, so these tests leave it out.

package exchange_test

import (
	"strconv"
	"testing"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

// X17: the bytes that a cache counts are about those that it takes: not less
// than half, and not more than twice as many.
func TestBytesAreReal(t *testing.T) {
	const entries = 2000
	issuer, b := newIssuer(t, oidctoken.Config{}), &bank{}
	cache := newCache(t, exchange.CacheConfig{MaxEntries: entries})
	before := heap()
	for i := range entries {
		if _, err := newLease(t, cache, target(issuer, b, "tenant_"+strconv.Itoa(i))).Get(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b.given = nil
	took, counted := heap()-before, cache.Stats().Bytes
	if took > 2*counted || counted > 2*took {
		t.Errorf("%d credentials take %d bytes, and %d are counted", entries, took, counted)
	}
}

// X17: the number of remembered failures is limited, for any number of targets.
func TestFailuresAreBounded(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	cache := newCache(t, exchange.CacheConfig{MaxEntries: 10})
	fail := func(from, to int) {
		for i := from; i < to; i++ {
			if _, err := newLease(t, cache, target(issuer, &fixed{}, "tenant_"+strconv.Itoa(i))).Get(t.Context()); err == nil {
				t.Fatal("Get succeeds")
			}
		}
	}
	fail(0, 100)
	before := heap()
	fail(100, 5100)
	if grown := heap() - before; grown > 100*5000/2 {
		t.Errorf("5,000 failures take %d bytes, want those of 10", grown)
	}
}
