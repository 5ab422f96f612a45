package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

// at lets time pass until d after start, and what that sets off run.
func at(start time.Time, d time.Duration) {
	time.Sleep(time.Until(start.Add(d)))
	synctest.Wait()
}

// A credential that is used is renewed once, after half its life, give or take a
// tenth of that, and by no caller's time.
func TestRenewalAhead(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	synctest.Test(t, func(t *testing.T) {
		b := &bank{minted: func(context.Context, int) { time.Sleep(time.Second) }}
		lease := newLease(t, newCache(t, exchange.CacheConfig{}), target(issuer, b, "acme"))
		checkSerial(t, lease, 1)
		start := time.Now()
		at(start, 26*time.Minute) // 30 min less a tenth is 27
		checkSerial(t, lease, 1)
		synctest.Wait()
		if b.calls() != 1 {
			t.Fatalf("%d exchanges after 26 min, want no renewal yet", b.calls())
		}
		at(start, 34*time.Minute) // and 30 min and a tenth are 33
		checkSerial(t, lease, 1)  // which starts the renewal
		checkSerial(t, lease, 1)  // while it is under way
		at(start, 35*time.Minute)
		checkSerial(t, lease, 2)
		at(start, 59*time.Minute)
		checkSerial(t, lease, 2)
		if b.calls() != 2 {
			t.Errorf("%d exchanges, want 2", b.calls())
		}
	})
}

// A credential that no caller uses is not renewed.
func TestIdleLease(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	synctest.Test(t, func(t *testing.T) {
		start, b := time.Now(), &bank{}
		lease := newLease(t, newCache(t, exchange.CacheConfig{}), target(issuer, b, "acme"))
		checkSerial(t, lease, 1)
		at(start, 24*time.Hour)
		if b.calls() != 1 {
			t.Errorf("%d exchanges in a day, want the first alone", b.calls())
		}
		checkSerial(t, lease, 2)
	})
}

// While renewals fail, which are tried every 10 s, the last credential is used
// until its expiry. A longer Retry-After of the cloud is respected.
func TestLastGoodServes(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for _, tt := range []struct {
		name  string
		err   error
		pause time.Duration
	}{
		{"temporary", &exchange.Error{Provider: "bank", Status: 503, Retryable: true}, 10 * time.Second},
		{"refusal", &exchange.Error{Provider: "bank", Status: 400}, 10 * time.Second},
		{"Retry-After", fmt.Errorf("x: %w", &exchange.Error{Provider: "bank", Status: 429, RetryAfter: 25 * time.Second, Retryable: true}), 25 * time.Second},
		{"short Retry-After", &exchange.Error{Provider: "bank", Status: 429, RetryAfter: 3 * time.Second, Retryable: true}, 10 * time.Second},
		{"endless Retry-After", &exchange.Error{Provider: "bank", Status: 429, RetryAfter: time.Hour, Retryable: true}, 30 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var tries []time.Duration
				b := &bank{refuse: func(_ context.Context, n int) error {
					if n == 1 {
						return nil
					}
					tries = append(tries, time.Since(start))
					return tt.err
				}}
				lease := newLease(t, newCache(t, exchange.CacheConfig{}), target(issuer, b, "acme"))
				for d := time.Duration(0); d < time.Hour; d += 500 * time.Millisecond {
					at(start, d)
					checkSerial(t, lease, 1)
				}
				synctest.Wait()
				if len(tries) < 50 {
					t.Fatalf("%d renewals were tried, want one every %v", len(tries), tt.pause)
				}
				for i := range tries[1:] {
					if pause := tries[i+1] - tries[i]; pause < tt.pause || pause > tt.pause+time.Second {
						t.Fatalf("renewals at %v and %v, want %v between them", tries[i], tries[i+1], tt.pause)
					}
				}
				at(start, time.Hour) // there is nothing to serve, and it may be tried sooner
				if _, err := lease.Get(t.Context()); !errors.Is(err, tt.err) {
					t.Errorf("Get = %v after the end, want %v", err, tt.err)
				}
			})
		})
	}
}

