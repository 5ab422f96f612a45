package oidctoken_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

// badProfiles breaks each rule of a Profile except those of its subject.
var badProfiles = []struct {
	name          string
	profile       oidctoken.Profile
	field, reason string
}{
	{"a negative lifetime", oidctoken.Profile{Lifetime: -time.Minute}, "Profile.Lifetime", "is not in whole seconds, at least one"},
	{"half a second", oidctoken.Profile{Lifetime: time.Second / 2}, "Profile.Lifetime", "is not in whole seconds, at least one"},
	{"a second and a half", oidctoken.Profile{Lifetime: 1500 * time.Millisecond}, "Profile.Lifetime", "is not in whole seconds, at least one"},
	{"more than an hour", oidctoken.Profile{Lifetime: time.Hour + time.Second}, "Profile.Lifetime", "is longer than Config.MaxLifetime"},
	{"a negative length", oidctoken.Profile{MaxSubject: -1}, "Profile.MaxSubject", "is not between 1 and 255 bytes"},
	{"a length of 256", oidctoken.Profile{MaxSubject: 256}, "Profile.MaxSubject", "is not between 1 and 255 bytes"},
	{"no algorithm", oidctoken.Profile{Algorithms: []string{}}, "Profile.Algorithms", "is empty"},
	{"none", oidctoken.Profile{Algorithms: []string{"RS256", "none"}}, "Profile.Algorithms", `has "none", which is not one of RS256, RS384, RS512, ES256, ES384, ES512, EdDSA`},
	{"None", oidctoken.Profile{Algorithms: []string{"None"}}, "Profile.Algorithms", `has "None", which is not one of RS256, RS384, RS512, ES256, ES384, ES512, EdDSA`},
	{"nOnE", oidctoken.Profile{Algorithms: []string{"nOnE"}}, "Profile.Algorithms", `has "nOnE", which is not one of RS256, RS384, RS512, ES256, ES384, ES512, EdDSA`},
	{"HS256", oidctoken.Profile{Algorithms: []string{"HS256"}}, "Profile.Algorithms", `has "HS256", which is not one of RS256, RS384, RS512, ES256, ES384, ES512, EdDSA`},
	{"a lower case", oidctoken.Profile{Algorithms: []string{"rs256"}}, "Profile.Algorithms", `has "rs256", which is not one of RS256, RS384, RS512, ES256, ES384, ES512, EdDSA`},
	{"an empty name", oidctoken.Profile{Algorithms: []string{""}}, "Profile.Algorithms", `has "", which is not one of RS256, RS384, RS512, ES256, ES384, ES512, EdDSA`},
	{"PS256", oidctoken.Profile{Algorithms: []string{"PS256"}}, "Profile.Algorithms", `has "PS256", which is not one of RS256, RS384, RS512, ES256, ES384, ES512, EdDSA`},
	{"anything", oidctoken.Profile{Algorithms: []string{strings.Repeat("é", 1000)}}, "Profile.Algorithms",
		`has "` + strings.Repeat(`\u00e9`, 20) + `", which is not one of RS256, RS384, RS512, ES256, ES384, ES512, EdDSA`},
}

// T01
func TestProfileRefused(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for _, tt := range badProfiles {
		t.Run(tt.name, func(t *testing.T) {
			s := minimal()
			s.Profile = &tt.profile
			_, err := issuer.Mint(t.Context(), s)
			if diff := cmp.Diff(&oidctoken.ScopeError{Field: tt.field, Reason: tt.reason}, scopeError(err)); diff != "" {
				t.Errorf("Mint (-want +got):\n%s", diff)
			}
			_, err = oidctoken.NewIssuer(oidctoken.Config{
				URL: issuerURL, Keys: oidctoken.StaticKeys{{Signer: memory(edKey())}}, Profile: tt.profile,
			})
			if diff := cmp.Diff(&oidctoken.ConfigError{Package: "oidctoken", Field: tt.field, Reason: tt.reason}, configError(err)); diff != "" {
				t.Errorf("NewIssuer (-want +got):\n%s", diff)
			}
		})
	}
}

// T13: ShortenLifetime replaces a Lifetime that is longer than the issuer's MaxLifetime. It
// changes no other Lifetime.
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
		t.Error("Mint accepted a negative Lifetime")
	}
}
