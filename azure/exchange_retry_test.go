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
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

// X07: a server that never answers costs no more than the caller's deadline,
// and one attempt no more than Config.Timeout.
func TestExchangeDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newExchanger(t, &entra{answers: []answer{{delay: time.Hour}}}, azure.Config{Timeout: 3 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := e.Exchange(ctx, exchange.Request{Subject: (&minter{}).subject})
		if took := time.Since(begin); took != 2*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v after %s, want that of ctx after 2 s", err, took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		e := newExchanger(t, &entra{answers: []answer{{delay: time.Hour}, granted("eyJ0.access")}}, azure.Config{Timeout: 3 * time.Second})
		begin := time.Now()
		if _, err := e.Exchange(t.Context(), exchange.Request{Subject: (&minter{}).subject}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 3*time.Second || took > 5*time.Second {
			t.Errorf("the second attempt began after %s, want 3 s and a short wait", took)
		}
	})
}

// X09: a temporary failure is retried, each time with a new JWT.
func TestExchangeRetries(t *testing.T) {
	wait := http.Header{"Retry-After": {"7"}}
	expired := refused(401, "invalid_client", 700024, "x")
	noKey := refused(401, "invalid_client", 7000272, "x")
	unreachable := refused(400, "invalid_request", 501661, "x")
	hidden := refused(400, "invalid_request", 70021, "x")
	for _, tt := range []struct {
		name  string
		first []answer
		least time.Duration
		tries int
		ok    bool
	}{
		{"408", []answer{{status: 408}}, 0, 2, true},
		{"429", []answer{{status: 429, header: wait, body: `{"error":"x"}`}}, 7 * time.Second, 2, true},
		{"5xx", []answer{{status: 500}, {status: 502}, {status: 503, header: wait}}, 7 * time.Second, 4, true},
		{"504 in HTML", []answer{{status: 504, header: http.Header{"Content-Type": {"text/html"}}, body: "<html>"}}, 0, 2, true},
		{"temporarily_unavailable", []answer{refused(400, "temporarily_unavailable", 90033, "x")}, 0, 2, true},
		{"unknown key", []answer{noKey, noKey}, 0, 3, true},
		{"issuer unreachable", []answer{unreachable}, 0, 2, true},
		{"expired once", []answer{expired}, 0, 2, true},
		{"expired twice", []answer{expired, expired}, 0, 2, false},
		{"expired between others", []answer{{status: 503}, expired, {status: 503}}, 0, 4, true},
		{"new credential", []answer{hidden, refused(401, "invalid_client", 700211, "x"), refused(401, "invalid_client", 700212, "x")}, 15 * time.Second, 4, true},
		{"new subject", []answer{refused(401, "invalid_client", 700213, "x"), refused(401, "invalid_client", 7002138, "x")}, 10 * time.Second, 3, true},
		{"no credential", []answer{hidden, hidden, hidden, hidden, hidden}, 15 * time.Second, 4, false},
		{"no credential, and told to wait", []answer{{status: 400, header: wait, body: hidden.body}}, 7 * time.Second, 2, true},
		{"400", []answer{refused(400, "invalid_request", 90002, "x")}, 0, 1, false},
		{"401", []answer{{status: 401}}, 0, 1, false},
		{"403", []answer{{status: 403}}, 0, 1, false},
		{"loop", []answer{refused(400, "invalid_grant", 50196, "x")}, 0, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stub := &entra{answers: append(tt.first, granted("eyJ0.access"))}
				m := &minter{}
				e := newExchanger(t, stub, azure.Config{})
				begin := time.Now()
				_, err := e.Exchange(t.Context(), exchange.Request{Subject: m.subject})
				if ok := err == nil; ok != tt.ok {
					t.Errorf("Exchange: %v, want success: %t", err, tt.ok)
				}
				if took := time.Since(begin); took < tt.least || took > tt.least+10*time.Second {
					t.Errorf("took %s, want %s and a little", took, tt.least)
				}
				calls, jwts := stub.asked(), m.All()
				if len(calls) != tt.tries || len(jwts) != tt.tries {
					t.Fatalf("%d requests and %d JWTs, want %d", len(calls), len(jwts), tt.tries)
				}
				for i, c := range calls {
					checkCall(t, c, tokenURL, jwts[i], armScope)
				}
			})
		})
	}
}

// A federated credential counts as new until it has worked once. After that, a
// mismatch is a permanent refusal, and is not retried.
func TestExchangeKnowsItsCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hidden := refused(401, "invalid_client", 700213, "x")
		stub := &entra{answers: []answer{hidden, granted("eyJ0.access"), hidden}}
		e := newExchanger(t, stub, azure.Config{})
		r := exchange.Request{Subject: (&minter{}).subject}
		if _, err := e.Exchange(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		err := exchangeError(t, e, r)
		var got *exchange.Error
		if !errors.As(err, &got) || got.Temporary() {
			t.Errorf("error = %v, want a permanent *exchange.Error", err)
		}
		if n, took := len(stub.asked()), time.Since(begin); n != 3 || took != 0 {
			t.Errorf("%d requests, the last after %s; want 3, at once", n, took)
		}
	})
}

// X09
func TestExchangeRetriesNetworkError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stub := cloudtest.InProcess{Handler: &entra{answers: []answer{granted("eyJ0.access")}}}
		m := &minter{}
		tries := 0
		e, err := azure.New(azure.Config{TenantID: tenant, ClientID: client, Transport: cloudtest.RoundTripper(func(r *http.Request) (*http.Response, error) {
			if tries++; tries == 1 {
				return nil, cloudtest.ErrReset
			}
			return stub.RoundTrip(r)
		})})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Exchange(t.Context(), exchange.Request{Subject: m.subject}); err != nil {
			t.Fatal(err)
		}
		if jwts := m.All(); tries != 2 || len(jwts) != 2 || jwts[0] == jwts[1] {
			t.Errorf("%d requests and %d JWTs, want 2 different ones", tries, len(jwts))
		}
	})
}

// An ended ctx is found in the error, with what went wrong before.
func TestContextEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newExchanger(t, &entra{answers: []answer{refused(401, "invalid_client", 700213, "x")}}, azure.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		time.AfterFunc(time.Second, cancel)
		_, err := e.Exchange(ctx, exchange.Request{Subject: (&minter{}).subject})
		var got *exchange.Error
		if !errors.Is(err, context.Canceled) || !errors.As(err, &got) || got.Status != 401 {
			t.Errorf("error = %v, want that of ctx and the refusal before it", err)
		}
	})
}
