package oidctoken_test

import (
	"context"
	"crypto"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

func newCache(t testing.TB, issuer *oidctoken.Issuer, c oidctoken.CacheConfig) *oidctoken.Cache {
	t.Helper()
	cache := oidctoken.NewCache(issuer, c)
	t.Cleanup(cache.Close)
	return cache
}

// cached mints from a cache. It ends the test if that fails.
func cached(t testing.TB, cache *oidctoken.Cache, s oidctoken.Scope) *oidctoken.Token {
	t.Helper()
	token, err := cache.Mint(t.Context(), s)
	if err != nil {
		t.Fatalf("Mint: %v", err)
	}
	return token
}

// counting is a signer that counts its signatures. It calls before first, which can
// block or fail.
type counting struct {
	oidctoken.Signer
	mu     sync.Mutex
	signed int
	before func(ctx context.Context, n int) error // optional
}

func newCounting(key crypto.Signer) *counting { return &counting{Signer: memory(key)} }

func (c *counting) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	c.mu.Lock()
	c.signed++
	n := c.signed
	c.mu.Unlock()
	if c.before != nil {
		if err := c.before(ctx, n); err != nil {
			return nil, err
		}
	}
	return c.Signer.Sign(ctx, digest, opts)
}

// signatures returns the number of signatures.
func (c *counting) signatures() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.signed
}

// live returns an issuer that signs with signer and uses the bubble's clock.
func live(t testing.TB, signer oidctoken.Signer, c oidctoken.Config) *oidctoken.Issuer {
	c.Keys, c.Now, c.Profile.Algorithms = oidctoken.StaticKeys{{Signer: signer}}, time.Now, []string{"EdDSA"}
	return newIssuer(t, c)
}

func inAccount(id string) oidctoken.Scope {
	return oidctoken.Scope{Audience: "sts.example.com", Account: oidctoken.Entity{ID: id}}
}

// at sleeps until d after start, and waits until all goroutines are idle.
func at(start time.Time, d time.Duration) {
	time.Sleep(time.Until(start.Add(d)))
	synctest.Wait()
}

// A token from the cache has the same bytes as the minted token, and verifies, for
// signatures of every size.
func TestCachedTokenIsTheMintedOne(t *testing.T) {
	for alg, key := range keyFor {
		t.Run(alg, func(t *testing.T) {
			signer := newCounting(key())
			issuer := newIssuer(t, oidctoken.Config{
				Keys: oidctoken.StaticKeys{{Signer: signer, Algorithm: alg}}, Profile: oidctoken.Profile{Algorithms: []string{alg}},
			})
			cache := newCache(t, issuer, oidctoken.CacheConfig{})
			of := map[string]oidctoken.Scope{"minimal": minimal(), "full": full(), "deployment": inStage("deployment")}
			for name, s := range of {
				first, second := cached(t, cache, s), cached(t, cache, s)
				if first == second {
					t.Errorf("%s: the cache kept the text of the token", name)
				}
				if diff := cmp.Diff(first.JWT(), second.JWT()); diff != "" {
					t.Errorf("%s (-first +second):\n%s", name, diff)
				}
				if first.ID() != second.ID() || first.KeyID() != second.KeyID() || !first.Expires().Equal(second.Expires()) {
					t.Errorf("%s: %v, %s, %v and %v, %s, %v", name, first, first.KeyID(), first.Expires(), second, second.KeyID(), second.Expires())
				}
				if !verifyPlainly(t, second.JWT(), alg, key().Public()) {
					t.Errorf("%s: the token does not verify", name)
				}
				preview := payloadOf(t, mint(t, issuer, s))
				got := payloadOf(t, second)
				delete(preview, "jti")
				delete(got, "jti")
				if diff := cmp.Diff(preview, got); diff != "" {
					t.Errorf("%s (-Issuer.Mint +Cache.Mint):\n%s", name, diff)
				}
			}
			if want := 2 * len(of); signer.signatures() != want { // including those of Issuer.Mint
				t.Errorf("%d signatures, want %d", signer.signatures(), want)
			}
		})
	}
}

