package oidctoken_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/oidctoken/oidctoken"
)

// T15: if the clock is set back by no more than the backdating, a verifier with that
// clock accepts the tokens of a Cache. If it is set back more, the Cache drops them.
func TestCacheClockSetBack(t *testing.T) {
	for back, same := range map[time.Duration]bool{5 * time.Second: true, 6 * time.Second: false} {
		t.Run(fmt.Sprint(back), func(t *testing.T) {
			now := noon
			issuer := newIssuer(t, oidctoken.Config{Now: func() time.Time { return now }})
			cache := newCache(t, issuer, oidctoken.CacheConfig{})
			first := cached(t, cache, minimal())
			now = now.Add(-back)
			second := cached(t, cache, minimal())
			if (first.ID() == second.ID()) != same {
				t.Errorf("the first token was returned: %v, want %v", !same, same)
			}
			if iat, _, _ := datesOf(t, second); iat > now.Unix() {
				t.Errorf("iat is %d, which is later than %d", iat, now.Unix())
			}
		})
	}
}

// slip moves the wall clock reading of t and keeps its monotonic reading.
func slip(t time.Time, wall time.Duration) time.Time {
	t = t.Add(wall)
	// A Time with both readings has the monotonic one in its second word, in ns.
	(*struct {
		_   uint64
		ext int64
		_   *time.Location
	})(unsafe.Pointer(&t)).ext -= int64(wall)
	return t
}

// A clock that is set back does not make a token younger. A clock that went on while the
// machine slept makes it older.
func TestCacheHasTwoClocks(t *testing.T) {
	for name, wall := range map[string]time.Duration{"set back": -10 * time.Minute, "slept": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			now := start
			signer := newCounting(edKey())
			issuer := newIssuer(t, oidctoken.Config{
				Keys: oidctoken.StaticKeys{{Signer: signer}}, Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}},
				Now: func() time.Time { return now },
			})
			cache := newCache(t, issuer, oidctoken.CacheConfig{})
			first := cached(t, cache, minimal())
			if wall < 0 {
				now = start.Add(10 * time.Minute)
			}
			now = slip(now, wall)
			if second := cached(t, cache, minimal()); second.ID() == first.ID() {
				t.Errorf("the first token was returned, although one clock shows that half its lifetime is over")
			}
		})
	}
}

// A token that was minted while the clock was ahead is dropped once the clock is right,
// since no verifier would accept it yet.
func TestClockWasAhead(t *testing.T) {
	now := time.Now()
	issuer := newIssuer(t, oidctoken.Config{
		Keys: oidctoken.StaticKeys{{Signer: newCounting(edKey())}}, Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}},
		Now: func() time.Time { return now },
	})
	cache := newCache(t, issuer, oidctoken.CacheConfig{})
	now = now.Add(time.Hour)
	ahead := cached(t, cache, minimal())
	now = now.Add(-time.Hour)
	if got := cached(t, cache, minimal()); got.ID() == ahead.ID() {
		t.Error("a token with an iat in the future was returned")
	}
}

// Tokens that were minted together are not renewed together.
func TestRenewalsAreSpread(t *testing.T) {
	const tokens = 400
	synctest.Test(t, func(t *testing.T) {
		start, signer := time.Now(), newCounting(edKey())
		cache := newCache(t, live(t, signer, oidctoken.Config{}), oidctoken.CacheConfig{})
		mintAll := func() {
			for i := range tokens {
				cached(t, cache, inAccount(fmt.Sprintf("account_%d", i)))
			}
			synctest.Wait()
		}
		mintAll()
		last := tokens
		for d := 369 * time.Second; d < 450*time.Second; d += 10 * time.Second { // from 360 s on
			at(start, d)
			mintAll()
			renewed := signer.signatures() - last
			last = signer.signatures()
			if renewed < tokens/30 || renewed > tokens/4 {
				t.Errorf("%d of %d tokens were renewed in the 10 s before %v, want about a ninth", renewed, tokens, d)
			}
		}
		if last < 2*tokens-tokens/20 {
			t.Errorf("%d signatures, want about %d", last, 2*tokens)
		}
	})
}

// X14: while callers come and leave, each gets a token of its own account, and the token
// verifies.
func TestCallersInAHurry(t *testing.T) {
	const accounts = 50
	issuer := live(t, newCounting(edKey()), oidctoken.Config{})
	cache := newCache(t, issuer, oidctoken.CacheConfig{MaxEntries: accounts / 2}) // so that most tokens are minted
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 400 {
				account := fmt.Sprintf("account_%d", (i*(worker+1))%accounts)
				ctx, leave := context.WithCancel(t.Context())
				if i%3 == 0 {
					go leave()
				}
				token, err := cache.Mint(ctx, inAccount(account))
				switch {
				case err != nil && ctx.Err() == nil:
					t.Error(err)
				case err != nil:
				case payloadOf(t, token)["sub"] != "account/"+account:
					t.Errorf("%s: got a token for %v", account, payloadOf(t, token)["sub"])
				case !verifyPlainly(t, token.JWT(), "EdDSA", edKey().Public()):
					t.Errorf("%s: the token does not verify", account)
				}
				leave()
			}
		})
	}
	all.Wait()
}
