package oidctoken_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
)

// T13: ShortenLifetime uses the issuer's MaxLifetime for a longer Lifetime, and
// changes no other.
func TestShortenLifetime(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{MaxLifetime: 90500 * time.Millisecond})
	for _, tt := range []struct{ lifetime, want time.Duration }{
		{time.Hour, 90 * time.Second},
		{91 * time.Second, 90 * time.Second},
		{90 * time.Second, 90 * time.Second},
		{89 * time.Second, 89 * time.Second},
		{0, 90 * time.Second},
	} {
		s := minimal()
		s.Profile = &oidctoken.Profile{Algorithms: []string{"EdDSA"}, Lifetime: tt.lifetime, ShortenLifetime: true}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(mint(t, issuer, s).JWT(), ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		var claims struct{ Iat, Exp int64 }
		if err := json.Unmarshal(payload, &claims); err != nil {
			t.Fatal(err)
		}
		if got := time.Duration(claims.Exp-claims.Iat) * time.Second; got != tt.want {
			t.Errorf("Lifetime %v: exp - iat = %v, want %v", tt.lifetime, got, tt.want)
		}
	}
	s := minimal()
	s.Profile = &oidctoken.Profile{Algorithms: []string{"EdDSA"}, Lifetime: 91 * time.Second}
	_, err := issuer.Mint(t.Context(), s)
	if refused, ok := errors.AsType[*oidctoken.ScopeError](err); !ok || refused.Field != "Profile.Lifetime" {
		t.Errorf("without ShortenLifetime: %v, want a *ScopeError of Profile.Lifetime", err)
	}
	s.Profile = &oidctoken.Profile{Algorithms: []string{"EdDSA"}, Lifetime: -time.Second, ShortenLifetime: true}
	if _, err := issuer.Mint(t.Context(), s); err == nil {
		t.Error("a negative Lifetime was minted")
	}
}