// X16: without a credential, an error is remembered for seconds, so that a loop
// does not hammer the cloud or the signer, and no longer.
func TestFailureIsRememberedForSeconds(t *testing.T) {
	other := errors.New("other")
	for _, tt := range []struct {
		name  string
		err   error
		pause time.Duration
	}{
		{"temporary", &exchange.Error{Status: 503, Retryable: true}, time.Second},
		{"refusal", &exchange.Error{Status: 400}, 5 * time.Second},
		{"Retry-After", &exchange.Error{Status: 429, RetryAfter: 7 * time.Second, Retryable: true}, 7 * time.Second},
		{"endless Retry-After", &exchange.Error{Status: 429, RetryAfter: time.Hour, Retryable: true}, 30 * time.Second},
		{"policy", fmt.Errorf("mint: %w", oidctoken.ErrDenied), 5 * time.Second},
		{"scope", fmt.Errorf("mint: %w", &oidctoken.ScopeError{Field: "Account.ID", Reason: "is required"}), 5 * time.Second},
		{"signer", fmt.Errorf("mint: %w", oidctoken.ErrSignerUnavailable), time.Second},
		{"other", other, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			issuer := newIssuer(t, oidctoken.Config{})
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				b := &bank{refuse: func(_ context.Context, n int) error {
					if n < 3 {
						return tt.err
					}
					return nil
				}}
				cache := newCache(t, exchange.CacheConfig{})
				lease := newLease(t, cache, target(issuer, b, "acme"))
				for try := range 2 {
					for _, d := range []time.Duration{0, tt.pause / 2, tt.pause - 1} {
						at(start, time.Duration(try)*tt.pause+d)
						if _, err := lease.Get(t.Context()); !errors.Is(err, tt.err) {
							t.Errorf("Get = %v, want %v", err, tt.err)
						}
						if b.calls() != try+1 {
							t.Fatalf("%d exchanges after %v, want %d", b.calls(), time.Since(start), try+1)
						}
					}
				}
				at(start, 2*tt.pause)
				checkSerial(t, lease, 3)
			})
		})
	}
}

// Another tenant's failure is another's.
func TestFailureIsOneTargets(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{Allow: func(_ context.Context, s oidctoken.Scope) error {
		if s.Account.ID == "mallory" {
			return errors.New("no")
		}
		return nil
	}})
	b, cache := &bank{}, newCache(t, exchange.CacheConfig{})
	if _, err := cache.Lease(t.Context(), target(issuer, b, "mallory")); !errors.Is(err, oidctoken.ErrDenied) {
		t.Errorf("Lease = %v, want %v", err, oidctoken.ErrDenied)
	}
	checkSerial(t, newLease(t, cache, target(issuer, b, "acme")), 1)
}

// T22: policy that has changed its mind gives out no more leases, and ends what
// was leased with the next renewal.
func TestPolicyChangesItsMind(t *testing.T) {
	var denied atomic.Bool
	issuer := newIssuer(t, oidctoken.Config{Allow: func(context.Context, oidctoken.Scope) error {
		if denied.Load() {
			return errors.New("no more")
		}
		return nil
	}})
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		b, cache := &bank{}, newCache(t, exchange.CacheConfig{})
		lease := newLease(t, cache, target(issuer, b, "acme"))
		checkSerial(t, lease, 1)
		denied.Store(true)
		if _, err := cache.Lease(t.Context(), target(issuer, b, "acme")); !errors.Is(err, oidctoken.ErrDenied) {
			t.Errorf("Lease = %v, want %v", err, oidctoken.ErrDenied)
		}
		at(start, 40*time.Minute)
		checkSerial(t, lease, 1) // while it is renewed
		synctest.Wait()
		if _, err := lease.Get(t.Context()); !errors.Is(err, oidctoken.ErrDenied) {
			t.Errorf("Get = %v, want %v", err, oidctoken.ErrDenied)
		}
	})
}

