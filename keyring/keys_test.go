package keyring_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
)

// Keys answers from memory, with the same slice until a key changes, so that an
// issuer need not render anything.
func TestKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := newRing(t, keyring.Config{})
		defer ring.Close()
		first := must(ring.Keys(t.Context()))
		copied := slices.Clone(first)
		for range 27 { // days, in which nothing is due
			time.Sleep(day)
			if now := must(ring.Keys(t.Context())); &now[0] != &first[0] {
				t.Fatal("another slice of the same keys")
			}
		}
		if n := testing.AllocsPerRun(100, func() { ring.Keys(t.Context()) }); n != 0 {
			t.Errorf("Keys allocates %v times", n)
		}
		time.Sleep(3 * day) // the next key is made
		second := must(ring.Keys(t.Context()))
		if &second[0] == &first[0] || len(second) != 3 {
			t.Errorf("%d keys after another was made, in the slice of before: %v", len(second), &second[0] == &first[0])
		}
		if !slices.Equal(first, copied) {
			t.Error("the slice of before was changed")
		}
	})
}

// T13, P06: the issuer keeps the ring's limits without a setting.
func TestLimits(t *testing.T) {
	ring := newRing(t, keyring.Config{MaxAge: 5 * time.Minute, MaxLifetime: 10 * time.Minute})
	profile := oidctoken.Profile{Algorithms: []string{"ES256"}}
	if _, err := oidctoken.NewIssuer(oidctoken.Config{URL: issuerURL, Keys: ring, Profile: profile, MaxLifetime: time.Hour}); err == nil {
		t.Error("an issuer of tokens that outlive their key's publication was made")
	}
	issuer := must(oidctoken.NewIssuer(oidctoken.Config{URL: issuerURL, Keys: ring, Profile: profile}))
	token := must(issuer.Mint(t.Context(), oidctoken.Scope{Audience: "a", Account: oidctoken.Entity{ID: "acme"}}))
	if left := time.Until(token.Expires()); left > 10*time.Minute {
		t.Errorf("a token lives %v", left)
	}
}
