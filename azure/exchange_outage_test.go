package azure_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken/azure"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

func working() http.Handler { return &entra{answers: []answer{granted("eyJ0.access")}} }

// outages are the temporary failures of Entra.
var outages = map[string]func() http.Handler{
	"unavailable":        func() http.Handler { return &entra{answers: []answer{{status: 503}}} },
	"throttling":         func() http.Handler { return &entra{answers: []answer{{status: 429}}} },
	"issuer not reached": func() http.Handler { return &entra{answers: []answer{refused(400, "invalid_request", 501661, "x")}} },
	"key not found":      func() http.Handler { return &entra{answers: []answer{refused(401, "invalid_client", 7000272, "x")}} },
}

// exchangeWith makes one exchange with cloud.
func exchangeWith(ctx context.Context, t *testing.T, cloud http.Handler, budget time.Duration) (jwts []string, ok bool, err error) {
	m := &minter{}
	c, err := newExchanger(t, cloud, azure.Config{Budget: budget}).Exchange(ctx, exchange.Request{Subject: m.subject})
	return m.All(), c != nil, err
}

// X07, X09: an exchange waits for a cloud that is away for less than its budget,
// with a new JWT for each try, and no longer.
func TestExchangeOutage(t *testing.T) { cloudtest.TestOutage(t, outages, working, exchangeWith) }

// X07: a cloud that never answers costs no more than the budget, and the end of
// the budget is no end of the caller's ctx.
func TestExchangeBudgetEnds(t *testing.T) { cloudtest.TestBudgetEnds(t, exchangeWith) }

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
			_, err := newExchanger(t, cloudtest.Outage(start, tt.lasts, hidden(), working()), azure.Config{}).Exchange(t.Context(), exchange.Request{Subject: (&minter{}).subject})
			if (err == nil) != tt.ok || time.Since(start) > 17*time.Second {
				t.Errorf("Exchange = %v after %s, want success: %t", err, time.Since(start), tt.ok)
			}
		})
	}
}