// X14: scopes whose claims or signatures differ get different tokens.
func TestCachedTokensAreApart(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{
		Keys: allAlgorithms(), ExtraPrefix: "x_", Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}},
		Allow: func(context.Context, oidctoken.Scope) error { return nil },
	})
	cache := newCache(t, issuer, oidctoken.CacheConfig{})
	profile := func(p oidctoken.Profile) func(*oidctoken.Scope) {
		return func(s *oidctoken.Scope) { s.Profile = &p }
	}
	got := map[string]string{}
	for name, change := range map[string]func(*oidctoken.Scope){
		"base":        func(*oidctoken.Scope) {},
		"audience":    func(s *oidctoken.Scope) { s.Audience = "other.example.com" },
		"account":     func(s *oidctoken.Scope) { s.Account.ID = "globex" },
		"uid":         func(s *oidctoken.Scope) { s.Account.UID = "1" },
		"extra":       func(s *oidctoken.Scope) { s.Extra = map[string]string{"x_a": "1"} },
		"fork":        func(s *oidctoken.Scope) { s.Source = &oidctoken.Source{IsFork: ptr(true)} },
		"lifetime":    profile(oidctoken.Profile{Algorithms: []string{"EdDSA"}, Lifetime: time.Minute}),
		"ES256":       profile(oidctoken.Profile{Algorithms: []string{"ES256"}}),
		"ES256 first": profile(oidctoken.Profile{Algorithms: []string{"ES256", "EdDSA"}}),
		"EdDSA first": profile(oidctoken.Profile{Algorithms: []string{"EdDSA", "ES256"}}),
		"unknown":     profile(oidctoken.Profile{Algorithms: []string{"EdDSA"}, NullUnknown: true}),
		"claims": profile(oidctoken.Profile{Algorithms: []string{"EdDSA"}, Claims: func(*oidctoken.Claims) (map[string]any, error) {
			return map[string]any{"tags": "x"}, nil
		}}),
	} {
		s := inAccount("acme")
		change(&s)
		token := cached(t, cache, s)
		if other := got[token.ID()]; other != "" {
			t.Errorf("a scope with another %s got the token of %s", name, other)
		}
		got[token.ID()] = name
		if again := cached(t, cache, s); again.ID() != token.ID() {
			t.Errorf("%s: the same scope got another token", name)
		}
	}
	own := inAccount("acme") // the issuer's profile, set in the scope
	own.Profile = &oidctoken.Profile{Algorithms: []string{"EdDSA"}, Lifetime: 15 * time.Minute}
	if name := got[cached(t, cache, own).ID()]; name != "base" {
		t.Errorf("a profile equal to the issuer's got the token of %q, want the token of base", name)
	}
}

// The cache returns a token while it has more than half of its lifetime left, and renews
// it without making a caller wait.
func TestCachedTokenIsRenewedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, signer := time.Now(), newCounting(edKey())
		signer.before = func(context.Context, int) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		}
		cache := newCache(t, live(t, signer, oidctoken.Config{}), oidctoken.CacheConfig{})
		s := inAccount("acme")
		first := cached(t, cache, s)
		start = start.Add(100 * time.Millisecond)
		at(start, 357*time.Second) // two fifths of 895 s are 358 s, and half 447.5 s
		if got := cached(t, cache, s); got.ID() != first.ID() {
			t.Error("another token after 357 s, want the first")
		}
		synctest.Wait()
		if signer.signatures() != 1 {
			t.Fatalf("%d signatures after 357 s, want one", signer.signatures())
		}
		at(start, 447*time.Second)
		begun := time.Now()
		if got := cached(t, cache, s); got.ID() != first.ID() || !time.Now().Equal(begun) {
			t.Errorf("Mint took %v, want the first token at once", time.Since(begun))
		}
		at(start, 448*time.Second)
		second := cached(t, cache, s)
		if second.ID() == first.ID() || signer.signatures() != 2 {
			t.Errorf("after half the lifetime: the first token, or %d signatures; want another token and 2 signatures", signer.signatures())
		}
		at(start, time.Hour) // no caller used the token
		if signer.signatures() != 2 {
			t.Errorf("%d signatures, want no renewal of an unused token", signer.signatures())
		}
		if third := cached(t, cache, s); !third.Expires().After(time.Now().Add(7 * time.Minute)) {
			t.Error("Mint returned a token that has expired, or will soon")
		}
	})
}

