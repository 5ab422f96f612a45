//go:build !race

// The race detector uses additional memory, so these tests leave it out.

package exchange_test

import (
	"testing"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

// P4: a cached credential costs no allocation.
func TestHitAllocations(t *testing.T) {
	lease := newLease(t, newCache(t, exchange.CacheConfig{}), target(newIssuer(t, oidctoken.Config{}), &bank{}, "acme"))
	ctx := t.Context()
	checkSerial(t, lease, 1)
	if got := testing.AllocsPerRun(1000, func() {
		if _, err := lease.Get(ctx); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("Get allocates %v times, want 0", got)
	}
}
