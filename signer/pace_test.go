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

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/signer"
)

func throttled(context.Context) error {
	return &signer.Error{Service: "kms", Op: "Sign", Kind: signer.Unavailable, Code: "ThrottlingException"}
}

// With the default Burst, no second has more calls than the rate. 100 came in the
// first one before.
func TestGuardFirstSecond(t *testing.T) {
	for _, rate := range []float64{1, 7, 50, 1000} {
		synctest.Test(t, func(t *testing.T) {
			g := signer.NewGuard(signer.Limits{Rate: rate, Timeout: time.Hour})
			var mu sync.Mutex
			calls := make(map[time.Duration]int) // by the second in which they begin
			var wg sync.WaitGroup
			began := time.Now()
			for range int(5 * rate) {
				wg.Go(func() {
					do(t.Context(), g, func(context.Context) error {
						mu.Lock()
						defer mu.Unlock()
						calls[time.Since(began).Truncate(time.Second)]++
						return nil
					})
				})
			}
			wg.Wait()
			want := make(map[time.Duration]int)
			for second := range time.Duration(5) {
				want[second*time.Second] = int(rate)
			}
			if diff := cmp.Diff(want, calls); diff != "" {
				t.Errorf("at %v per second (-want +got):\n%s", rate, diff)
			}
		})
	}
}

// perSecond has callers call all the time, each with a minute, and counts in each
// second the calls that reach the service and those that the Guard fails.
func perSecond(t *testing.T, g *signer.Guard, seconds int, f func(second int) error) (calls, failed []int) {
	calls, failed = make([]int, seconds), make([]int, seconds)
	var mu sync.Mutex
	began := time.Now()
	second := func() int { return int(time.Since(began) / time.Second) }
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for second() < seconds {
				_, err := do(t.Context(), g, func(context.Context) error {
					mu.Lock()
					defer mu.Unlock()
					now := second()
					if now < seconds {
						calls[now]++
					}
					return f(now)
				})
				if now := second(); err != nil && strings.Contains(err.Error(), "not called") {
					mu.Lock()
					if now < seconds {
						failed[now]++
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return calls, failed
}

// A throttled call halves the rate, which comes back by a tenth per second. No call
// fails because of it, and the breaker stays closed.
func TestGuardSlowsDown(t *testing.T) {
	for _, tt := range []struct {
		name      string
		limits    signer.Limits
		throttles int // the first calls that are throttled
		want      []int
	}{
		{"once", signer.Limits{Rate: 100, InFlight: 1, Timeout: time.Minute}, 1, []int{50, 60, 70, 80, 90, 100, 100}},
		{"with a burst", signer.Limits{Rate: 100, Burst: 10, InFlight: 1, Timeout: time.Minute}, 10, []int{50, 60, 70, 80, 90, 100, 100}},
		{"never", signer.Limits{Rate: 100, Timeout: time.Minute}, 0, []int{100, 100, 100, 100, 100, 100, 100}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				calls, failed := perSecond(t, signer.NewGuard(tt.limits), 7, func(int) error {
					if n++; n <= tt.throttles {
						return throttled(t.Context())
					}
					return nil
				})
				for i := range calls {
					if calls[i] < tt.want[i]-1 || calls[i] > tt.want[i]+1 {
						t.Fatalf("calls in each second are %v, want about %v", calls, tt.want)
					}
				}
				if diff := cmp.Diff(make([]int, 7), failed); diff != "" {
					t.Errorf("calls that the Guard failed in each second (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// However long the service throttles, it is called once a second at least, and
// after that at the full rate within ten seconds.
func TestGuardThrottledForLong(t *testing.T) {
	for _, full := range []float64{0.5, 64} {
		synctest.Test(t, func(t *testing.T) {
			g := signer.NewGuard(signer.Limits{Rate: full, Timeout: time.Hour, InFlight: 8})
			calls, failed := perSecond(t, g, 60, func(second int) error {
				if second < 30 {
					return throttled(t.Context())
				}
				return nil
			})
			sum := func(of []int) (n int) {
				for _, n1 := range of {
					n += n1
				}
				return n
			}
			lowest, most := min(1, full), max(1, full/8)
			if n := float64(sum(calls[20:30])); n < 10*lowest-1 || n > 10*most {
				t.Errorf("%v calls in 10 s of throttling, want %v to %v per second", n, lowest, most)
			}
			if n := float64(sum(calls[50:])); math.Abs(n-10*full) > 1 {
				t.Errorf("%v calls in 10 s, 20 s after it, want %v per second", n, full)
			}
			if n := sum(failed); n != 0 {
				t.Errorf("the Guard failed %d calls", n)
			}
		})
	}
}

// Calls that were under way when the rate was halved do not halve it again.
func TestGuardSlowsDownOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := signer.NewGuard(signer.Limits{Rate: 100, Burst: 32, Timeout: time.Minute})
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				do(t.Context(), g, func(context.Context) error {
					time.Sleep(100*time.Millisecond + time.Duration(i)*time.Millisecond)
					return throttled(t.Context())
				})
			})
		}
		wg.Wait()
		for range 3 { // one comes at once
			do(t.Context(), g, up)
		}
		if took, err := do(t.Context(), g, up); err != nil || took != 20*time.Millisecond {
			t.Errorf("a call took %v and brought %v, want 20 ms: 50 per second", took, err)
		}
	})
}

// A host without a limit is slowed down to half of its rate.
func TestGuardWithoutLimitSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := signer.NewGuard(signer.Limits{Timeout: time.Minute})
		for range 40 {
			do(t.Context(), g, up)
			time.Sleep(25 * time.Millisecond)
		}
		do(t.Context(), g, throttled) // after 40 calls in a second
		do(t.Context(), g, up)
		if took, err := do(t.Context(), g, up); err != nil || took != 50*time.Millisecond {
			t.Errorf("a call took %v and brought %v, want 50 ms: 20 per second", took, err)
		}
		time.Sleep(5 * time.Second)
		for range 1000 {
			if took, err := do(t.Context(), g, up); err != nil || took != 0 {
				t.Fatalf("5 s later, a call took %v and brought %v", took, err)
			}
		}
	})
}

