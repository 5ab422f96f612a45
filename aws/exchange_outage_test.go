package aws_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/exchange"
)

// outage answers with down until it is over, and then with up.
func outage(start time.Time, lasts time.Duration, down, up http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if time.Since(start) < lasts {
			down.ServeHTTP(w, r)
			return
		}
		up.ServeHTTP(w, r)
	})
}

func working() http.Handler { return &sts{answers: []answer{good(time.Now().Add(time.Hour))}} }

// outages are the temporary failures of AWS STS.
var outages = map[string]func() http.Handler{
	"unavailable":        func() http.Handler { return &sts{answers: []answer{{status: 503}}} },
	"throttling":         func() http.Handler { return &sts{answers: []answer{refused(400, "Throttling", "Rate exceeded")}} },
	"issuer not reached": func() http.Handler { return &sts{answers: []answer{refused(400, "IDPCommunicationError", "x")}} },
	"key not read": func() http.Handler {
		return &sts{answers: []answer{refused(400, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider")}}
	},
}

// X07, X09: an exchange waits for a cloud that is away for less than its budget,
// with a new JWT for each try, and no longer.
func TestExchangeOutage(t *testing.T) {
	for name, down := range outages {
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
					m := &minter{}
					e := newExchanger(t, outage(start, tt.lasts, down(), working()), aws.Config{Budget: tt.budget})
					c, err := e.Exchange(ctx, m.request())
					took := time.Since(start)
					if took > most+250*time.Millisecond {
						t.Errorf("Exchange took %s, want at most %s", took, most)
					}
					if (err == nil) != tt.ok || (c != nil) != tt.ok {
						t.Fatalf("Exchange = %v, %v, want success: %t", c, err, tt.ok)
					}
					jwts := m.jwts()
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
					if tt.ok {
						if took < tt.lasts || took > tt.lasts+6*time.Second {
							t.Errorf("Exchange took %s after an outage of %s", took, tt.lasts)
						}
						return
					}
					var last *exchange.Error
					if !errors.As(err, &last) || !last.Temporary() || took < most*8/10 {
						t.Errorf("error = %v after %s, want the cloud's last one after %s", err, took, most)
					}
					noLeak(t, err, jwts...)
				})
			})
		}
	}
}

// X07: a cloud that never answers costs no more than the budget, and the end of
// the budget is no end of the caller's ctx.
func TestExchangeBudgetEnds(t *testing.T) {
	silent := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for _, budget := range []time.Duration{0, 3 * time.Second, 25 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			m := &minter{}
			e := newExchanger(t, silent, aws.Config{Budget: budget})
			start := time.Now()
			_, err := e.Exchange(t.Context(), m.request())
			most := budget
			if budget == 0 {
				most = time.Minute
			}
			if took := time.Since(start); took > most || took < most*8/10 {
				t.Errorf("Exchange took %s, want %s", took, most)
			}
			var xe *exchange.Error
			if !errors.As(err, &xe) || !xe.Temporary() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				t.Errorf("error = %v, want a temporary *exchange.Error without an end of ctx", err)
			}
		})
	}
}
