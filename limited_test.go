package oidctoken_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken"
)

// limitedKeys is a source whose schedule was made for limits.
type limitedKeys struct {
	oidctoken.StaticKeys
	maxAge, maxLifetime time.Duration
}

func (k limitedKeys) Limits() (maxAge, maxLifetime time.Duration) { return k.maxAge, k.maxLifetime }

// P03: a source says how long the documents may be cached.
func TestLimitedMaxAge(t *testing.T) {
	for _, tt := range []struct {
		longest, left time.Duration
		want          string
	}{
		{time.Hour, 1000 * time.Hour, "public, max-age=3600"},
		{15 * time.Minute, 1000 * time.Hour, "public, max-age=900"},
		{15 * time.Minute, 15*time.Minute - 1, "public, max-age=600"},
		{time.Minute, 1000 * time.Hour, "public, max-age=60"},
		{time.Minute, 59 * time.Second, "public, max-age=0"},
		{24 * time.Hour, 1000 * time.Hour, "public, max-age=86400"},
		{24 * time.Hour, 23 * time.Hour, "public, max-age=43200"},
		{24 * time.Hour, 11 * time.Hour, "public, max-age=3600"},
	} {
		issuer := newIssuer(t, oidctoken.Config{Keys: limitedKeys{
			oidctoken.StaticKeys{{Signer: memory(rsaKey()), Expires: noon.Add(tt.left)}}, tt.longest, time.Hour,
		}})
		for _, path := range []string{discovery, jwks} {
			if got := get(issuer, "GET", path).Header.Get("Cache-Control"); got != tt.want {
				t.Errorf("%v before a key leaves a set that may be cached for %v: %q, want %q", tt.left, tt.longest, got, tt.want)
			}
		}
	}
}

// P06: an issuer whose tokens would outlive their key's publication is refused.
func TestLimitedLifetime(t *testing.T) {
	for _, tt := range []struct {
		name                 string
		longest, maxLifetime time.Duration
		want                 *oidctoken.ConfigError
	}{
		{"as long", 2 * time.Hour, 2 * time.Hour, nil},
		{"the default", 2 * time.Hour, 0, nil},
		{"the default is cut", time.Minute, 0, nil},
		{"longer", time.Hour, time.Hour + time.Second, &oidctoken.ConfigError{Package: "oidctoken", Field: "MaxLifetime", Reason: "is longer than the 1h0m0s that Keys keep a key published for"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys := limitedKeys{oidctoken.StaticKeys{{Signer: memory(rsaKey())}}, time.Hour, tt.longest}
			issuer, err := oidctoken.NewIssuer(oidctoken.Config{
				URL: issuerURL, Keys: keys, MaxLifetime: tt.maxLifetime, Now: clockAt(noon),
			})
			if diff := cmp.Diff(tt.want, configError(err)); diff != "" {
				t.Fatalf("NewIssuer (-want +got):\n%s", diff)
			}
			if tt.want != nil {
				return
			}
			if got := mint(t, issuer, minimal()).Expires().Sub(noon); got > tt.longest {
				t.Errorf("a token lives %v, and %v is the longest", got, tt.longest)
			}
		})
	}
}
