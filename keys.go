package oidctoken

import (
	"cmp"
	"context"
	"crypto"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/internal/jws"
)

const (
	maxKeys  = 10  // published keys; some relying parties read only the first ten
	maxKeyID = 128 // bytes
)

// signingKey holds a Key and the values that are computed from it once.
type signingKey struct {
	Key
	public   crypto.PublicKey // from one call of Public, so that the published key is the one that verifies
	alg      *jws.Algorithm
	header   string // the JWS Protected Header in base64url, and the dot that follows it
	inMemory bool   // the signer is in memory: its signatures need not be verified
}

// keySet holds the checked keys of one answer of a KeySource.
type keySet struct {
	source []Key
	keys   []signingKey // newest first
	ids    []string     // of keys
}

// newKeySet checks keys and renders their headers.
func newKeySet(source []Key) (*keySet, error) {
	if len(source) == 0 || len(source) > maxKeys {
		return nil, fmt.Errorf("there are %d keys, not 1 to %d", len(source), maxKeys)
	}
	set := &keySet{source: source}
	for i, k := range source {
		key, err := newSigningKey(k)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		for _, other := range set.keys {
			if other.ID == key.ID {
				return nil, fmt.Errorf("key %d: another key has the ID %s", i, key.ID)
			}
			if other.alg != key.alg && jws.SameKey(other.public, key.public) {
				return nil, fmt.Errorf("key %d: it is the same key as %s, whose algorithm is %s", i, other.ID, other.Algorithm)
			}
		}
		set.keys = append(set.keys, key)
	}
	// Newer keys come first. The ID breaks ties, so that replicas with the same keys
	// sign with the same key.
	slices.SortFunc(set.keys, func(a, b signingKey) int {
		return cmp.Or(b.NotBefore.Compare(a.NotBefore), strings.Compare(a.ID, b.ID))
	})
	for i := range set.keys {
		set.ids = append(set.ids, set.keys[i].ID)
	}
	return set, nil
}

func newSigningKey(k Key) (signingKey, error) {
	if k.Signer == nil {
		return signingKey{}, fmt.Errorf("the Signer is nil")
	}
	public := k.Signer.Public()
	alg, err := jws.DefaultFor(public)
	if err != nil {
		return signingKey{}, err
	}
	if k.Algorithm != "" {
		chosen := jws.Named(k.Algorithm)
		if chosen == nil || !chosen.FitsKeyOf(alg) {
			return signingKey{}, fmt.Errorf("the Algorithm %q does not fit a %T", k.Algorithm, public)
		}
		alg = chosen
	}
	k.Algorithm = alg.Name
	if k.ID == "" {
		if k.ID, err = jose.Thumbprint(public); err != nil {
			return signingKey{}, err
		}
	}
	if len(k.ID) > maxKeyID || strings.Trim(k.ID, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return signingKey{}, fmt.Errorf("the ID %q is not 1 to 128 bytes of A-Z a-z 0-9 - _", k.ID)
	}
	if !k.Expires.IsZero() && k.Expires.Before(k.NotAfter) {
		return signingKey{}, fmt.Errorf("it expires before NotAfter, when it may still sign")
	}
	_, inMemory := k.Signer.(*memorySigner)
	return signingKey{k, public, alg, alg.Header(k.ID), inMemory}, nil
}

// keys reads a KeySource and keeps the key set of the last answer. It is safe for
// concurrent use.
type keys struct {
	source KeySource
	last   atomic.Pointer[keySet]
}

// rotate reports whether the source may return other keys later.
func (k *keys) rotate() bool {
	_, static := k.source.(StaticKeys)
	return !static
}

// load returns the current key set. It makes a new one only if the source returns
// another slice than the last time.
func (k *keys) load(ctx context.Context) (*keySet, error) {
	source, err := k.source.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	if set := k.last.Load(); set != nil && len(source) > 0 &&
		len(set.source) == len(source) && &set.source[0] == &source[0] {
		return set, nil
	}
	set, err := newKeySet(source)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	k.last.Store(set)
	return set, nil
}

// pick returns the key that signs at now, or nil. accepted lists the algorithms that
// the relying party accepts, in order of preference. The result depends only on the
// keys, accepted and now, so that replicas agree.
func (set *keySet) pick(accepted []string, now time.Time) *signingKey {
	for _, alg := range accepted {
		for i := range set.keys {
			if k := &set.keys[i]; k.Algorithm == alg && k.signs(now) {
				return k
			}
		}
	}
	return nil
}

// checkHas fails with [ErrNoKey] if no key of set will ever sign with an accepted
// algorithm. If the source rotates its keys, a key that has ended counts, since
// another key can follow it.
func (set *keySet) checkHas(accepted []string, now time.Time, rotates bool) error {
	for i := range set.keys {
		k := &set.keys[i]
		if slices.Contains(accepted, k.Algorithm) && (rotates || k.willSign(now)) {
			return nil
		}
	}
	return set.noKey(accepted, now)
}

// noKey returns an [ErrNoKey] that lists the keys and why each cannot sign.
func (set *keySet) noKey(accepted []string, now time.Time) error {
	var wanted []string
	for _, alg := range accepted {
		if !slices.Contains(wanted, alg) {
			wanted = append(wanted, alg)
		}
	}
	why := make([]string, len(set.keys))
	for i := range set.keys {
		k := &set.keys[i]
		why[i] = fmt.Sprintf("key %.64s (%s) %s", k.ID, k.Algorithm, k.whyNot(accepted, now))
	}
	return fmt.Errorf("%w: needs a key for %s at %s: %s", ErrNoKey, strings.Join(wanted, " or "), when(now), strings.Join(why, "; "))
}

// whyNot returns why k does not sign at now with an accepted algorithm.
func (k *signingKey) whyNot(accepted []string, now time.Time) string {
	end := k.end()
	switch {
	case !slices.Contains(accepted, k.Algorithm):
		return "has another algorithm"
	case !end.IsZero() && !end.After(now):
		return "ended at " + when(end)
	case !k.willSign(now):
		return "ends at " + when(end) + ", before it begins"
	}
	return "begins at " + when(k.NotBefore)
}

func when(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// willSign reports whether k signs at now or later.
func (k *signingKey) willSign(now time.Time) bool {
	end := k.end()
	return end.IsZero() || end.After(now) && end.After(k.NotBefore)
}

// end returns the time at which k stops signing. The zero time means never.
func (k *signingKey) end() time.Time {
	if k.NotAfter.IsZero() { // if NotAfter is set, Expires is not before it
		return k.Expires
	}
	return k.NotAfter
}

func (k *signingKey) signs(now time.Time) bool {
	return !now.Before(k.NotBefore) && (k.NotAfter.IsZero() || now.Before(k.NotAfter)) && k.published(now)
}

func (k *signingKey) published(now time.Time) bool {
	return k.Expires.IsZero() || now.Before(k.Expires)
}

// find returns the key of set that is the same as k, or nil.
func (set *keySet) find(k *signingKey) *signingKey {
	for i := range set.keys {
		if set.keys[i].same(k) {
			return &set.keys[i]
		}
	}
	return nil
}

// same reports whether k and other have the same header and public key, so that a
// token of one is a token of the other.
func (k *signingKey) same(other *signingKey) bool {
	return k == other || k.header == other.header && jws.SameKey(k.public, other.public)
}
