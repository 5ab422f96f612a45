package cloudtest

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// An Exchange makes one exchange with a cloud. It returns the JWTs that it sent, and
// whether it returned a credential. budget is the Config's, 0 for the default of a
// minute.
type Exchange func(ctx context.Context, t *testing.T, cloud http.Handler, budget time.Duration) (jwts []string, ok bool, err error)

// Outage answers with down until lasts has passed since start, and with up afterwards.
func Outage(start time.Time, lasts time.Duration, down, up http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if time.Since(start) < lasts {
			down.ServeHTTP(w, r)
			return
		}
		up.ServeHTTP(w, r)
	})
}

// temporary is the method of an *exchange.Error.
type temporary interface{ Temporary() bool }

// TestOutage tests that an exchange survives an outage that is shorter than its budget,
// with a new JWT for each try, and that it ends with the budget. down has the temporary
// failures of the cloud.
func TestOutage(t *testing.T, down map[string]func() http.Handler, up func() http.Handler, exchange Exchange) {
	for name, down := range down {
		for _, tt := range []struct {
			lasts, budget, deadline time.Duration
			ok                      bool
		}{
			{5 * time.Second, 0, 0, true},
			{50 * time.Second, 0, 0, true},
			{58 * time.Second, 0, 0, true},
			{61 * time.Second, 0, 0, false},
			{8 * time.Second, 10 * time.Second, 0, true},
			{11 * time.Second, 10 * time.Second, 0, false},
			{100 * time.Second, 2 * time.Minute, 0, true},
			{5 * time.Second, 0, 10 * time.Second, true},
			{11 * time.Second, 0, 10 * time.Second, false},
		} {
			t.Run(name+"/"+tt.lasts.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, most := t.Context(), time.Minute
					if tt.budget != 0 {
						most = tt.budget
					}
					if tt.deadline != 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, tt.deadline)
						defer cancel()
						most = tt.deadline
					}
					start := time.Now()
					jwts, ok, err := exchange(ctx, t, Outage(start, tt.lasts, down(), up()), tt.budget)
					took := time.Since(start)
					if took > most+250*time.Millisecond {
						t.Errorf("Exchange took %s, want at most %s", took, most)
					}
					if (err == nil) != tt.ok || ok != tt.ok {
						t.Fatalf("Exchange returned a credential: %t, %v, want success: %t", ok, err, tt.ok)
					}
					checkTries(t, jwts, took)
					if tt.ok {
						if took < tt.lasts || took > tt.lasts+6*time.Second {
							t.Errorf("Exchange took %s after an outage of %s", took, tt.lasts)
						}
						return
					}
					var last temporary
					if !errors.As(err, &last) || !last.Temporary() || took < most*8/10 {
						t.Errorf("error = %v after %s, want the cloud's last one after %s", err, took, most)
					}
					NoLeak(t, err, jwts...)
				})
			})
		}
	}
}

// checkTries requires several tries, not too many, each with a new JWT.
func checkTries(t *testing.T, jwts []string, took time.Duration) {
	t.Helper()
	if len(jwts) > 6+int(took/(2500*time.Millisecond)) {
		t.Errorf("%d tries in %s", len(jwts), took)
	}
	seen := make(map[string]bool)
	for _, jwt := range jwts {
		seen[jwt] = true
	}
	if len(seen) != len(jwts) || len(seen) < 2 {
		t.Errorf("%d JWTs, of which %d differ", len(jwts), len(seen))
	}
}

// TestBudgetEnds tests that a cloud that never answers costs no more than the budget,
// and that the end of the budget does not look like the end of the caller's ctx.
func TestBudgetEnds(t *testing.T, exchange Exchange) {
	silent := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for _, budget := range []time.Duration{0, 3 * time.Second, 25 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			_, _, err := exchange(t.Context(), t, silent, budget)
			most := budget
			if budget == 0 {
				most = time.Minute
			}
			if took := time.Since(start); took > most || took < most*8/10 {
				t.Errorf("Exchange took %s, want %s", took, most)
			}
			var last temporary
			if !errors.As(err, &last) || !last.Temporary() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				t.Errorf("error = %v, want a temporary one without an end of ctx", err)
			}
		})
	}
}
