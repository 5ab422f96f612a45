package exchange_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

// Purge removes the credentials and the refusals of one connector, and nothing
// else.
func TestPurge(t *testing.T) {
	issuer, b := newIssuer(t, oidctoken.Config{}), &bank{}
	cache := newCache(t, exchange.CacheConfig{})
	first, second, other := target(issuer, b, "acme"), target(issuer, b, "globex"), target(issuer, b, "acme")
	other.Connector = "other"
	leases := []*exchange.Lease{newLease(t, cache, first), newLease(t, cache, second), newLease(t, cache, other)}
	for i, lease := range leases {
		checkSerial(t, lease, i+1)
		checkSerial(t, lease, i+1) // from where a hit comes from
	}
	b.refuse = func(_ context.Context, n int) error {
		if n == 4 {
			return &exchange.Error{Provider: "bank", Status: 400}
		}
		return nil
	}
	cache.Purge("bank")
	if got := cache.Stats().Entries; got != 1 {
		t.Errorf("%d entries are left, want the one of another connector", got)
	}
	if _, err := leases[0].Get(t.Context()); err == nil {
		t.Error("Get succeeds, want the refusal of a new exchange")
	}
	cache.Purge("bank")
	checkSerial(t, leases[0], 5)
	checkSerial(t, leases[1], 6)
	checkSerial(t, leases[2], 3)
}

// Purge ends a running exchange of the connector and drops its result. Its
// callers get the result of another exchange.
func TestPurgeDuringExchange(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	synctest.Test(t, func(t *testing.T) {
		open, ended := make(chan struct{}), false
		b := &bank{minted: func(ctx context.Context, n int) {
			if n == 1 { // it does not heed ctx
				<-open
				ended = ctx.Err() != nil
			}
		}}
		cache := newCache(t, exchange.CacheConfig{Observe: func(_ context.Context, e exchange.CacheEvent) {
			if e.Err != nil {
				t.Errorf("Observe is told of %v", e.Err)
			}
		}})
		lease := newLease(t, cache, target(issuer, b, "acme"))
		got := make(chan string)
		go func() { got <- serial(t.Context(), lease) }()
		synctest.Wait()
		cache.Purge("bank")
		if s := <-got; s != "2" {
			t.Errorf("Get = %s, want the credential of exchange 2", s)
		}
		close(open)
		synctest.Wait()
		if !ended {
			t.Error("the exchange's ctx goes on, want it ended")
		}
		checkSerial(t, lease, 2)
		if cache.Stats().Entries != 1 {
			t.Errorf("%+v, want one entry", cache.Stats())
		}
	})
}

// A credential goes with any of the keys that signed for it, at the next call,
// and not with another. A key source that fails takes nothing away.
func TestRevokedKey(t *testing.T) {
	old, next, third := newKey(t), newKey(t), newKey(t)
	old.NotAfter, next.NotBefore = noon, noon
	keys := &ring{}
	keys.set(nil, old, next)
	now := noon.Add(-time.Minute)
	issuer := newIssuer(t, oidctoken.Config{Keys: keys, Now: func() time.Time { return now }})
	lease := newLease(t, newCache(t, exchange.CacheConfig{}), target(issuer, &bank{}, "acme"))
	for range 3 {
		checkSerial(t, lease, 1) // signed by old
	}
	now = noon
	keys.set(nil, old, next, third)
	checkSerial(t, lease, 1)
	keys.set(nil, old, third)
	checkSerial(t, lease, 1)
	keys.set(errors.New("down"))
	checkSerial(t, lease, 1)
	keys.set(nil, next)
	checkSerial(t, lease, 2)
	keys.set(nil, next, third)
	checkSerial(t, lease, 2)
}

// An exchange that mints again, as a retry does, leaves a credential of all the
// keys that signed in it.
func TestRevokedKeyOfARetry(t *testing.T) {
	old, next := newKey(t), newKey(t)
	old.NotAfter, next.NotBefore = noon, noon
	keys := &ring{}
	keys.set(nil, old, next)
	now := noon.Add(-time.Minute)
	issuer := newIssuer(t, oidctoken.Config{Keys: keys, Now: func() time.Time { return now }})
	b := &twice{between: func() { now = noon }}
	lease := newLease(t, newCache(t, exchange.CacheConfig{}), target(issuer, b, "acme"))
	checkSerial(t, lease, 1)
	checkSerial(t, lease, 1)
	keys.set(nil, next)
	checkSerial(t, lease, 2)
	checkSerial(t, lease, 2)
}

// twice is a bank that calls Subject twice.
type twice struct {
	bank
	between func()
}

func (b *twice) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	if _, err := r.Subject(ctx, b.Audience()); err != nil {
		return nil, err
	}
	b.between()
	return b.bank.Exchange(ctx, r)
}

// When a key is revoked while its token is being exchanged, the result is
// dropped.
func TestRevokedKeyDuringExchange(t *testing.T) {
	old, next := newKey(t), newKey(t)
	keys := &ring{}
	keys.set(nil, old)
	issuer := newIssuer(t, oidctoken.Config{Keys: keys})
	b := &bank{minted: func(_ context.Context, n int) {
		if n == 1 {
			keys.set(nil, next)
		}
	}}
	lease := newLease(t, newCache(t, exchange.CacheConfig{}), target(issuer, b, "acme"))
	checkSerial(t, lease, 2)
	checkSerial(t, lease, 2)
}

// Close ends the exchanges, tells their callers that the cache is closed, and
// leaves nothing.
func TestClose(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	synctest.Test(t, func(t *testing.T) {
		b := &bank{minted: func(ctx context.Context, n int) {
			if n == 2 {
				<-ctx.Done()
			}
		}}
		cache := exchange.NewCache(exchange.CacheConfig{})
		held := newLease(t, cache, target(issuer, b, "acme"))
		checkSerial(t, held, 1)
		waiting := newLease(t, cache, target(issuer, b, "globex"))
		got := make(chan string)
		go func() { got <- serial(t.Context(), waiting) }()
		synctest.Wait()
		cache.Close() // which returns only once the bank has
		cache.Close()
		const closed = "exchange: the cache is closed"
		for name, s := range map[string]string{"waiting": <-got, "held": serial(t.Context(), held)} {
			if s != closed {
				t.Errorf("Get of the %s lease = %s, want %s", name, s, closed)
			}
		}
		if s := cache.Stats(); s.Entries != 0 || s.Bytes != 0 {
			t.Errorf("%+v are left, want nothing", s)
		}
	})
}

// An exchange ends after a minute, even while callers wait for it.
func TestExchangeIsBounded(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	synctest.Test(t, func(t *testing.T) {
		b := &bank{refuse: func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		lease := newLease(t, newCache(t, exchange.CacheConfig{}), target(issuer, b, "acme"))
		start := time.Now()
		_, err := lease.Get(t.Context())
		if took := time.Since(start); took != time.Minute || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Get = %v after %v, want the deadline after a minute", err, took)
		}
	})
}
