package exchange

import (
	"container/list"
	"context"
	"math"
	"slices"
	"time"

	"github.com/oidctoken/oidctoken/internal/lease"
)

// entryBytes is the size of a credential in the cache, without its variables.
const entryBytes = 1024

// store has the credentials of a Cache, under the keeper's lock.
type store struct {
	config  CacheConfig
	clocked bool // by a clock of the host's, of which nothing is known between two calls
	entries map[cacheKey]*list.Element
	order   *list.List // of *entry, the one used last at the front
	bytes   int64
}

type entry struct {
	key    cacheKey
	cached *cached
}

func newStore(c CacheConfig) *store {
	s := &store{config: c, clocked: c.Now != nil, entries: make(map[cacheKey]*list.Element), order: list.New()}
	if !s.clocked {
		s.config.Now = time.Now
	}
	return s
}

// newResult makes an entry for c.
func (s *store) newResult(begun time.Time, c *Credential, kids []string) (result, error) {
	now := s.config.Now()
	if lease.Passed(now, c.expires) {
		return result{}, errExpired
	}
	h := &cached{since: now, kids: kids, bytes: entryBytes}
	// The sum keeps both clocks of now, the wall clock and the monotonic clock.
	h.expires = now.Add(c.expires.Sub(now))
	h.renew = lease.Half(begun, h.expires)
	for name, value := range c.variables() {
		h.bytes += int64(len(name) + len(value))
	}
	h.credential.Store(c)
	return result{h, c}, nil
}

// Find looks at the credential of key: at both clocks, and at the keys that its
// tokens were signed with.
func (s *store) Find(ctx context.Context, key cacheKey, now time.Time) (result, lease.State) {
	element := s.entries[key]
	if element == nil {
		return result{}, lease.None
	}
	h := element.Value.(*entry).cached
	if lease.Passed(now, h.expires) || !s.admit(ctx, key, h) {
		s.remove(element)
		return result{}, lease.None
	}
	s.order.MoveToFront(element)
	state, next := lease.Due, h.expires
	if !lease.Passed(now, h.renew) {
		state, next = lease.Fresh, h.renew
	}
	if s.clocked {
		h.look.Store(math.MinInt64)
	} else {
		h.look.Store(int64(min(now.Sub(h.since)+lookInterval, next.Sub(h.since))))
	}
	return result{h, h.credential.Load()}, state
}

// admit reports whether the keys that signed h's tokens are published. When that
// cannot be known, they are: a KeySource that fails takes no credential away.
func (s *store) admit(ctx context.Context, key cacheKey, h *cached) bool {
	ids, err := key.issuer.KeyIDs(ctx)
	if err != nil {
		return true
	}
	for _, kid := range h.kids {
		if !slices.Contains(ids, kid) {
			return false
		}
	}
	h.ids.Store(&ids[0])
	return true
}

// Remove removes the credential of key.
func (s *store) Remove(key cacheKey) {
	if element := s.entries[key]; element != nil {
		s.remove(element)
	}
}

// Keep takes a new credential, instead of the last one. It does not keep one
// for which all others together would not make room.
func (s *store) Keep(key cacheKey, l result) bool {
	if !s.admit(context.Background(), key, l.cached) {
		return false
	}
	if last := s.entries[key]; last != nil {
		s.remove(last)
	}
	if l.bytes > s.config.MaxBytes {
		l.withdraw()
		return true
	}
	s.entries[key] = s.order.PushFront(&entry{key, l.cached})
	s.bytes += l.bytes
	for len(s.entries) > s.config.MaxEntries || s.bytes > s.config.MaxBytes {
		s.remove(s.order.Back())
	}
	return true
}

func (s *store) remove(element *list.Element) {
	e := s.order.Remove(element).(*entry)
	delete(s.entries, e.key)
	s.bytes -= e.cached.bytes
	e.cached.withdraw()
}

// drop removes what matches.
func (s *store) drop(match func(cacheKey) bool) {
	for key, element := range s.entries {
		if match(key) {
			s.remove(element)
		}
	}
}

// last returns the credential of key, if there is one.
func (s *store) last(key cacheKey) *cached {
	if element := s.entries[key]; element != nil {
		return element.Value.(*entry).cached
	}
	return nil
}