// Throttling never opens the breaker, closes an open one, and no other code does
// what throttling does.
func TestGuardThrottlingIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := signer.NewGuard(signer.Limits{})
		for range 4 {
			do(t.Context(), g, down)
		}
		for range 100 {
			if _, err := do(t.Context(), g, throttled); strings.Contains(err.Error(), "not called") {
				t.Fatalf("a throttled service is not called: %v", err)
			}
		}
		for range 4 { // and four failures more are not five in a row
			do(t.Context(), g, down)
		}
		if _, err := do(t.Context(), g, up); err != nil {
			t.Errorf("after four failures: %v", err)
		}
		open(t, g)
		time.Sleep(time.Second)
		do(t.Context(), g, throttled)
		if _, err := do(t.Context(), g, up); err != nil {
			t.Errorf("a service that throttles is there: %v", err)
		}
	})
}

// While the service asks for a pause, 30 s at most, calls wait or fail at once.
func TestGuardThrottledRetryAfter(t *testing.T) {
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
				g := signer.NewGuard(signer.Limits{Rate: 1000, Timeout: time.Minute})
				do(t.Context(), g, func(context.Context) error {
					return fmt.Errorf("wrapped: %w", &signer.Error{Service: "kms", Op: "Sign", Kind: signer.Unavailable, Code: "429", RetryAfter: tt.asked})
				})
				if tt.want > 0 {
					ctx, cancel := context.WithTimeout(t.Context(), tt.want)
					defer cancel()
					took, err := do(ctx, g, func(context.Context) error { t.Error("called"); return nil })
					wantUnavailable(t, err, "not called: the service asked to be called again in "+tt.want.String())
					if took != 0 {
						t.Errorf("a caller in a hurry waited %v", took)
					}
					ctx, leave := context.WithCancel(t.Context())
					time.AfterFunc(tt.want/2, leave)
					if took, err := do(ctx, g, up); !errors.Is(err, context.Canceled) || took != tt.want/2 {
						t.Errorf("a caller that leaves: %v after %v", err, took)
					}
				}
				began := time.Now()
				var wg sync.WaitGroup
				for range 10 {
					wg.Go(func() {
						if _, err := do(t.Context(), g, up); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				// And then they come one after the other.
				least := tt.want - tt.want/2
				if took := time.Since(began); took < least || took > least+20*time.Millisecond {
					t.Errorf("10 calls took %v, want %v and a little", took, least)
				}
			})
		})
	}
}

// A service with a quota of 50 per second that serves a host with a limit of 50 is
// not over its quota; with a limit of 100, its callers do not meet an open breaker.
func TestGuardFitsQuota(t *testing.T) {
	for _, tt := range []struct {
		rate      float64
		throttled int // at most, of the calls in 20 s
	}{{50, 0}, {100, 40}} {
		synctest.Test(t, func(t *testing.T) {
			service, g := newKMS(), signer.NewGuard(signer.Limits{Rate: tt.rate})
			var mu sync.Mutex
			var served, throttled, failed int
			end := time.Now().Add(20 * time.Second)
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					for time.Now().Before(end) {
						_, err := do(t.Context(), g, func(ctx context.Context) error { return service.ask(ctx, "Sign") })
						mu.Lock()
						switch {
						case err == nil:
							served++
						case strings.Contains(err.Error(), "ThrottlingException"):
							throttled++
						default:
							failed++
						}
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			if throttled > tt.throttled || failed > 0 || served < 20*kmsQuota*3/4 {
				t.Errorf("with %v per second: %d served, %d throttled, %d not called; want %d served, %d throttled at most, and none not called",
					tt.rate, served, throttled, failed, 20*kmsQuota*3/4, tt.throttled)
			}
		})
	}
}

func TestErrorThrottled(t *testing.T) {
	for _, code := range []string{
		"429", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
		"RequestLimitExceeded", "TooManyRequestsException", "SlowDown", "Throttled", "TooManyRequests", "RESOURCE_EXHAUSTED",
	} {
		for kind, want := range map[signer.Kind]bool{signer.Unavailable: true, signer.Refused: false, signer.Gone: false, signer.Malformed: false} {
			if e := (&signer.Error{Kind: kind, Code: code}); e.Throttled() != want {
				t.Errorf("%s as %v: Throttled is %v", code, kind, !want)
			}
		}
	}
	for _, code := range []string{"", "503", "500", "408", "LimitExceededException", "KMSInternalException", "UNAVAILABLE"} {
		if e := (&signer.Error{Kind: signer.Unavailable, Code: code}); e.Throttled() {
			t.Errorf("%q: Throttled is true", code)
		}
	}
}

// A caller that leaves gives its turn to the next one.
func TestGuardTurnIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := signer.NewGuard(signer.Limits{Rate: 1, Timeout: time.Minute})
		do(t.Context(), g, up)
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, leave)
		if took, err := do(ctx, g, up); !errors.Is(err, context.Canceled) || took != 100*time.Millisecond {
			t.Errorf("a caller that leaves: %v after %v", err, took)
		}
		if took, err := do(t.Context(), g, up); err != nil || took != 900*time.Millisecond {
			t.Errorf("the next caller: %v after %v, want its turn after 900 ms", err, took)
		}
	})
}
