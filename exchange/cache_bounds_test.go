package exchange_test

import (
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

// X17: a cache never holds more entries than MaxEntries. It evicts the one that
// was not used for the longest time, and gets it again when its lease is used.
func TestMaxEntries(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	synctest.Test(t, func(t *testing.T) {
		b := &bank{}
		cache := newCache(t, exchange.CacheConfig{MaxEntries: 3})
		leases := map[string]*exchange.Lease{}
		use := func(accounts string) {
			t.Helper()
			for _, account := range strings.Fields(accounts) {
				if leases[account] == nil {
					leases[account] = newLease(t, cache, target(issuer, b, account))
				}
				c, err := leases[account].Get(t.Context())
				if err != nil || c.Value("SUBJECT") != "account/"+account {
					t.Fatalf("%s: Get = %v, %v", account, c, err)
				}
				if got := cache.Stats().Entries; got > 3 {
					t.Fatalf("%d entries, want 3 at most", got)
				}
				time.Sleep(2 * time.Second) // between two looks at a credential
			}
		}
		want := map[string]int{"account/a": 2, "account/b": 1, "account/c": 2, "account/d": 1}
		use("a b c a b d") // c goes
		use("a b d c")     // a goes
		use("b d c a")     // b goes
		if diff := cmp.Diff(want, b.given); diff != "" {
			t.Errorf("exchanges (-want +got):\n%s", diff)
		}
	})
}

// X17: nor more bytes.
func TestMaxBytes(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	big := &fixed{exchange.NewCredential(time.Now().Add(time.Hour), map[string]string{"BIG": strings.Repeat("x", 8000)})}
	huge := &fixed{exchange.NewCredential(time.Now().Add(time.Hour), map[string]string{"BIG": strings.Repeat("x", 50_000)})}
	cache := newCache(t, exchange.CacheConfig{MaxBytes: 40_000})
	get := func(b exchange.Exchanger, account string) {
		t.Helper()
		if _, err := newLease(t, cache, target(issuer, b, account)).Get(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		get(big, "tenant_"+strconv.Itoa(i))
		s := cache.Stats()
		if s.Bytes > 40_000 || s.Bytes < 8000*int64(s.Entries) || s.Entries != min(i+1, 4) {
			t.Fatalf("%+v after %d credentials of 8,000 bytes", s, i+1)
		}
	}
	before := cache.Stats()
	get(huge, "acme") // which is returned, and evicts no other credential
	before.Misses++
	if diff := cmp.Diff(before, cache.Stats()); diff != "" {
		t.Errorf("a credential beyond all bounds changed what is kept (-before +after):\n%s", diff)
	}
	cache.Purge("bank")
	if got := cache.Stats(); got.Entries != 0 || got.Bytes != 0 {
		t.Errorf("%+v after Purge, want nothing", got)
	}
}

// heap returns the size of the reachable objects.
func heap() int64 {
	runtime.GC()
	runtime.GC() // of what pools kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