// An Exchanger that returns nothing, or an expired credential, is reported as
// an error.
func TestBadExchanger(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	const expired = "exchange: the Exchanger returned a credential that has expired"
	for _, tt := range []struct {
		name   string
		answer *exchange.Credential
		want   string
	}{
		{"nil", nil, "exchange: the Exchanger returned no credential"},
		{"zero", &exchange.Credential{}, expired},
		{"now", exchange.NewCredential(time.Now(), nil), expired},
		{"now, by the clock alone", exchange.NewCredential(time.Now().Round(0), nil), expired},
		{"an hour ago", exchange.NewCredential(time.Now().Add(-time.Hour), nil), expired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lease := newLease(t, newCache(t, exchange.CacheConfig{}), target(issuer, &fixed{tt.answer}, "acme"))
			if got := serial(t.Context(), lease); got != tt.want {
				t.Errorf("Get = %s, want %s", got, tt.want)
			}
		})
	}
}

// CacheEvent tells how exchanges ended.
func TestObserve(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		refused := errors.New("refused")
		b := &bank{refuse: func(ctx context.Context, n int) error {
			time.Sleep(time.Second)
			if n == 2 {
				return refused
			}
			return nil
		}}
		var events []exchange.CacheEvent
		cache := newCache(t, exchange.CacheConfig{Observe: func(_ context.Context, e exchange.CacheEvent) { events = append(events, e) }})
		lease := newLease(t, cache, target(issuer, b, "acme"))
		checkSerial(t, lease, 1) // at 1 s
		at(start, 40*time.Minute)
		checkSerial(t, lease, 1) // renewal fails
		at(start, 2*time.Hour)
		checkSerial(t, lease, 3)
		synctest.Wait()
		end := start.Add(time.Hour + time.Second)
		want := []exchange.CacheEvent{
			{Took: time.Second, Expires: end},
			{Took: time.Second, Expires: end, Err: refused, Renewal: true},
			{Took: time.Second, Expires: start.Add(3*time.Hour + time.Second)},
		}
		for i, e := range events {
			if e.Target.Connector != "bank" || e.Target.Scope.Account.ID != "acme" {
				t.Errorf("event %d is about %+v", i, e.Target)
			}
			// The bank refuses before it calls Subject.
			if minted := e.TokenID != "" && e.KeyID != ""; minted != (e.Err == nil) {
				t.Errorf("event %d is about the token %q of the key %q", i, e.TokenID, e.KeyID)
			}
		}
		if late := events[1].Late; late < 40*time.Minute-33*time.Minute-time.Second || late > 40*time.Minute-27*time.Minute {
			t.Errorf("the renewal at 40 min was %v late", late)
		}
		if diff := cmp.Diff(want, events, cmpopts.EquateErrors(), cmpopts.IgnoreFields(exchange.CacheEvent{}, "Target", "Late", "TokenID", "KeyID")); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// A host's clock decides, at every call.
func TestInjectedClock(t *testing.T) {
	now := noon
	issuer := newIssuer(t, oidctoken.Config{Now: func() time.Time { return now }})
	b := &fixed{exchange.NewCredential(noon.Add(time.Hour), map[string]string{"SERIAL": "1"})}
	cache := newCache(t, exchange.CacheConfig{Now: func() time.Time { return now }})
	lease := newLease(t, cache, target(issuer, b, "acme"))
	checkSerial(t, lease, 1)
	now = noon.Add(20 * time.Minute)
	checkSerial(t, lease, 1)
	now = noon.Add(time.Hour)
	if got, want := serial(t.Context(), lease), "exchange: the Exchanger returned a credential that has expired"; got != want {
		t.Errorf("Get = %s, want %s", got, want)
	}
}
