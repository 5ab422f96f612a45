package gcp_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

// X07: a server that never answers costs no more than the caller's deadline,
// and one attempt no more than Config.Timeout.
func TestExchangeDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &google{answers: []answer{{delay: time.Hour}, federated("ya29.federated", 899)}}
		e := newExchanger(t, g, gcp.Config{Timeout: 3 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := e.Exchange(ctx, exchange.Request{Subject: (&minter{}).subject})
		if took := time.Since(begin); took != 2*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v after %s, want that of ctx after 2 s", err, took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		g := &google{answers: []answer{{delay: time.Hour}, federated("ya29.federated", 899)}}
		e := newExchanger(t, g, gcp.Config{Timeout: 3 * time.Second})
		begin := time.Now()
		if _, err := e.Exchange(t.Context(), exchange.Request{Subject: (&minter{}).subject}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 3*time.Second || took > 5*time.Second {
			t.Errorf("the second attempt began after %s, want 3 s and a short wait", took)
		}
	})
}

// X09: each attempt has another JWT.
func TestExchangeRetries(t *testing.T) {
	wait := http.Header{"Retry-After": {"7"}}
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
		{"400", []answer{refused(400, "invalid_grant", "x")}, 0, 1, false},
		{"401", []answer{{status: 401}}, 0, 1, false},
		{"403", []answer{{status: 403}}, 0, 1, false},
		{"501", []answer{{status: 501}}, 0, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &google{answers: append(tt.first, federated("ya29.federated", 899))}
				m := &minter{}
				e := newExchanger(t, g, gcp.Config{})
				begin := time.Now()
				_, err := e.Exchange(t.Context(), exchange.Request{Subject: m.subject})
				if ok := err == nil; ok != tt.ok {
					t.Errorf("Exchange: %v, want success: %t", err, tt.ok)
				}
				if took := time.Since(begin); took < tt.least || took > tt.least+10*time.Second {
					t.Errorf("took %s, want %s and a little", took, tt.least)
				}
				calls, jwts := g.asked(), m.All()
				if len(calls) != tt.tries || len(jwts) != tt.tries {
					t.Fatalf("%d requests and %d JWTs, want %d", len(calls), len(jwts), tt.tries)
				}
				for i, c := range calls {
					checkSTSCall(t, c, stsForm(jwts[i], "https://www.googleapis.com/auth/cloud-platform"))
				}
			})
		})
	}
}

// X09
func TestExchangeRetriesNetworkError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &google{answers: []answer{federated("ya29.federated", 899)}}
		m := &minter{}
		tries := 0
		e, err := gcp.New(gcp.Config{Provider: provider, Transport: cloudtest.RoundTripper(func(r *http.Request) (*http.Response, error) {
			if tries++; tries == 1 {
				return nil, cloudtest.ErrReset
			}
			return cloudtest.InProcess{Handler: g}.RoundTrip(r)
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
