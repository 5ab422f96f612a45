package signer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken/signer"
	"pgregory.net/rapid"
)

// open opens a Guard's breaker.
func open(t *testing.T, g *signer.Guard) {
	t.Helper()
	for range 5 {
		if _, err := do(t.Context(), g, down); err == nil || strings.Contains(err.Error(), "not called") {
			t.Fatalf("a call on the way to open the breaker: %v", err)
		}
	}
}

// In an hour without the service it is called once a second, by whomever; the
// others fail at once.
func TestGuardOpen(t *testing.T) {
	for _, tt := range []struct {
		name    string
		service func(context.Context) error
	}{
		{"refuses", down},
		{"is slow to refuse", func(ctx context.Context) error { time.Sleep(300 * time.Millisecond); return down(ctx) }},
		{"hangs", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := signer.NewGuard(signer.Limits{Timeout: 2 * time.Second})
				for range 5 {
					do(t.Context(), g, tt.service)
				}
				var mu sync.Mutex
				var last time.Time
				var calls, others int
				end := time.Now().Add(time.Hour)
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() {
						for time.Now().Before(end) {
							called := false
							took, err := do(t.Context(), g, func(ctx context.Context) error {
								mu.Lock()
								called = true
								calls++
								if gap := time.Since(last); gap < time.Second {
									t.Errorf("a call %v after the last", gap)
								}
								last = time.Now()
								mu.Unlock()
								return tt.service(ctx)
							})
							mu.Lock()
							if !called {
								others++
								wantUnavailable(t, err, "not called: it failed before")
								if took != 0 {
									t.Errorf("it took %v", took)
								}
							}
							mu.Unlock()
							time.Sleep(330 * time.Millisecond)
						}
					})
				}
				wg.Wait()
				if calls < 1800 || calls > 3601 || others < 3*3600 {
					t.Errorf("%d calls and %d others in an hour", calls, others)
				}
			})
		})
	}
}

// The first call passes within a second after the service is back, and then all
// calls pass, for any length of the outage.
func TestGuardRecovery(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		outage := time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(rt, "outage"))
		every := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(300*time.Millisecond)).Draw(rt, "every"))
		var failed string
		synctest.Test(t, func(t *testing.T) { failed = recovers(t, outage, every) })
		if failed != "" {
			rt.Fatal(failed)
		}
	})
}

// recovers returns the fault of an outage of that length, for a caller with
// that interval, or "".
func recovers(t *testing.T, outage, every time.Duration) string {
	g := signer.NewGuard(signer.Limits{})
	open(t, g)
	back := time.Now().Add(outage)
	for {
		now := time.Now()
		_, err := do(t.Context(), g, func(ctx context.Context) error {
			if now.Before(back) {
				return down(ctx)
			}
			return nil
		})
		if err == nil {
			break
		}
		if since := now.Sub(back); since > time.Second+every {
			return fmt.Sprintf("no call was let through until %v after the service was back", since)
		}
		time.Sleep(every)
	}
	// The caller may have been late by its own interval.
	if since := time.Since(back); since > time.Second+every {
		return fmt.Sprintf("the first call was let through %v after the service was back", since)
	}
	for range 100 {
		if _, err := do(t.Context(), g, up); err != nil {
			return fmt.Sprintf("after recovery: %v", err)
		}
	}
	return ""
}

// The guard keeps the pause that the service asks for, 30 seconds at most.
func TestGuardRetryAfter(t *testing.T) {
	for _, tt := range []struct{ asked, want time.Duration }{
		{time.Second / 2, time.Second / 2},
		{7 * time.Second, 7 * time.Second},
		{time.Hour, 30 * time.Second},
		{math.MaxInt64, 30 * time.Second},
		{0, 0},
		{-time.Second, 0},
	} {
		t.Run(tt.asked.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := signer.NewGuard(signer.Limits{})
				asked := func(context.Context) error {
					return fmt.Errorf("wrapped: %w", &signer.Error{Service: "kms", Op: "Sign", Kind: signer.Unavailable, RetryAfter: tt.asked})
				}
				slow := make(chan error)
				go func() {
					_, err := do(t.Context(), g, func(context.Context) error { time.Sleep(time.Millisecond); return nil })
					slow <- err
				}()
				synctest.Wait()
				do(t.Context(), g, asked)
				began := time.Now()
				if err := <-slow; err != nil { // which does not end the pause
					t.Error(err)
				}
				for {
					_, err := do(t.Context(), g, up)
					if err == nil {
						break
					}
					wantUnavailable(t, err, "not called: it failed before, and is tried again in")
					time.Sleep(time.Millisecond)
				}
				if took := time.Since(began); took < tt.want || took > tt.want+2*time.Millisecond {
					t.Errorf("called after %v, want %v", took, tt.want)
				}
			})
		})
	}
}

// Which errors count for the breaker.
func TestGuardCounts(t *testing.T) {
	of := func(k signer.Kind) func(context.Context) error {
		return func(context.Context) error { return &signer.Error{Service: "kms", Op: "Sign", Kind: k} }
	}
	wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	cancelled := func(parent context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(parent)
		time.AfterFunc(2*time.Second, cancel)
		return ctx, cancel
	}
	deadline := func(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
		return func(parent context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(parent, d)
		}
	}
	for _, tt := range []struct {
		name    string
		ctx     func(context.Context) (context.Context, context.CancelFunc)
		service func(context.Context) error
		opens   bool // a closed breaker, when it happens often
		closes  bool // an open one, when it happens once
	}{
		{"unavailable", deadline(time.Hour), down, true, false},
		{"success", deadline(time.Hour), up, false, true},
		{"refused", deadline(time.Hour), of(signer.Refused), false, true},
		{"gone", deadline(time.Hour), of(signer.Gone), false, true},
		{"malformed", deadline(time.Hour), of(signer.Malformed), false, false},
		{"panic", deadline(time.Hour), func(context.Context) error { panic("x") }, false, false},
		{"an error of another type", deadline(time.Hour), func(context.Context) error { return errors.New("x") }, false, false},
		{"the timeout", deadline(time.Hour), wait, true, false},
		{"a deadline of a second", deadline(time.Second), wait, true, false},
		{"a deadline of a millisecond", deadline(time.Millisecond), wait, false, false},
		{"a cancelled call", cancelled, wait, false, false},
		{"a cancelled call that says unavailable", cancelled, func(ctx context.Context) error { <-ctx.Done(); return down(ctx) }, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := signer.NewGuard(signer.Limits{})
				once := func() {
					ctx, cancel := tt.ctx(t.Context())
					defer cancel()
					do(ctx, g, tt.service)
				}
				for range 20 {
					once()
				}
				if _, err := do(t.Context(), g, up); (err != nil) != tt.opens {
					t.Errorf("after 20 times, a call brings %v", err)
				}
				g = signer.NewGuard(signer.Limits{})
				open(t, g)
				time.Sleep(time.Second)
				once()
				closed := true
				for range 2 { // an open breaker lets one of two through at most
					_, err := do(t.Context(), g, func(context.Context) error { return errors.New("neutral") })
					closed = closed && !strings.Contains(err.Error(), "not called")
				}
				if closed != tt.closes {
					t.Errorf("an open breaker is closed afterwards: %v, want %v", closed, tt.closes)
				}
			})
		})
	}
}

// Failures in a row open it, and no others.
func TestGuardInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := signer.NewGuard(signer.Limits{})
		for range 100 {
			for range 4 {
				do(t.Context(), g, down)
			}
			if _, err := do(t.Context(), g, up); err != nil {
				t.Fatalf("after four failures: %v", err)
			}
		}
	})
}
