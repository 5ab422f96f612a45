package oidctoken_test

import (
	"context"
	"crypto"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
)

// source is a KeySource whose keys a test can change.
type source struct {
	mu   sync.Mutex
	keys []oidctoken.Key
	err  error
}

func (s *source) Keys(context.Context) ([]oidctoken.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys, s.err
}

func (s *source) set(err error, keys ...oidctoken.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.err = keys, err
}

// ed25519Key returns a new key.
func ed25519Key(id string) oidctoken.Key {
	return oidctoken.Key{Signer: memory(newEd25519()), ID: id}
}

// The cache drops a token at the first call after its key was removed, and not if another
// key was removed. If the source fails, the cache keeps its tokens and mints none.
func TestRevokedKeysTokens(t *testing.T) {
	old, next, third := ed25519Key("old"), ed25519Key("next"), ed25519Key("third")
	old.NotAfter, next.NotBefore = noon, noon
	keys := &source{}
	keys.set(nil, old, next)
	now := noon.Add(-time.Minute)
	issuer := newIssuer(t, oidctoken.Config{Keys: keys, Now: func() time.Time { return now }, Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}}})
	cache := newCache(t, issuer, oidctoken.CacheConfig{})
	a, b := inAccount("a"), inAccount("b")
	first := cached(t, cache, a)
	now = noon
	other := cached(t, cache, b)
	if first.KeyID() != "old" || other.KeyID() != "next" {
		t.Fatalf("keys %s and %s, want old and next", first.KeyID(), other.KeyID())
	}
	check := func(when string, s oidctoken.Scope, want *oidctoken.Token) {
		t.Helper()
		if got := cached(t, cache, s); got.JWT() != want.JWT() {
			t.Errorf("%s: a token of key %s, want the token of %s", when, got.KeyID(), want.KeyID())
		}
	}
	check("the key is retired", a, first)
	keys.set(nil, old, next, third)
	check("a key was added", a, first)
	check("a key was added", b, other)
	keys.set(errors.New("down"))
	check("the source fails", a, first)
	if _, err := cache.Mint(t.Context(), inAccount("c")); !errors.Is(err, oidctoken.ErrNoKey) {
		t.Errorf("Mint of a token that is not in the cache = %v, want %v", err, oidctoken.ErrNoKey)
	}
	keys.set(nil, next, third)
	check("another key was revoked", b, other)
	second := cached(t, cache, a)
	if second.KeyID() == "old" {
		t.Error("got a token of a key that was revoked")
	}
	keys.set(nil, old, next, third) // the key is back, but its tokens are not
	check("the key is back", a, second)
}

// The cache drops the tokens that outlive their key if the key gets an earlier end. It
// also drops the tokens of a key if another key gets the same ID.
func TestChangedKeysTokens(t *testing.T) {
	key, twin := ed25519Key("k"), ed25519Key("k")
	keys := &source{}
	keys.set(nil, key)
	issuer := newIssuer(t, oidctoken.Config{Keys: keys, Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}}})
	cache := newCache(t, issuer, oidctoken.CacheConfig{})
	first := cached(t, cache, minimal())
	key.Expires = noon.Add(15 * time.Minute)
	keys.set(nil, key)
	if got := cached(t, cache, minimal()); got.JWT() != first.JWT() {
		t.Error("another token, want the token that ends with the key")
	}
	key.Expires = noon.Add(14 * time.Minute)
	keys.set(nil, key)
	second := cached(t, cache, minimal())
	if !second.Expires().Equal(key.Expires) {
		t.Errorf("the token ends at %v, want it to end with its key at %v", second.Expires(), key.Expires)
	}
	keys.set(nil, twin)
	third := cached(t, cache, minimal())
	if !verifyPlainly(t, third.JWT(), "EdDSA", twin.Signer.Public()) {
		t.Error("got a token of the key that had this ID before")
	}
}

// Mint never returns a token whose key was revoked while it was being signed.
func TestKeyRevokedWhileItSigns(t *testing.T) {
	keys, next := &source{}, ed25519Key("next")
	signer := newCounting(newEd25519())
	signer.before = func(context.Context, int) error {
		keys.set(nil, next)
		return nil
	}
	keys.set(nil, oidctoken.Key{Signer: signer, ID: "old"})
	issuer := newIssuer(t, oidctoken.Config{Keys: keys, Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}}})
	if got := cached(t, newCache(t, issuer, oidctoken.CacheConfig{}), minimal()); got.KeyID() != "next" {
		t.Errorf("got a token of key %s, want one of key next", got.KeyID())
	}
}

// The number of keys that come and go is not limited, and keys may have any type.
func TestKeysComeAndGo(t *testing.T) {
	keys := &source{}
	kinds := []func() crypto.Signer{p256Key, rsaKey, p521Key, edKey, p384Key, otherEd, otherRSA}
	profile := oidctoken.Profile{Algorithms: []string{"ES256", "RS256", "ES512", "EdDSA", "ES384"}}
	keys.set(nil, oidctoken.Key{Signer: memory(edKey())})
	cache := newCache(t, newIssuer(t, oidctoken.Config{Keys: keys, Profile: profile}), oidctoken.CacheConfig{})
	for i := range 50 {
		key := oidctoken.Key{Signer: newCounting(kinds[i%len(kinds)]())}
		keys.set(nil, key)
		for _, s := range []oidctoken.Scope{minimal(), full()} {
			first, second := cached(t, cache, s), cached(t, cache, s)
			if first.JWT() != second.JWT() {
				t.Fatalf("key %d: another token", i)
			}
		}
		if n := key.Signer.(*counting).signatures(); n != 2 {
			t.Fatalf("key %d: %d signatures, want 2", i, n)
		}
	}
}
