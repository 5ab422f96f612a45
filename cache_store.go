package oidctoken

import (
	"context"
	"time"

	"github.com/oidctoken/oidctoken/internal/lease"
	"github.com/oidctoken/oidctoken/internal/slab"
)

// longestMargin is how long before its end a token is not handed out any more.
const longestMargin = time.Minute / time.Second

// tokenKey is the first half of a SHA-256 digest over all that a token's
// signature depends on and a caller chooses. Who finds two scopes with one key
// gets a token that no relying party takes, and none of another's: the text
// is the caller's own, and the signature would not be for it.
type tokenKey = slab.Hash

// signed is what differs between two tokens that say the same, and who signed.
type signed struct {
	key       *signingKey
	dates     dates
	jti       [16]byte
	signature []byte
}

// tokenStore has the tokens of a Cache, under the keeper's lock.
type tokenStore struct {
	issuer *Issuer
	most   int
	start  time.Time // with both clocks, or as the issuer's has
	table  slab.Table[cachedToken]

	set  *keySet       // at the last look
	keys []*signingKey // nil: a free place
}

// cachedToken is a token but for its text and its signature.
type cachedToken struct {
	jti    [16]byte
	minted int64
	life   uint32 // in seconds from minted to "exp"
	since  uint32 // of the store, in seconds
	back   uint16 // in seconds from "iat" to minted
	key    uint16 // that signed: its place in the store
}

func newTokenStore(iss *Issuer, most int) *tokenStore {
	return &tokenStore{issuer: iss, most: most, start: iss.config.Now(), set: iss.keys.last.Load()}
}

// Find is find, for whoever has no memory for a signature.
func (t *tokenStore) Find(ctx context.Context, key tokenKey, now time.Time) (signed, lease.State) {
	return t.find(ctx, key, now, nil)
}

// Remove removes the token of key.
func (t *tokenStore) Remove(key tokenKey) {
	if place, ok := t.table.Find(key); ok {
		t.table.Remove(place)
	}
}

// find looks up the token of key, whose signature it appends to buf.
func (t *tokenStore) find(ctx context.Context, key tokenKey, now time.Time, buf []byte) (signed, lease.State) {
	t.look(ctx)
	place, ok := t.table.Find(key)
	if !ok {
		return signed{}, lease.None
	}
	c := t.table.Value(place)
	k := t.keys[c.key]
	state, d := c.state(t.age(c, now)), c.dates()
	if now.Unix() < d.issued {
		state = lease.None // the clock was ahead when it was minted: verifiers refuse its "iat"
	}
	if end := k.Expires; !end.IsZero() && d.expires > end.Unix() {
		state = lease.None // since its key ends sooner now
	}
	if state == lease.None {
		t.table.Remove(place)
		return signed{}, lease.None
	}
	t.table.Use(place)
	return signed{k, d, c.jti, append(buf, t.table.Bytes(place)...)}, state
}

// age is a token's, in seconds, by the clock or by the monotonic one, whichever
// says more: the clock can be set back, and the other stands still while the
// machine sleeps.
func (t *tokenStore) age(c *cachedToken, now time.Time) int64 {
	return max(now.Unix()-c.minted, t.since(now)-int64(c.since))
}

// since is how many seconds t has been there, by the monotonic clock if the
// issuer's has one.
func (t *tokenStore) since(now time.Time) int64 { return int64(now.Sub(t.start) / time.Second) }

// dates returns the token's dates.
func (c *cachedToken) dates() dates {
	return dates{minted: c.minted, issued: c.minted - int64(c.back), expires: c.minted + int64(c.life)}
}

// state is that of a token of so many seconds. Its renewal ahead begins when
// two fifths to half of its life are over; where in between, the token itself
// tells, so that what was minted together is not renewed together.
func (c *cachedToken) state(age int64) lease.State {
	life := int64(c.life)
	switch {
	case age >= life-min(int64(longestMargin), life/4):
		return lease.None
	case 2*age >= life:
		return lease.Last
	case age*10*256 >= life*(4*256+int64(c.jti[0])):
		return lease.Due
	default:
		return lease.Fresh
	}
}

// Keep takes a new token, unless its key was withdrawn.
func (t *tokenStore) Keep(key tokenKey, s signed) bool {
	if known := t.look(context.Background()); known && t.set.find(s.key) == nil {
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
		back:  uint16(s.dates.minted - s.dates.issued), key: t.place(s.key),
	}, s.signature)
	return true
}

// place finds or makes the place of a key.
func (t *tokenStore) place(k *signingKey) uint16 {
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

// look asks for the keys. If they are others than at the last look, the tokens
// of those that are gone are removed. When they are not known, the last ones are
// taken for them.
func (t *tokenStore) look(ctx context.Context) (known bool) {
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

// clear removes all.
func (t *tokenStore) clear() { t.table, t.keys = slab.Table[cachedToken]{}, nil }
