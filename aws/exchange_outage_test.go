package aws_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

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

// exchangeWith makes one exchange with cloud.
func exchangeWith(ctx context.Context, t *testing.T, cloud http.Handler, budget time.Duration) (jwts []string, ok bool, err error) {
	m := &minter{}
	c, err := newExchanger(t, cloud, aws.Config{Budget: budget}).Exchange(ctx, m.request())
	return m.All(), c != nil, err
}

// X07, X09: an exchange waits for a cloud that is away for less than its budget,
// with a new JWT for each try, and no longer.
func TestExchangeOutage(t *testing.T) { cloudtest.TestOutage(t, outages, working, exchangeWith) }

// X07: a cloud that never answers costs no more than the budget, and the end of
// the budget is no end of the caller's ctx.
func TestExchangeBudgetEnds(t *testing.T) { cloudtest.TestBudgetEnds(t, exchangeWith) }
