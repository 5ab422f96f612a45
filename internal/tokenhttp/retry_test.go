package tokenhttp_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// tries.try fails with errs, one after another, and then succeeds; it keeps when it
// was called.
type tries struct {
	start time.Time
	errs  []error
	at    []time.Duration
}

func (s *tries) try(context.Context) error {
	s.at = append(s.at, time.Since(s.start))
	if len(s.at) > len(s.errs) {
		return nil
	}
	return s.errs[len(s.at)-1]
}

// busy is an error with the wait that the cloud asks for.
type busy time.Duration

func (b busy) Error() string { return fmt.Sprintf("busy for %v", time.Duration(b)) }

func retryAfter(err error) tokenhttp.Again {
	var b busy
	var s shortly
	switch {
	case errors.As(err, &b):
		return tokenhttp.Again{For: tokenhttp.Always, After: time.Duration(b)}
	case errors.As(err, &s):
		return tokenhttp.Again{For: tokenhttp.Brief, After: time.Duration(s)}
	}
	return tokenhttp.Again{}
}

// shortly looks like a wrong configuration.
type shortly time.Duration

func (s shortly) Error() string { return fmt.Sprintf("not known yet, %v", time.Duration(s)) }

var errForGood = errors.New("for good")

// X09: how often and when tries are made. waits are bounds of each wait.
func TestRetry(t *testing.T) {
	ms := time.Millisecond
	type bounds struct{ min, max time.Duration }
	five := bounds{2500 * ms, 5 * time.Second}
	backoff := []bounds{{250 * ms, 500 * ms}, {500 * ms, time.Second}, {time.Second, 2 * time.Second}, {2 * time.Second, 4 * time.Second}, five, five}
	short := []bounds{{5 * time.Second, 5500 * ms}, {5 * time.Second, 5500 * ms}, {5 * time.Second, 5500 * ms}}
	for _, tt := range []struct {
		name     string
		deadline time.Duration // of ctx; 0: none
		budget   time.Duration // 0: a minute
		errs     []error
		want     error
		waits    []bounds
	}{
		{"success at once", 0, 0, nil, nil, nil},
		{"success after six", 0, 0, []error{busy(0), busy(0), busy(0), busy(0), busy(0), busy(0)}, nil, backoff},
		{"no time for another try", 0, 200 * ms, []error{busy(0), busy(1)}, busy(0), nil},
		{"a negative budget is none", 0, -1, []error{busy(0)}, nil, backoff[:1]},
		{"shortly", 0, 0, []error{shortly(5 * time.Second), shortly(5 * time.Second), shortly(5 * time.Second), shortly(6 * time.Second)}, shortly(6 * time.Second), short},
		{"shortly, after a longer outage", 0, 0, []error{busy(20 * time.Second), shortly(0)}, shortly(0), []bounds{{20 * time.Second, 22 * time.Second}}},
		{"shortly, and a smaller budget", 0, 8 * time.Second, []error{shortly(5 * time.Second), shortly(6 * time.Second)}, shortly(6 * time.Second), short[:1]},
		{"failure for good", 0, 0, []error{errForGood}, errForGood, nil},
		{"failure for good after another", 0, 0, []error{busy(0), errForGood}, errForGood, backoff[:1]},
		{"as long as asked", 0, 0, []error{busy(7 * time.Second)}, nil, []bounds{{7 * time.Second, 7700 * ms}}},
		{"asked for less than the backoff", 0, 0, []error{busy(ms)}, nil, backoff[:1]},
		{"asked for a negative time", 0, 0, []error{busy(-time.Hour)}, nil, backoff[:1]},
		{"asked for too long", 0, 0, []error{busy(time.Hour)}, nil, []bounds{{30 * time.Second, 30 * time.Second}}},
		{"a minute is over", 0, 0, []error{busy(25 * time.Second), busy(25 * time.Second), busy(25 * time.Second)}, busy(25 * time.Second), []bounds{{25 * time.Second, 27500 * ms}, {25 * time.Second, 27500 * ms}}},
		{"wait beyond the deadline", 5 * time.Second, 0, []error{busy(6 * time.Second)}, busy(6 * time.Second), nil},
		{"wait until the deadline", 30 * time.Second, 0, []error{busy(30 * time.Second)}, busy(30 * time.Second), nil},
		{"wait within the deadline", 8 * time.Second, 0, []error{busy(6 * time.Second)}, nil, []bounds{{6 * time.Second, 6600 * ms}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.deadline != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				s := tries{start: time.Now(), errs: tt.errs}
				if err := tokenhttp.Retry(ctx, tt.budget, s.try, retryAfter); err != tt.want {
					t.Errorf("Retry = %v, want %v as it is", err, tt.want)
				}
				if len(s.at) != len(tt.waits)+1 {
					t.Fatalf("tries at %v, want %d", s.at, len(tt.waits)+1)
				}
				for i, w := range tt.waits {
					if wait := s.at[i+1] - s.at[i]; wait < w.min || wait > w.max {
						t.Errorf("wait %d is %v, want %v to %v", i+1, wait, w.min, w.max)
					}
				}
				if over := time.Since(s.start) - s.at[len(s.at)-1]; over != 0 {
					t.Errorf("Retry returned %v after the last try", over)
				}
			})
		})
	}
}

