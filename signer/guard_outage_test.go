package signer_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
)

const day = 24 * time.Hour

func newRing(t *testing.T, c keyring.Config) *keyring.Ring {
	t.Helper()
	if c.Store == nil {
		c.Store = new(keyring.MemoryStore)
	}
	c.Algorithms = []string{"ES256"}
	c.PollInterval = 30 * time.Minute // the days are over sooner
	ring, err := keyring.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func es256Scope() oidctoken.Scope {
	return oidctoken.Scope{
		Audience: "https://example.com",
		Profile:  &oidctoken.Profile{Algorithms: []string{"ES256"}},
		Account:  oidctoken.Entity{ID: "acme"},
	}
}

// mints requires a token that the published keys verify.
func mints(t *testing.T, issuer *oidctoken.Issuer) {
	t.Helper()
	token, err := issuer.Mint(t.Context(), es256Scope())
	if err != nil {
		t.Fatal(err)
	}
	set := must(jose.ParseSet(must(issuer.JWKSet(t.Context()))))
	if _, err := set.Verify(token.JWT(), "ES256"); err != nil {
		t.Fatalf("the published keys do not verify a token: %v", err)
	}
}

// With a wrapped key, a day without the service has no effect: P7
func TestOutageOfWrapper(t *testing.T) {
	for name, outage := range map[string]outage{"refused": refused, "hanging": hanging, "stuck": stuck} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := newKMS()
				ring := newRing(t, keyring.Config{Wrapper: &kmsWrapper{service, signer.NewGuard(signer.Limits{})}})
				defer ring.Close()
				issuer := newIssuer(ring)
				time.Sleep(29*day + 18*time.Hour) // the second key takes over during the outage
				service.set(outage)
				before, _ := service.count("")
				seen := make(map[string]bool)
				for range 24 * 60 {
					time.Sleep(time.Minute)
					began := time.Now()
					mints(t, issuer)
					if took := time.Since(began); took != 0 {
						t.Fatalf("a token took %v of the service's time", took)
					}
					seen[must(issuer.Mint(t.Context(), es256Scope())).KeyID()] = true
				}
				if after, _ := service.count(""); after != before {
					t.Errorf("%d operations of the service in a day without it", after-before)
				}
				if len(seen) != 2 {
					t.Errorf("%d keys signed on that day, want the old one and its successor", len(seen))
				}
				if err := ring.Err(); err != nil {
					t.Errorf("Err of the ring: %v", err)
				}
				service.set(noOutage)
			})
		})
	}
}

// A wrapped ring asks its service once per data key: to make it, and once per
// replica that starts. P7
func TestOperationsOfWrapper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := newKMS()
		c := keyring.Config{Store: new(keyring.MemoryStore), Wrapper: &kmsWrapper{service, signer.NewGuard(signer.Limits{})}}
		ring := newRing(t, c)
		defer ring.Close()
		issuer := newIssuer(ring)
		wantOps := func(when string, encrypt, decrypt int) {
			t.Helper()
			all, e := service.count("Encrypt")
			if _, d := service.count("Decrypt"); e != encrypt || d != decrypt || all != e+d {
				t.Errorf("%s: %d Encrypt and %d Decrypt of %d operations, want %d and %d", when, e, d, all, encrypt, decrypt)
			}
		}
		wantOps("new ring", 1, 0)
		for range 200 { // six rotations
			time.Sleep(day)
			mints(t, issuer)
		}
		wantOps("after 200 days", 1, 0)
		newRing(t, c).Close()
		wantOps("a second replica", 1, 1)
		service.mu.Lock()
		service.current++ // the service has rotated its key
		service.mu.Unlock()
		for range 3 {
			time.Sleep(day)
			mints(t, issuer)
		}
		wantOps("another data key", 2, 1)
	})
}

// While a service that holds the keys is away for a day, every Mint fails in time
// with a typed error, and one of several concurrent callers calls the service.
// Tokens are signed again one second, and the time of a call, after the service
// is back. P7 X07
func TestOutageOfSigner(t *testing.T) {
	const deadline = 2 * time.Second
	for name, outage := range map[string]outage{"refused": refused, "hanging": hanging, "stuck": stuck} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service, guard := newKMS(), signer.NewGuard(signer.Limits{Rate: kmsQuota})
				ring := newRing(t, keyring.Config{
					Provisioner: &kmsProvisioner{service, guard},
					Wrapper:     &kmsWrapper{newKMS(), signer.NewGuard(signer.Limits{})},
				})
				defer ring.Close()
				issuer := newIssuer(ring)
				mints(t, issuer)
				service.set(outage)
				before, _ := service.count("")
				began := time.Now()
				rounds := 0
				for ; time.Since(began) < day; rounds++ {
					var wg sync.WaitGroup
					for range 3 {
						wg.Go(func() { failsInTime(t, issuer, deadline) })
					}
					wg.Wait()
					time.Sleep(9900 * time.Millisecond)
				}
				if after, _ := service.count(""); after-before > rounds+10 {
					t.Errorf("%d operations of the service in %d rounds of 3 callers without it", after-before, rounds)
				}
				service.set(noOutage)
				back := time.Now()
				for {
					ctx, cancel := context.WithTimeout(t.Context(), deadline)
					_, err := issuer.Mint(ctx, es256Scope())
					cancel()
					if err == nil {
						break
					}
					if time.Since(back) > 2*time.Second {
						t.Fatalf("%v after the service is back: %v", time.Since(back), err)
					}
					time.Sleep(time.Millisecond)
				}
				if took := time.Since(back); took > time.Second+kmsLatency+time.Millisecond {
					t.Errorf("a token %v after the service is back, want a second and the %v of a call", took, kmsLatency)
				}
				mints(t, issuer)
			})
		})
	}
}

// failsInTime requires a mint that fails before its deadline, because the
// service is unavailable.
func failsInTime(t *testing.T, issuer *oidctoken.Issuer, deadline time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	began := time.Now()
	token, err := issuer.Mint(ctx, es256Scope())
	if took := time.Since(began); took > deadline+moment {
		t.Errorf("Mint took %v, want %v at most", took, deadline)
	}
	var failure *signer.Error
	if token != nil || !errors.Is(err, oidctoken.ErrSignerUnavailable) || !errors.As(err, &failure) || failure.Kind != signer.Unavailable {
		t.Errorf("Mint returned %v and the error %v, want no token, ErrSignerUnavailable and an *Error that says Unavailable", token, err)
	}
}
