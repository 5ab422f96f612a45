package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

// crowd returns the number of callers at a time. The race detector allows 8,128
// goroutines at most.
func crowd() int {
	if raceEnabled {
		return 5_000
	}
	return 100_000
}

// auditor counts the tokens of an issuer.
func auditor(minted *atomic.Int64) func(context.Context, oidctoken.Event) {
	return func(_ context.Context, e oidctoken.Event) {
		if e.Err == nil {
			minted.Add(1)
		}
	}
}

// X16: 100,000 callers want one credential, and every tenth leaves. There is
// one token and one exchange, and all others get its credential.
func TestCrowd(t *testing.T) {
	var minted atomic.Int64
	issuer := newIssuer(t, oidctoken.Config{Audit: auditor(&minted)})
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		b := &bank{minted: func(context.Context, int) { <-open }}
		cache := newCache(t, exchange.CacheConfig{})
		lease := newLease(t, cache, target(issuer, b, "acme"))

		leaving, leave := context.WithCancel(t.Context())
		results := make([]string, crowd())
		var callers sync.WaitGroup
		for i := range results {
			ctx := t.Context()
			if i%10 == 0 { // the first, who begins the exchange, as well
				ctx = leaving
			}
			callers.Go(func() {
				c, err := lease.Get(ctx)
				switch {
				case errors.Is(err, context.Canceled):
					results[i] = "left"
				case err != nil:
					results[i] = err.Error()
				default:
					results[i] = c.Value("SERIAL")
				}
			})
		}
		synctest.Wait() // all of them wait for the bank
		leave()
		synctest.Wait()
		close(open)
		callers.Wait()

		got := map[string]int{}
		for _, r := range results {
			got[r]++
		}
		want := map[string]int{"left": crowd() / 10, "1": crowd() - crowd()/10}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("what callers got (-want +got):\n%s", diff)
		}
		if n := minted.Load(); n != 1 || b.calls() != 1 {
			t.Errorf("%d tokens and %d exchanges, want one of each", n, b.calls())
		}
	})
}

// X14, X16: 1,000 tenants with 100 callers each: one exchange for each tenant,
// and no caller gets another tenant's credential.
func TestTenantsDoNotMeet(t *testing.T) {
	const tenants = 1000
	var minted atomic.Int64
	issuer := newIssuer(t, oidctoken.Config{Audit: auditor(&minted)})
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		b := &bank{minted: func(context.Context, int) { <-open }}
		cache := newCache(t, exchange.CacheConfig{})
		var callers sync.WaitGroup
		var wrong atomic.Int64
		for i := range crowd() {
			account := "tenant_" + strconv.Itoa(i%tenants)
			callers.Go(func() {
				lease, err := cache.Lease(t.Context(), target(issuer, b, account)) // each has its own
				if err != nil {
					t.Errorf("Lease: %v", err)
					return
				}
				c, err := lease.Get(t.Context())
				if err != nil || c.Value("SUBJECT") != "account/"+account {
					wrong.Add(1)
				}
			})
		}
		synctest.Wait()
		close(open)
		callers.Wait()
		if n := wrong.Load(); n > 0 {
			t.Errorf("%d callers of %d did not get their tenant's credential", n, crowd())
		}
		want := map[string]int{}
		for i := range tenants {
			want[fmt.Sprintf("account/tenant_%d", i)] = 1
		}
		if diff := cmp.Diff(want, b.given); diff != "" {
			t.Errorf("exchanges of each tenant (-want +got):\n%s", diff)
		}
		if n := minted.Load(); n != tenants || cache.Stats().Entries != tenants {
			t.Errorf("%d tokens, %+v; want %d of each", n, cache.Stats(), tenants)
		}
	})
}

// X16: an exchange goes on after the caller that began it has left, and the
// next caller gets its result.
func TestAbandonedExchangeIsKept(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		b := &bank{minted: func(context.Context, int) { <-open }}
		lease := newLease(t, newCache(t, exchange.CacheConfig{}), target(issuer, b, "acme"))
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := lease.Get(ctx)
			left <- err
		}()
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("Get = %v, want %v", err, context.Canceled)
		}
		close(open)
		synctest.Wait()
		checkSerial(t, lease, 1)
	})
}

// No exchange begins for a caller whose ctx has ended. A cached credential is
// returned all the same.
func TestEndedContext(t *testing.T) {
	b := &bank{}
	lease := newLease(t, newCache(t, exchange.CacheConfig{}), target(newIssuer(t, oidctoken.Config{}), b, "acme"))
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := lease.Get(ended); !errors.Is(err, context.Canceled) || b.calls() != 0 {
		t.Errorf("Get = %v after %d exchanges, want %v and none", err, b.calls(), context.Canceled)
	}
	checkSerial(t, lease, 1)
	if got := serial(ended, lease); got != "1" {
		t.Errorf("Get = %s, want the credential that is there", got)
	}
}

// X14: during any use, purges and revocations at one time, each caller gets its
// own tenant's credential.
func TestAllAtOnce(t *testing.T) {
	const tenants = 20
	keys := [2]oidctoken.Key{newKey(t), newKey(t)}
	source := &ring{}
	source.set(nil, keys[0])
	issuer := newIssuer(t, oidctoken.Config{Keys: source})
	b := &bank{}
	cache := newCache(t, exchange.CacheConfig{MaxEntries: tenants / 2})
	leases := make([]*exchange.Lease, tenants)
	for i := range leases {
		leases[i] = newLease(t, cache, target(issuer, b, fmt.Sprintf("tenant_%d", i)))
	}
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for n := range 300 {
				i := (n * (worker + 1)) % tenants
				switch {
				case n%50 == 1 && worker == 0:
					cache.Purge("bank")
				case n%50 == 2 && worker == 1:
					source.set(nil, keys[n/50%2])
				case n%10 == 3:
					if got := cache.Stats(); got.Entries > tenants/2 {
						t.Errorf("%+v, want %d entries at most", got, tenants/2)
					}
				}
				c, err := leases[i].Get(t.Context())
				if err != nil || c.Value("SUBJECT") != fmt.Sprintf("account/tenant_%d", i) {
					t.Errorf("tenant %d: Get = %v, %v", i, c, err)
				}
			}
		})
	}
	all.Wait()
}
