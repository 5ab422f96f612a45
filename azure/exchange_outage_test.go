package azure_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken/azure"
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

func working() http.Handler { return &entra{answers: []answer{granted("eyJ0.access")}} }

// outages are the temporary failures of Entra.
var outages = map[string]func() http.Handler{
	"unavailable":        func() http.Handler { return &entra{answers: []answer{{status: 503}}} },
	"throttling":         func() http.Handler { return &entra{answers: []answer{{status: 429}}} },
	"issuer not reached": func() http.Handler { return &entra{answers: []answer{refused(400, "invalid_request", 501661, "x")}} },
	"key not found":      func() http.Handler { return &entra{answers: []answer{refused(401, "invalid_client", 7000272, "x")}} },
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
					e := newExchanger(t, outage(start, tt.lasts, down(), working()), azure.Config{Budget: tt.budget})
					c, err := e.Exchange(ctx, exchange.Request{Subject: m.subject})
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
			e := newExchanger(t, silent, azure.Config{Budget: budget})
			start := time.Now()
			_, err := e.Exchange(t.Context(), exchange.Request{Subject: m.subject})
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

// X09: a federated credential that Entra does not know everywhere yet is waited
// for, and a wrong one costs no more than 17 s.
func TestExchangePropagation(t *testing.T) {
	hidden := func() http.Handler { return &entra{answers: []answer{refused(401, "invalid_client", 700213, "x")}} }
	for _, tt := range []struct {
		lasts time.Duration
		ok    bool
	}{{5 * time.Second, true}, {14 * time.Second, true}, {17 * time.Second, false}, {time.Hour, false}} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			_, err := newExchanger(t, outage(start, tt.lasts, hidden(), working()), azure.Config{}).Exchange(t.Context(), exchange.Request{Subject: (&minter{}).subject})
			if (err == nil) != tt.ok || time.Since(start) > 17*time.Second {
				t.Errorf("Exchange = %v after %s, want success: %t", err, time.Since(start), tt.ok)
			}
		})
	}
}
