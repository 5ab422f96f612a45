package oidctoken

import (
	"context"
	"time"

	"github.com/oidctoken/oidctoken/internal/lease"
	"github.com/oidctoken/oidctoken/internal/slab"
)

// longestMargin is the last part of a token's lifetime in which the cache does not
// return it. For a short lifetime, a quarter of it is the margin.
const longestMargin = time.Minute

// renewalTime is how long a renewal in the background may take before a caller waits
// for it. For a lifetime of less than 20 s it is a twentieth of the lifetime.
const renewalTime = time.Second

// tick is the unit of cachedToken.since. It is fine enough for tokens of some
// seconds, and 32 bits of it last for 8 years of a process.
const tick = time.Second / 16

// tokenKey is the first half of a SHA-256 digest of everything that a caller chooses
// and a token's signature covers. An attacker who finds two scopes with one key gets
// no token of another caller. It gets a token that no relying party accepts: the text
// is rendered from its own scope, and the signature is for the other scope.
type tokenKey = slab.Hash

// signed holds the parts of a token that differ between two tokens with the same
// claims, and the key that signed.
type signed struct {
	key       *signingKey
	dates     dates
	jti       [16]byte
	signature []byte
}

// tokenStore holds the tokens of a Cache. The keeper's lock guards it.
type tokenStore struct {
	issuer *Issuer
	most   int
	start  time.Time // has a monotonic clock reading if the issuer's clock has one
	table  slab.Table[cachedToken]

	set  *keySet       // at the last call of refreshKeys
	keys []*signingKey // nil where a key was removed
}

// cachedToken holds a token without its text and its signature.
type cachedToken struct {
	jti    [16]byte
	minted int64
	life   uint32 // in seconds from minted to "exp"
	since  uint32 // in ticks from the store's start to the minting
	back   uint16 // in seconds from "iat" to minted
	key    uint16 // index of the signing key in tokenStore.keys
}

func newTokenStore(iss *Issuer, most int) *tokenStore {
	return &tokenStore{issuer: iss, most: most, start: iss.config.Now(), set: iss.keys.last.Load()}
}

// Find calls find without a buffer for the signature.
func (t *tokenStore) Find(ctx context.Context, key tokenKey, now time.Time) (signed, lease.State) {
	return t.find(ctx, key, now, nil)
}

// Remove removes the token of key.
func (t *tokenStore) Remove(key tokenKey) {
	if place, ok := t.table.Find(key); ok {
		t.table.Remove(place)
	}
}

// find returns the token of key. It appends the signature to buf.
func (t *tokenStore) find(ctx context.Context, key tokenKey, now time.Time, buf []byte) (signed, lease.State) {
	t.refreshKeys(ctx)
	place, ok := t.table.Find(key)
	if !ok {
		return signed{}, lease.None
	}
	c := t.table.Value(place)
	k := t.keys[c.key]
	state, d := c.state(t.age(c, now)), c.dates()
	if now.Unix() < d.issued {
		state = lease.None // the clock was ahead at minting, so verifiers refuse this "iat"
	}
	if end := k.Expires; !end.IsZero() && d.expires > end.Unix() {
		state = lease.None // the key now ends sooner
	}
	if state == lease.None {
		t.table.Remove(place)
		return signed{}, lease.None
	}
	t.table.Use(place)
	return signed{k, d, c.jti, append(buf, t.table.Bytes(place)...)}, state
}

// age returns the age of a token. It uses the clock that gives the greater age: the
// wall clock can be set back, and the monotonic clock stands still while the machine
// sleeps. The age may be up to a second too much, since minted is in whole seconds.
func (t *tokenStore) age(c *cachedToken, now time.Time) time.Duration {
	return max(now.Sub(time.Unix(c.minted, 0)), now.Sub(t.start)-time.Duration(c.since)*tick)
}

// since returns the ticks from the store's start to now, by the monotonic clock if the
// issuer's clock has one.
func (t *tokenStore) since(now time.Time) int64 { return int64(now.Sub(t.start) / tick) }

// dates returns the token's dates.
func (c *cachedToken) dates() dates {
	return dates{minted: c.minted, issued: c.minted - int64(c.back), expires: c.minted + int64(c.life)}
}

// state returns the state of a token of that age. The token is due for renewal after
// two fifths to half of its lifetime. Its random "jti" decides when in between, so that
// tokens that were minted together are not renewed together. After half of the lifetime,
// callers wait for the renewal, so each token is due at least renewalTime before that.
// Only the time at which it is due is finer than a second.
func (c *cachedToken) state(age time.Duration) lease.State {
	life := time.Duration(c.life) * time.Second
	spread := life/10 - min(renewalTime, life/20)
	seconds := age.Truncate(time.Second)
	switch {
	case seconds >= life-min(longestMargin, life/4):
		return lease.None
	case 2*seconds >= life:
		return lease.Last
	case age >= life*2/5+spread*time.Duration(c.jti[0])/256:
		return lease.Due
	default:
		return lease.Fresh
	}
}

// Keep stores a new token, unless its key was removed.
func (t *tokenStore) Keep(key tokenKey, s signed) bool {
	if known := t.refreshKeys(context.Background()); known && t.set.find(s.key) == nil {
		return false
	}
	if last, ok := t.table.Find(key); ok {
		t.table.Remove(last)
	}
	for t.table.Len() >= t.most {
		t.table.Remove(t.table.Unused())
	}
	t.table.Add(key, cachedToken{
		jti: s.jti, minted: s.dates.minted, life: uint32(s.dates.expires - s.dates.minted),
		since: uint32(t.since(t.issuer.config.Now())),
		back:  uint16(s.dates.minted - s.dates.issued), key: t.keyIndex(s.key),
	}, s.signature)
	return true
}

// keyIndex returns the index of a key in t.keys, and adds the key if it is missing.
func (t *tokenStore) keyIndex(k *signingKey) uint16 {
	free := len(t.keys)
	for i, other := range t.keys {
		switch {
		case other == nil:
			free = i
		case other.same(k):
			return uint16(i)
		}
	}
	if free == len(t.keys) {
		t.keys = append(t.keys, nil)
	}
	t.keys[free] = k
	return uint16(free)
}

// refreshKeys loads the current keys and removes the tokens whose keys are gone. If the
// keys cannot be loaded, it keeps the last ones and returns false.
func (t *tokenStore) refreshKeys(ctx context.Context) (known bool) {
	set, err := t.issuer.keys.load(ctx)
	if err != nil || set == t.set {
		return err == nil
	}
	t.set = set
	gone := false
	for i, k := range t.keys {
		if k != nil {
			t.keys[i] = set.find(k)
			gone = gone || t.keys[i] == nil
		}
	}
	if !gone {
		return true
	}
	for place := range t.table.All() {
		if t.keys[t.table.Value(place).key] == nil {
			t.table.Remove(place)
		}
	}
	return true
}

// clear removes all tokens.
func (t *tokenStore) clear() { t.table, t.keys = slab.Table[cachedToken]{}, nil }