// X09: the waits are jittered.
func TestRetryJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := make(map[time.Duration]bool)
		for _, after := range []time.Duration{0, 10 * time.Second} {
			for range 20 {
				s := tries{start: time.Now(), errs: []error{busy(after)}}
				if err := tokenhttp.Retry(t.Context(), 0, s.try, retryAfter); err != nil {
					t.Fatal(err)
				}
				waits[s.at[1]] = true
			}
		}
		if len(waits) < 30 {
			t.Errorf("%d different waits of 40", len(waits))
		}
	})
}

// X07: the end of ctx ends the retries, and both it and the last failure are
// in the error.
func TestRetryContextEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		try  func(ctx context.Context, n int) error
		want string
		last bool // busy is found too
	}{
		{"while it waits", func(context.Context, int) error { return busy(20 * time.Second) }, "context canceled; the last failure before: busy for 20s", true},
		{"in the first try", func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return &tokenhttp.Error{Kind: tokenhttp.Ended, Reason: "ended", Err: ctx.Err()}
		}, "ended", false},
		{"in the first try, which fails otherwise", func(ctx context.Context, _ int) error { <-ctx.Done(); return busy(1) }, "context canceled; the last failure before: busy for 1ns", true},
		{"in the second try", func(ctx context.Context, n int) error {
			if n == 1 {
				return busy(1)
			}
			<-ctx.Done()
			return ctx.Err()
		}, "context canceled; the last failure before: busy for 1ns", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(10*time.Second, cancel)
				n := 0
				start := time.Now()
				err := tokenhttp.Retry(ctx, 0, func(ctx context.Context) error { n++; return tt.try(ctx, n) }, retryAfter)
				if elapsed := time.Since(start); elapsed != 10*time.Second {
					t.Errorf("Retry took %v, want 10s", elapsed)
				}
				if err == nil || err.Error() != tt.want || !errors.Is(err, context.Canceled) {
					t.Errorf("Retry = %v, want %q, which is context.Canceled", err, tt.want)
				}
				if found := retryAfter(err).For > 0; found != tt.last {
					t.Errorf("the last failure is found: %t, want %t", found, tt.last)
				}
			})
		})
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tokenhttp.Retry(canceled, 0, func(context.Context) error { t.Error("tried"); return nil }, retryAfter); err != context.Canceled {
		t.Errorf("Retry of a ctx that ended = %v", err)
	}
}

// X09: the statuses that a retry may mend.
func TestRetryableStatus(t *testing.T) {
	var got []int
	for status := range 1000 {
		if tokenhttp.RetryableStatus(status) {
			got = append(got, status)
		}
	}
	if diff := cmp.Diff([]int{408, 429, 500, 502, 503, 504}, got); diff != "" {
		t.Errorf("RetryableStatus (-want +got):\n%s", diff)
	}
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// X09: Retry-After is a number of seconds or a date, or nothing.
func TestParseRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"1":                              time.Second,
		" 7 ":                            7 * time.Second,
		"007":                            7 * time.Second,
		"30":                             30 * time.Second,
		"31":                             30 * time.Second,
		"86400":                          30 * time.Second,
		"9223372036854775808":            30 * time.Second,
		"99999999999999999999999999":     30 * time.Second,
		"-1":                             0,
		"+1":                             0,
		"1.5":                            0,
		"1e3":                            0,
		"0x10":                           0,
		"1 s":                            0,
		"soon":                           0,
		"٣":                              0,
		"Sun, 01 Mar 2026 12:00:09 GMT":  9 * time.Second,
		"Sunday, 01-Mar-26 12:00:09 GMT": 9 * time.Second,
		"Sun Mar  1 12:00:09 2026":       9 * time.Second,
		"Sun, 01 Mar 2026 11:00:00 GMT":  0,
		"Sun, 01 Mar 9999 12:00:09 GMT":  30 * time.Second,
		"Sat, 01 Jan 0000 00:00:00 GMT":  0,
		"Sun, 32 Mar 2026 12:00:09 GMT":  0,
	} {
		if got := tokenhttp.ParseRetryAfter(value, noon); got != want {
			t.Errorf("ParseRetryAfter(%q) = %v, want %v", value, got, want)
		}
	}
}

