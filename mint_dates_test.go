package oidctoken_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

// T13, T15: the dates of a token for each backdating and lifetime.
func TestBackdating(t *testing.T) {
	const off = -1
	for _, tt := range []struct {
		name                string
		issuedAt, notBefore time.Duration
		lifetime            time.Duration
		iat, nbf, exp       int64 // seconds after the time of minting
	}{
		{"default", 0, 0, 0, -5, -60, 895},
		{"an hour", 0, 0, time.Hour, -5, -60, 3595},
		{"a day", 0, 0, 24 * time.Hour, -5, -60, 86395},
		{"off", off, off, 0, 0, 0, 900},
		{"no iat", off, 0, 0, 0, -60, 900},
		{"a second", time.Second, time.Second, 0, -1, -1, 899},
		{"nbf alone", 0, 5 * time.Second, 0, -5, -5, 895},
		{"the most", 5 * time.Minute, 5 * time.Minute, 0, -300, -300, 600},
		{"iat before the default of nbf", 2 * time.Minute, 0, 0, -120, -120, 780},
		{"half of a short lifetime", 5 * time.Minute, 0, time.Minute, -30, -300, 30},
		{"half of 10 s", 0, 0, 10 * time.Second, -5, -60, 5},
		{"half of 9 s", 0, 0, 9 * time.Second, -4, -60, 5},
		{"half of a second", 0, 0, time.Second, 0, -60, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			issuer := newIssuer(t, oidctoken.Config{
				MaxLifetime: 24 * time.Hour, Profile: oidctoken.Profile{Lifetime: tt.lifetime},
				BackdateIssuedAt: tt.issuedAt, BackdateNotBefore: tt.notBefore,
				Now: clockAt(noon.Add(999 * time.Millisecond)),
			})
			cache := newCache(t, issuer, oidctoken.CacheConfig{})
			prepared := must(issuer.Prepare(t.Context(), minimal()))
			want := [3]int64{noon.Unix() + tt.iat, noon.Unix() + tt.nbf, noon.Unix() + tt.exp}
			for name, mint := range map[string]func() (*oidctoken.Token, error){
				"Mint":                    func() (*oidctoken.Token, error) { return issuer.Mint(t.Context(), minimal()) },
				"Prepared.Mint":           func() (*oidctoken.Token, error) { return prepared.Mint(t.Context()) },
				"Cache.Mint, minted":      func() (*oidctoken.Token, error) { return cache.Mint(t.Context(), inAccount("b")) },
				"Cache.Mint, from memory": func() (*oidctoken.Token, error) { return cache.Mint(t.Context(), inAccount("b")) },
			} {
				token := must(mint())
				iat, nbf, exp := datesOf(t, token)
				if diff := cmp.Diff(want, [3]int64{iat, nbf, exp}); diff != "" {
					t.Errorf("%s: iat, nbf, exp (-want +got):\n%s", name, diff)
				}
				if token.Expires().Unix() != exp {
					t.Errorf("%s: Expires is %v, exp %d", name, token.Expires(), exp)
				}
			}
		})
	}
}

func TestBackdatingRefused(t *testing.T) {
	const (
		badSeconds = "is not in whole seconds up to 5 minutes; set -1 to turn it off"
		tooLate    = `is less than BackdateIssuedAt: "nbf" would be later than "iat"`
	)
	for _, tt := range []struct {
		issuedAt, notBefore time.Duration
		field, reason       string
	}{
		{-2, 0, "BackdateIssuedAt", badSeconds},
		{-time.Second, 0, "BackdateIssuedAt", badSeconds},
		{time.Second / 2, 0, "BackdateIssuedAt", badSeconds},
		{5*time.Minute + time.Second, 0, "BackdateIssuedAt", badSeconds},
		{0, -time.Minute, "BackdateNotBefore", badSeconds},
		{0, 6 * time.Minute, "BackdateNotBefore", badSeconds},
		{0, -1, "BackdateNotBefore", tooLate},
		{0, 4 * time.Second, "BackdateNotBefore", tooLate},
		{2 * time.Minute, time.Minute, "BackdateNotBefore", tooLate},
	} {
		issuer, err := oidctoken.NewIssuer(oidctoken.Config{
			URL: issuerURL, Keys: oidctoken.StaticKeys{{Signer: memory(edKey())}},
			BackdateIssuedAt: tt.issuedAt, BackdateNotBefore: tt.notBefore,
		})
		if diff := cmp.Diff(&oidctoken.ConfigError{Package: "oidctoken", Field: tt.field, Reason: tt.reason}, configError(err)); diff != "" || issuer != nil {
			t.Errorf("%v, %v: %v (-want +got):\n%s", tt.issuedAt, tt.notBefore, issuer, diff)
		}
	}
}

// T15: a verifier without leeway whose clock is 5 s slow accepts a token right after
// minting, and accepts every token that a Cache returns.
func TestSlowVerifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := live(t, newCounting(edKey()), oidctoken.Config{})
		cache := newCache(t, issuer, oidctoken.CacheConfig{})
		for range 200 {
			for name, mint := range map[string]func(context.Context, oidctoken.Scope) (*oidctoken.Token, error){"Mint": issuer.Mint, "Cache.Mint": cache.Mint} {
				iat, nbf, exp := datesOf(t, must(mint(t.Context(), minimal())))
				slow, fast := time.Now().Add(-5*time.Second).Unix(), time.Now().Add(time.Minute).Unix()
				if iat > slow || nbf > slow || exp <= fast {
					t.Fatalf("%s: a token of %d, %d, %d is refused between %d and %d", name, iat, nbf, exp, slow, fast)
				}
			}
			time.Sleep(7900 * time.Millisecond)
		}
	})
}
