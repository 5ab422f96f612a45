package gcp_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

func working() http.Handler { return &google{answers: []answer{federated("ya29.federated", 899)}} }

// outages are the temporary failures of Google's STS.
var outages = map[string]func() http.Handler{
	"unavailable": func() http.Handler { return &google{answers: []answer{{status: 503}}} },
	"throttling":  func() http.Handler { return &google{answers: []answer{{status: 429}}} },
	"issuer not reached": func() http.Handler {
		return &google{answers: []answer{refused(400, "invalid_grant", "Error connecting to the given credential's issuer.")}}
	},
}

// exchangeWith makes one exchange with cloud.
func exchangeWith(ctx context.Context, t *testing.T, cloud http.Handler, budget time.Duration) (jwts []string, ok bool, err error) {
	m := &minter{}
	c, err := newExchanger(t, cloud, gcp.Config{Budget: budget}).Exchange(ctx, exchange.Request{Subject: m.subject})
	return m.All(), c != nil, err
}

// X07, X09: an exchange waits for a cloud that is away for less than its budget,
// with a new JWT for each try, and no longer.
func TestExchangeOutage(t *testing.T) { cloudtest.TestOutage(t, outages, working, exchangeWith) }

// X07: a cloud that never answers costs no more than the budget, and the end of
// the budget is no end of the caller's ctx.
func TestExchangeBudgetEnds(t *testing.T) { cloudtest.TestBudgetEnds(t, exchangeWith) }

// X09: the second request of an impersonation waits for its API as well.
func TestImpersonateOutage(t *testing.T) {
	for _, tt := range []struct {
		lasts time.Duration
		ok    bool
	}{{5 * time.Second, true}, {50 * time.Second, true}, {61 * time.Second, false}} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				a := answer{status: 503}
				switch {
				case r.Header.Get("Authorization") == "":
					a = federated("ya29.federated", 899)
				case time.Since(start) >= tt.lasts:
					a = impersonated("ya29.impersonated", time.Now().Add(time.Hour))
				}
				(&google{answers: []answer{a}}).ServeHTTP(w, r)
			})
			c, err := newExchanger(t, h, gcp.Config{ServiceAccount: serviceAccount}).Exchange(t.Context(), exchange.Request{Subject: (&minter{}).subject})
			if (err == nil) != tt.ok {
				t.Errorf("Exchange after %s = %v, %v, want success: %t", time.Since(start), c, err, tt.ok)
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("Exchange took %s, want at most a minute", took)
			}
		})
	}
}