// X09: any date up to 30 s ahead is met to the second.
func TestParseRetryAfterDate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ahead := time.Duration(rapid.IntRange(-100, 100).Draw(t, "ahead")) * time.Second
		date := noon.Add(ahead).Format("Mon, 02 Jan 2006 15:04:05 GMT")
		if got, want := tokenhttp.ParseRetryAfter(date, noon), min(max(ahead, 0), 30*time.Second); got != want {
			t.Fatalf("ParseRetryAfter(%q) = %v, want %v", date, got, want)
		}
	})
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, s := range []string{"", "7", "-1", "99999999999999999999", "Sun, 01 Mar 2026 12:00:09 GMT", "Sun Mar  1 12:00:09 2026"} {
		f.Add(s, int64(0))
	}
	f.Fuzz(func(t *testing.T, value string, now int64) {
		if got := tokenhttp.ParseRetryAfter(value, time.Unix(now, 0)); got < 0 || got > 30*time.Second {
			t.Errorf("ParseRetryAfter(%q) = %v", value, got)
		}
	})
}

// X07: the end of the budget does not end the caller's ctx. It ends the current
// try, and the error is that of the try before.
func TestRetryBudgetEnds(t *testing.T) {
	hangs := func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("minting: %w", ctx.Err()) }
	for _, tt := range []struct {
		name     string
		deadline time.Duration // of ctx; 0: none
		first    error         // of the first try; the others hang
		want     string
		ended    bool // errors.Is finds the end of ctx
		took     time.Duration
	}{
		{"the first try hangs", 0, nil, "nothing was done within 3s", false, 3 * time.Second},
		{"the second try hangs", 0, busy(1), "busy for 1ns", false, 3 * time.Second},
		{"ctx ends earlier", 2 * time.Second, nil, "minting: context deadline exceeded", true, 2 * time.Second},
		{"ctx ends at the same time", 3 * time.Second, nil, "minting: context deadline exceeded", true, 3 * time.Second},
		{"ctx ends later", 4 * time.Second, nil, "nothing was done within 3s", false, 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.deadline != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				start, n := time.Now(), 0
				err := tokenhttp.Retry(ctx, 3*time.Second, func(ctx context.Context) error {
					if n++; n == 1 && tt.first != nil {
						return tt.first
					}
					return hangs(ctx)
				}, retryAfter)
				if err == nil || err.Error() != tt.want || errors.Is(err, context.DeadlineExceeded) != tt.ended {
					t.Errorf("Retry = %v, want %q, which is the end of ctx: %t", err, tt.want, tt.ended)
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("Retry took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

// No part of the budget is lost: the last try is moved to just before its end.
func TestRetryLastTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 50 {
			start := time.Now()
			err := tokenhttp.Retry(t.Context(), 0, func(context.Context) error {
				if time.Since(start) < 58400*time.Millisecond {
					return busy(0)
				}
				return nil
			}, retryAfter)
			if err != nil {
				t.Fatalf("Retry = %v after an outage of 58.4 s and %v", err, time.Since(start))
			}
		}
	})
}

// X07, X09: with any budget, a call survives an outage that ends a little
// before the budget. No try begins after the budget, and the number of tries is
// limited.
func TestRetryProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		budget := time.Duration(rapid.Int64Range(int64(time.Second), int64(5*time.Minute)).Draw(rt, "budget"))
		lasts := time.Duration(rapid.Int64Range(0, int64(budget)*2).Draw(rt, "lasts"))
		synctest.Test(t, func(*testing.T) {
			start, n, last := time.Now(), 0, time.Duration(0)
			err := tokenhttp.Retry(context.Background(), budget, func(context.Context) error {
				n, last = n+1, time.Since(start)
				if last < lasts {
					return busy(0)
				}
				return nil
			}, retryAfter)
			const left = 1500 * time.Millisecond
			switch {
			case lasts < budget-left && err != nil, lasts >= budget && err == nil:
				rt.Errorf("Retry = %v after an outage of %v with a budget of %v", err, lasts, budget)
			case last >= budget, n > 6+int(budget/(2500*time.Millisecond)):
				rt.Errorf("%d tries, the last after %v of %v", n, last, budget)
			case time.Since(start) > last:
				rt.Errorf("Retry returned %v after the last try", time.Since(start)-last)
			}
		})
	})
}
