package signer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken/signer"
)

const moment = 250 * time.Millisecond // after a deadline

// down returns the answer of a service that is unavailable.
func down(context.Context) error {
	return &signer.Error{Service: "kms", Op: "Sign", Kind: signer.Unavailable, Code: "503"}
}

func up(context.Context) error { return nil }

// do returns a call of a Guard, and how long it took.
func do(ctx context.Context, g *signer.Guard, f func(context.Context) error) (time.Duration, error) {
	began := time.Now()
	err := g.Do(ctx, "kms", "Sign", f)
	return time.Since(began), err
}

// wantUnavailable requires an *Error of kind Unavailable for kms: Sign, with
// these words.
func wantUnavailable(t *testing.T, err error, words string) {
	t.Helper()
	var failure *signer.Error
	if !errors.As(err, &failure) || failure.Kind != signer.Unavailable || failure.Service != "kms" || failure.Op != "Sign" {
		t.Errorf("the error is %v, want an *Error of kind Unavailable", err)
	} else if !strings.Contains(err.Error(), words) {
		t.Errorf("the error is %q, want %q in it", err, words)
	}
}

// Calls come exactly as the rate allows, however many want to.
func TestGuardRate(t *testing.T) {
	for _, tt := range []struct {
		limits signer.Limits
		calls  int
		took   time.Duration
	}{
		{signer.Limits{Rate: 50, Burst: 10}, 510, 10 * time.Second},
		{signer.Limits{Rate: 50}, 501, 10 * time.Second},
		{signer.Limits{Rate: 50, Burst: -1}, 501, 10 * time.Second},
		{signer.Limits{Rate: 0.5}, 11, 20 * time.Second},
		{signer.Limits{Rate: 1000, Burst: 1}, 1001, time.Second},
		{signer.Limits{}, 1000, 0},
		{signer.Limits{Rate: -1, Burst: -1, InFlight: -1}, 1000, 0},
		{signer.Limits{Rate: math.NaN()}, 1000, 0},
		{signer.Limits{Rate: math.Inf(1)}, 1000, 0},
		{signer.Limits{Rate: 1e300}, 1000, 0},
	} {
		t.Run(fmt.Sprintf("%+v", tt.limits), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tt.limits.Timeout = time.Hour
				g := signer.NewGuard(tt.limits)
				var mu sync.Mutex
				var at []time.Duration
				began := time.Now()
				var wg sync.WaitGroup
				for range tt.calls {
					wg.Go(func() {
						_, err := do(t.Context(), g, func(context.Context) error {
							mu.Lock()
							defer mu.Unlock()
							at = append(at, time.Since(began))
							return nil
						})
						if err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if took := time.Since(began); took < tt.took-time.Microsecond || took > tt.took+time.Microsecond {
					t.Errorf("%d calls took %v, want %v", tt.calls, took, tt.took)
				}
				checkRate(t, tt.limits, at)
			})
		})
	}
}

// checkRate requires that no window has more calls than the limit allows.
func checkRate(t *testing.T, l signer.Limits, at []time.Duration) {
	t.Helper()
	if !(l.Rate > 0) || l.Rate > 1e9 { // a call takes no time
		return
	}
	burst := float64(max(1, l.Burst))
	for i := range at {
		for j := i; j < len(at); j++ {
			if n, most := float64(j-i+1), burst+l.Rate*(at[j]-at[i]).Seconds(); n > most+1e-3 {
				t.Fatalf("%v calls within %v, want at most %v", n, at[j]-at[i], most)
			}
		}
	}
}

// A caller that cannot get a turn before its deadline fails at once.
func TestGuardNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := signer.NewGuard(signer.Limits{Rate: 1, Burst: 1, InFlight: 1})
		if _, err := do(t.Context(), g, up); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
		defer cancel()
		took, err := do(ctx, g, func(context.Context) error { t.Error("called"); return nil })
		wantUnavailable(t, err, "not called: the limit of 1 per second leaves no turn in time")
		if took != 0 {
			t.Errorf("it took %v", took)
		}
		if took, err := do(t.Context(), g, up); err != nil || took != time.Second {
			t.Errorf("a caller with time: %v after %v, want a second", err, took)
		}
	})
}

// The number of running calls is limited. Other calls wait, and fail at their
// deadline.
func TestGuardInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := signer.NewGuard(signer.Limits{InFlight: 3})
		var mu sync.Mutex
		var now, most int
		count := func(by int) {
			mu.Lock()
			defer mu.Unlock()
			now += by
			most = max(most, now)
		}
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() {
				_, err := do(t.Context(), g, func(context.Context) error {
					count(1)
					defer count(-1)
					time.Sleep(100 * time.Millisecond)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if most != 3 {
			t.Errorf("%d calls were under way at once, want 3", most)
		}
	})
}