// While the signer fails, the cache returns the last token, except in its last minute. It
// calls the signer every 10 s, or every second if it has no token to return.
func TestLastTokenServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, signer := time.Now(), newCounting(edKey())
		down := errors.New("down")
		var tries []time.Duration
		signer.before = func(_ context.Context, n int) error {
			if n == 1 {
				return nil
			}
			tries = append(tries, time.Since(start))
			return down
		}
		cache := newCache(t, live(t, signer, oidctoken.Config{}), oidctoken.CacheConfig{})
		s := inAccount("acme")
		first := cached(t, cache, s)
		const lastMinute = 14*time.Minute - backdate
		for d := time.Duration(0); d < lastMinute; d += time.Second {
			at(start, d)
			if got := cached(t, cache, s); got.ID() != first.ID() {
				t.Fatalf("another token after %v", d)
			}
		}
		synctest.Wait()
		for i := range tries[1:] {
			if pause := tries[i+1] - tries[i]; pause != 10*time.Second {
				t.Fatalf("signatures were tried at %v and %v, want 10 s between them", tries[i], tries[i+1])
			}
		}
		tries = nil
		for d := lastMinute; d < lastMinute+time.Minute; d += 250 * time.Millisecond {
			at(start, d)
			if _, err := cache.Mint(t.Context(), s); !errors.Is(err, down) || !errors.Is(err, oidctoken.ErrSignerUnavailable) {
				t.Fatalf("Mint after %v: %v, want %v", d, err, down)
			}
		}
		if len(tries) < 59 || len(tries) > 61 {
			t.Errorf("%d signatures were tried in the last minute, want one every second", len(tries))
		}
	})
}

// X16: 100,000 callers of one token share one signature. Every tenth caller leaves.
func TestCacheCrowd(t *testing.T) {
	callers := 100_000
	if raceEnabled {
		callers = 5_000 // the race detector accepts at most 8,128
	}
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		signer := newCounting(edKey())
		signer.before = func(context.Context, int) error {
			<-open
			return nil
		}
		cache := newCache(t, live(t, signer, oidctoken.Config{}), oidctoken.CacheConfig{})
		leaving, leave := context.WithCancel(t.Context())
		results := make([]string, callers)
		var all sync.WaitGroup
		for i := range results {
			ctx := t.Context()
			if i%10 == 0 {
				ctx = leaving
			}
			all.Go(func() {
				token, err := cache.Mint(ctx, inAccount("acme"))
				switch {
				case err == nil:
					results[i] = token.ID()
				case errors.Is(err, context.Canceled) && strings.HasPrefix(err.Error(), "oidctoken: mint: "):
					results[i] = "left"
				default:
					results[i] = err.Error()
				}
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(open)
		all.Wait()
		got := map[string]int{}
		for _, r := range results {
			got[r]++
		}
		want := map[string]int{"left": callers / 10, cached(t, cache, inAccount("acme")).ID(): callers - callers/10}
		if diff := cmp.Diff(want, got); diff != "" || signer.signatures() != 1 {
			t.Errorf("%d signatures, want one; results of the callers (-want +got):\n%s", signer.signatures(), diff)
		}
	})
}

// Close cancels the running signature, and its callers get an error.
func TestCacheClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer := newCounting(edKey())
		signer.before = func(ctx context.Context, n int) error {
			if n == 1 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}
		cache := oidctoken.NewCache(live(t, signer, oidctoken.Config{}), oidctoken.CacheConfig{})
		cached(t, cache, inAccount("acme"))
		got := make(chan error)
		go func() {
			_, err := cache.Mint(t.Context(), inAccount("globex"))
			got <- err
		}()
		synctest.Wait()
		cache.Close()
		cache.Close()
		_, cached := cache.Mint(t.Context(), inAccount("acme"))
		for name, err := range map[string]error{"waiting": <-got, "cached": cached} {
			if err == nil || err.Error() != "oidctoken: the cache is closed" {
				t.Errorf("Mint of a %s token = %v, want an error: the cache is closed", name, err)
			}
		}
	})
}
