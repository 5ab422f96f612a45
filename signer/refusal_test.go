package signer_test

import (
	"context"
	"crypto"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/signer"
)

func denied(context.Context) error {
	return &signer.Error{Service: "kms", Op: "Sign", Kind: signer.Refused, Code: "AccessDeniedException"}
}

// counted calls f of a service and counts in n.
func counted(n *int, f func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		*n++
		return f(ctx)
	}
}

// refuse lets g remember a refusal.
func refuse(t *testing.T, g *signer.Guard) {
	t.Helper()
	for range 3 {
		do(t.Context(), g, denied)
	}
}

// Three refusals in a row are remembered, and no others.
func TestGuardRefusalsInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := signer.NewGuard(signer.Limits{})
		for range 100 {
			do(t.Context(), g, denied)
			do(t.Context(), g, denied)
			if _, err := do(t.Context(), g, up); err != nil {
				t.Fatalf("after two refusals: %v", err)
			}
		}
	})
}

// While the service refuses, it is called once a second, however many callers ask, and
// each caller gets its error.
func TestGuardRemembersRefusals(t *testing.T) {
	for _, kind := range []signer.Kind{signer.Refused, signer.Gone} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := signer.NewGuard(signer.Limits{})
				refusal := &signer.Error{Service: "kms", Op: "Sign", Kind: kind, Code: "AccessDeniedException"}
				var calls []time.Duration
				began := time.Now()
				for range 2000 {
					took, err := do(t.Context(), g, func(context.Context) error {
						calls = append(calls, time.Since(began))
						return refusal
					})
					if err != refusal || took != 0 {
						t.Fatalf("%v after %v, want the refusal at once", err, took)
					}
					time.Sleep(2 * time.Millisecond)
				}
				want := []time.Duration{0, 2 * time.Millisecond, 4 * time.Millisecond, 1004 * time.Millisecond, 2004 * time.Millisecond, 3004 * time.Millisecond}
				if diff := cmp.Diff(want, calls); diff != "" {
					t.Errorf("calls at (-want +got):\n%s", diff)
				}
				time.Sleep(4 * time.Millisecond)
				if _, err := do(t.Context(), g, up); err != nil {
					t.Errorf("a second after the last refusal: %v", err)
				}
				if _, err := do(t.Context(), g, up); err != nil {
					t.Errorf("after a success: %v", err)
				}
			})
		})
	}
}

// Of callers that come at once, hardly more than InFlight reach the service,
// and then one.
func TestGuardRefusalOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := signer.NewGuard(signer.Limits{InFlight: 8})
		var mu sync.Mutex
		for round, most := range []int{8 + 2, 1, 1} { // 2 take the places of the first refusals
			calls := 0
			var wg sync.WaitGroup
			for range 2000 {
				wg.Go(func() {
					_, err := do(t.Context(), g, func(ctx context.Context) error {
						mu.Lock()
						calls++
						mu.Unlock()
						time.Sleep(20 * time.Millisecond)
						return denied(ctx)
					})
					var failure *signer.Error
					if !errors.As(err, &failure) || failure.Kind != signer.Refused {
						t.Errorf("round %d: %v, want the refusal", round, err)
					}
				})
			}
			wg.Wait()
			if calls < 1 || calls > most {
				t.Errorf("round %d: %d calls, want 1 to %d", round, calls, most)
			}
			time.Sleep(time.Second)
		}
	})
}

// A refusal is of one service, op and key, and nothing else is remembered.
func TestGuardRemembersNoMore(t *testing.T) {
	of := func(k signer.Kind, code string) func(context.Context) error {
		return func(context.Context) error {
			return &signer.Error{Service: "kms", Op: "Sign", Kind: k, Code: code}
		}
	}
	for _, tt := range []struct {
		name    string
		service func(context.Context) error
		calls   int // of 4
	}{
		{"refused", denied, 3},
		{"gone", of(signer.Gone, "DisabledException"), 3},
		{"refused by the adapter", of(signer.Refused, ""), 4},
		{"malformed", of(signer.Malformed, "200"), 4},
		{"unavailable", of(signer.Unavailable, "503"), 4},
		{"another error", func(context.Context) error { return errors.New("x") }, 4},
		{"success", up, 4},
	} {
		synctest.Test(t, func(t *testing.T) {
			g, n := signer.NewGuard(signer.Limits{}), 0
			for range 4 {
				do(t.Context(), g, counted(&n, tt.service))
			}
			if n != tt.calls {
				t.Errorf("%s: %d calls of 4, want %d", tt.name, n, tt.calls)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		g := signer.NewGuard(signer.Limits{InFlight: 1, Timeout: time.Second})
		key, other := g.ForKey(), g.ForKey()
		refuse(t, key)
		for name, try := range map[string]func() error{
			"another key":     func() error { _, err := do(t.Context(), other, up); return err },
			"the Guard":       func() error { _, err := do(t.Context(), g, up); return err },
			"another op":      func() error { return key.Do(t.Context(), "kms", "GetPublicKey", up) },
			"another service": func() error { return key.Do(t.Context(), "hsm", "Sign", up) },
		} {
			if err := try(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := do(t.Context(), key, up); err == nil {
			t.Error("the key itself is not refused")
		}
		// Both share the limits of one quota.
		go do(t.Context(), key, func(context.Context) error { return nil })
		go other.Do(t.Context(), "kms", "Decrypt", func(context.Context) error { time.Sleep(time.Hour); return nil })
		synctest.Wait()
		_, err := do(t.Context(), g, up)
		wantUnavailable(t, err, "not called: 1 calls are under way")
		time.Sleep(time.Hour)
	})
}

// A call that was let through to try again and is left leaves the next one to try.
func TestGuardRefusalTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, n := signer.NewGuard(signer.Limits{}), 0
		refuse(t, g)
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		do(ctx, g, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		synctest.Wait()
		if _, err := do(t.Context(), g, counted(&n, up)); err != nil || n != 1 {
			t.Errorf("%v with %d calls, want one", err, n)
		}
	})
}

// 2,000 mints while the host has no right to sign are as many errors and three calls.
func TestMintsWithoutRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service, guard := newKMS(), signer.NewGuard(signer.Limits{})
		version := must((&kmsProvisioner{service, guard}).Create(t.Context(), "ES256"))
		n := 0
		s := deniedSigner{version.Signer, guard, &n}
		issuer := newIssuer(oidctoken.StaticKeys{{Signer: s}})
		for range 2000 {
			_, err := issuer.Mint(t.Context(), es256Scope())
			var failure *signer.Error
			if !errors.Is(err, oidctoken.ErrSignerUnavailable) || !errors.As(err, &failure) || failure.Temporary() || failure.Code != "AccessDeniedException" {
				t.Fatalf("Mint: %v, want the refusal", err)
			}
		}
		if n != 3 {
			t.Errorf("%d calls for 2,000 mints, want three", n)
		}
	})
}

// deniedSigner may not sign.
type deniedSigner struct {
	oidctoken.Signer
	guard *signer.Guard
	calls *int
}

func (s deniedSigner) Sign(ctx context.Context, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
	return nil, s.guard.Do(ctx, "kms", "Sign", counted(s.calls, denied))
}