// A call that does not return is left behind at the deadline, and no more of
// them pile up than may be under way. X07
func TestGuardStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := signer.NewGuard(signer.Limits{InFlight: 3, Timeout: 2 * time.Second})
		release := make(chan struct{})
		var stuck atomic.Int32
		hang := func(context.Context) error {
			stuck.Add(1)
			<-release
			return nil
		}
		for i := range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			took, err := do(ctx, g, hang)
			cancel()
			wantUnavailable(t, err, map[bool]string{true: "no answer after 1.5s", false: "not called: 3 calls are under way"}[i < 3])
			if !errors.Is(err, context.DeadlineExceeded) || took != 1500*time.Millisecond {
				t.Errorf("call %d: %v after %v", i, err, took)
			}
		}
		if n := stuck.Load(); n != 3 {
			t.Errorf("%d calls are stuck, want 3", n)
		}
		before := runtime.NumGoroutine()
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, err := do(ctx, g, hang)
			cancel()
			wantUnavailable(t, err, "not called")
		}
		if n := runtime.NumGoroutine(); n > before+10 { // the runtime has some goroutines, too
			t.Errorf("%d goroutines after 100 calls, want some %d as before", n, before)
		}
		if n := stuck.Load(); n != 3 {
			t.Errorf("%d calls were made, want 3", n)
		}
		close(release)
		synctest.Wait()
		if took, err := do(t.Context(), g, up); err != nil || took != 0 {
			t.Errorf("when the calls have returned: %v after %v", err, took)
		}
	})
}

// While the breaker is open, no call waits for a slot.
func TestGuardStuckAndOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := signer.NewGuard(signer.Limits{InFlight: 5, Timeout: time.Second})
		release := make(chan struct{})
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				took, err := do(t.Context(), g, func(context.Context) error { <-release; return nil })
				wantUnavailable(t, err, "no answer after 1s")
				if took > time.Second+moment {
					t.Errorf("it took %v", took)
				}
			})
		}
		wg.Wait()
		time.Sleep(10 * time.Second)
		took, err := do(t.Context(), g, up)
		wantUnavailable(t, err, "not called: 5 calls are under way")
		if took != 0 {
			t.Errorf("it took %v", took)
		}
		close(release)
		synctest.Wait()
		if _, err := do(t.Context(), g, up); err != nil {
			t.Errorf("when the calls have returned: %v", err)
		}
	})
}

// A canceled caller gets its ctx's error, wherever the call is.
func TestGuardCancel(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limits signer.Limits
		busy   func(context.Context) error // goes first
	}{
		{"before it", signer.Limits{}, nil},
		{"while it waits for a slot", signer.Limits{InFlight: 1, Timeout: time.Minute}, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
		{"while it waits for its turn", signer.Limits{Rate: 0.1, Burst: 1, Timeout: time.Minute}, up},
		{"during the call", signer.Limits{Timeout: time.Minute}, up},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := signer.NewGuard(tt.limits)
				ctx, cancel := context.WithCancel(t.Context())
				after := time.Second
				if tt.busy == nil {
					cancel()
					after = 0
				} else {
					busy, stop := context.WithCancel(t.Context())
					defer stop()
					go do(busy, g, tt.busy)
					synctest.Wait()
					time.AfterFunc(after, cancel)
				}
				took, err := do(ctx, g, func(ctx context.Context) error { <-ctx.Done(); return down(ctx) })
				if !errors.Is(err, context.Canceled) || took != after {
					t.Errorf("%v after %v, want %v after %v", err, took, context.Canceled, after)
				}
				var classed interface{ Temporary() bool }
				if errors.As(err, &classed) {
					t.Errorf("the error %v says that the service failed", err)
				}
				if got := err.Error(); got != "kms: Sign: context canceled" {
					t.Errorf("the error is %q", got)
				}
			})
		})
	}
}

// A deadline that has passed makes no call.
func TestGuardTooLate(t *testing.T) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	_, err := do(ctx, signer.NewGuard(signer.Limits{}), func(context.Context) error { t.Error("called"); return nil })
	wantUnavailable(t, err, "not called: it was too late: context deadline exceeded")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
}

// An answer that comes as the deadline passes is one.
func TestGuardLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := signer.NewGuard(signer.Limits{Timeout: time.Second})
		for range 100 {
			_, err := do(t.Context(), g, func(ctx context.Context) error { time.Sleep(time.Second - 1); return nil })
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// An adapter that panics on an answer is an error, which names the place and
// shows nothing of the answer.
func TestGuardPanic(t *testing.T) {
	g := signer.NewGuard(signer.Limits{InFlight: 1})
	for _, tt := range []struct {
		name, want string
		f          func(context.Context) error
	}{
		{"of the runtime", "panic: runtime error: index out of range [7] with length 3 in github.com/oidctoken/oidctoken/signer_test.TestGuardPanic.", func(context.Context) error {
			answer := make([]byte, 3)
			answer[len(answer)+4]++
			return nil
		}},
		{"of nil", "panic: runtime error: invalid memory address or nil pointer dereference in github.com/oidctoken/oidctoken/signer_test.TestGuardPanic.", func(context.Context) error {
			var answer *struct{ n int }
			answer.n++
			return nil
		}},
		{"of a text", "panic of type string in github.com/oidctoken/oidctoken/signer_test.TestGuardPanic.", func(context.Context) error { panic("hunter2") }},
		{"of an error", "panic of type *errors.errorString in github.com/oidctoken/oidctoken/signer_test.TestGuardPanic.", func(context.Context) error { panic(errors.New("hunter2")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := do(t.Context(), g, tt.f)
			var failure *signer.Error
			if !errors.As(err, &failure) || failure.Kind != signer.Malformed || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want %q", err, tt.want)
			}
			if strings.Contains(fmt.Sprintf("%+v %#v", err, failure), "hunter2") {
				t.Errorf("the error shows the value: %v", err)
			}
		})
	}
	// The end of a goroutine ends no caller, and returns its slot.
	if _, err := do(t.Context(), g, func(context.Context) error { runtime.Goexit(); return nil }); err == nil {
		t.Error("a call that ended its goroutine brought no error")
	}
	if _, err := do(t.Context(), g, up); err != nil {
		t.Error(err)
	}
}
