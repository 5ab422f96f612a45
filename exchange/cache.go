package exchange

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/lease"
)

const (
	defaultEntries = 1000
	defaultBytes   = 16 << 20

	lookInterval = time.Second      // between two full looks at a credential
	retryPause   = 10 * time.Second // after a renewal that failed
	refusalPause = 5 * time.Second  // after a refusal, when there is nothing to serve
	failurePause = time.Second      // after another failure, when there is nothing to serve
	longestPause = 30 * time.Second // as of Error.RetryAfter
)

// CacheConfig is a cache's configuration. The zero value is one.
type CacheConfig struct {
	// MaxEntries is the limit of credentials in the cache. Optional, 1,000 by
	// default, also for a value that is not positive.
	MaxEntries int

	// MaxBytes is the approximate limit of memory for the credentials and their
	// entries, in bytes. Optional, 16 MiB by default, also for a value that is not
	// positive.
	MaxBytes int64

	// Observe is called for every exchange that ended, before its callers
	// continue. It is not called for an exchange that Purge or Close ended. It
	// must not block for long and must not call Close. Optional.
	Observe func(context.Context, CacheEvent)

	// Now is the clock. Optional, time.Now by default. With another clock,
	// Lease.Get takes a lock.
	Now func() time.Time
}

// CacheEvent is the argument of [CacheConfig.Observe]. It holds no secret.
type CacheEvent struct {
	Target  Target        // of the Lease whose Get began the exchange
	Renewal bool          // there was a credential to renew
	Late    time.Duration // how long after it was to be renewed the exchange began
	Took    time.Duration // from the mint to the end
	Err     error         // why there is no new credential; nil if there is
	Expires time.Time     // of the credential in use, which is the previous one after a failure; zero if there is no credential

	// TokenID and KeyID are the "jti" and the "kid" of the JWT that was exchanged:
	// the last one, if there were several tries. They are empty if none was minted.
	TokenID, KeyID string
}

// CacheStats holds the current size of a cache and the number of its lookups so
// far.
type CacheStats struct {
	Entries int
	Bytes   int64 // as CacheConfig.MaxBytes counts

	// Hits counts the calls of Get that found a credential, Misses those that
	// waited for one. A Lease returns its own copy for a second after a lookup;
	// such calls are not counted.
	Hits, Misses uint64
}

var (
	errCacheClosed  = errors.New("exchange: the cache is closed")
	errNoCredential = errors.New("exchange: the Exchanger returned no credential")
	errExpired      = errors.New("exchange: the Exchanger returned a credential that has expired")
)

// Cache keeps credentials until they expire, one cache for a whole process. It
// is safe for concurrent use.
//
//   - Callers of one credential share one exchange, which takes a minute at most.
//     A caller whose ctx ends leaves the exchange to the others.
//   - A credential in use is renewed in the background at half its life, give or
//     take a tenth of that. While renewals fail, they are repeated every 10 s, or
//     after [Error.RetryAfter]. Until it expires by the wall clock or by the
//     monotonic clock, the previous credential stays in use.
//   - A refusal (an [*Error] that is not Temporary, a *[oidctoken.ScopeError] or
//     [oidctoken.ErrDenied]) is remembered for 5 s. Any other error is remembered
//     for 1 s or RetryAfter, unless a credential is still valid.
//   - A credential is dropped once a key that signed a token of its exchange is no
//     longer published, so the call after a revocation gets another one. The cloud
//     and the steps that have the credential can still use it.
//   - When the cache is full, it evicts the credential that was not used for the
//     longest time. Credentials of a [Lease] count, too: the Lease gets another one
//     when it needs it.
//
// Policy (oidctoken.Config.Allow) is asked by Lease, and when a token is minted:
// a renewal that it refuses ends the credential. Get does not ask it.
type Cache struct {
	keeper *lease.Keeper[cacheKey, result]
	store  *store
}

// NewCache returns an empty cache. The caller must close it.
func NewCache(c CacheConfig) *Cache {
	if c.MaxEntries <= 0 {
		c.MaxEntries = defaultEntries
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = defaultBytes
	}
	cache := &Cache{store: newStore(c)}
	cache.keeper = lease.New(lease.Config[cacheKey, result]{
		Store:    cache.store,
		Pause:    pause,
		Ends:     func(err error) bool { return errors.Is(err, oidctoken.ErrDenied) },
		Failures: c.MaxEntries,
		Closed:   errCacheClosed,
		Now:      cache.store.config.Now,
	})
	return cache
}

// pause returns how long no exchange is tried after an error.
func pause(err error, serving bool) time.Duration {
	e, _ := errors.AsType[*Error](err)
	_, badScope := errors.AsType[*oidctoken.ScopeError](err)
	var asked time.Duration
	if e != nil {
		asked = min(e.RetryAfter, longestPause)
	}
	switch {
	case serving:
		return max(retryPause, asked)
	case badScope, errors.Is(err, oidctoken.ErrDenied), e != nil && !e.Temporary():
		return max(refusalPause, asked)
	default:
		return max(failurePause, asked)
	}
}

// Purge removes the credentials and refusals of the connector with that name
// and ends its running exchanges. Callers that wait for such an exchange get
// the credential of a new one.
func (c *Cache) Purge(connector string) {
	of := func(key cacheKey) bool { return key.connector == connector }
	c.keeper.Mu.Lock()
	defer c.keeper.Mu.Unlock()
	c.keeper.Drop(of)
	c.store.drop(of)
}

// Stats returns the current size and the lookups of the cache.
func (c *Cache) Stats() CacheStats {
	c.keeper.Mu.Lock()
	defer c.keeper.Mu.Unlock()
	return CacheStats{Entries: len(c.store.entries), Bytes: c.store.bytes, Hits: c.keeper.Hits, Misses: c.keeper.Misses}
}

// Close ends the running exchanges, waits for them, and removes all
// credentials. Every later Get fails. Close may be called more than once.
func (c *Cache) Close() {
	c.keeper.Close()
	c.keeper.Mu.Lock()
	defer c.keeper.Mu.Unlock()
	c.store.drop(func(cacheKey) bool { return true })
}

// Lease returns the current credential of one target from a [Cache]. It is safe
// for concurrent use, and need not be released.
type Lease struct {
	// The fields that a hit reads come first, in one cache line of the processor:
	// with many leases, loading that line is the cost of a hit.
	cached atomic.Pointer[cached] // what Get found last; it serves until the store withdraws it
	key    cacheKey               // with the issuer

	cache  *Cache
	mint   *oidctoken.Prepared
	target Target
}

// Get returns the credential. It fails as [Exchanger.Exchange] does, with ctx's
// error when ctx ends before the exchange, and after Close. It returns a cached
// credential even if ctx has ended.
func (l *Lease) Get(ctx context.Context) (*Credential, error) {
	// The monotonic clock alone takes half the time of time.Now. The store
	// looks at both when the next look is due.
	if h := l.cached.Load(); h != nil && int64(time.Since(h.since)) < h.look.Load() {
		c := h.credential.Load()
		ids, err := l.key.issuer.KeyIDs(ctx)
		if c != nil && err == nil && &ids[0] == h.ids.Load() { // the keys of the last look
			return c, nil
		}
	}
	got, err := l.cache.keeper.Get(ctx, l.key, l.flight)
	if err != nil {
		return nil, err
	}
	l.cached.Store(got.cached)
	return got.credential, nil
}

// flight prepares an exchange. It is called with the store locked.
func (l *Lease) flight() lease.Fetch[result] {
	observe, now := l.cache.store.config.Observe, l.cache.store.config.Now
	if observe == nil {
		return func(ctx context.Context) (result, error) { return l.exchange(ctx, func(*oidctoken.Token) {}) }
	}
	e := CacheEvent{Target: l.target}
	begun := now()
	if last := l.cache.store.last(l.key); last != nil {
		e.Renewal, e.Expires, e.Late = true, last.expires, max(0, begun.Sub(last.renew))
	}
	return func(ctx context.Context) (result, error) {
		got, err := l.exchange(ctx, func(t *oidctoken.Token) { e.TokenID, e.KeyID = t.ID(), t.KeyID() })
		if ctx.Err() == context.Canceled {
			return got, err // by Purge or Close
		}
		e.Took, e.Err = now().Sub(begun), err
		if err == nil {
			e.Expires = got.expires
		}
		observe(ctx, e)
		return got, err
	}
}

// exchange makes a new credential. It calls minted for each token, one at a time,
// and no more once it has returned.
func (l *Lease) exchange(ctx context.Context, minted func(*oidctoken.Token)) (result, error) {
	begun := l.cache.store.config.Now()
	var (
		mu    sync.Mutex // two at a time may mint
		kids  []string
		ended bool
	)
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		ended = true
	}()
	c, err := l.key.exchanger.Exchange(ctx, Request{
		Subject: func(ctx context.Context, audience string) (string, error) {
			if audience != l.key.audience {
				return "", errAudience
			}
			t, err := l.mint.Mint(ctx)
			if err != nil {
				return "", err
			}
			mu.Lock()
			defer mu.Unlock()
			if !ended {
				minted(t)
			}
			if !slices.Contains(kids, t.KeyID()) {
				kids = append(kids, t.KeyID())
			}
			return t.JWT(), nil
		},
		SessionName: l.target.SessionName,
		Scopes:      slices.Clone(l.target.Scopes),
	})
	if err != nil {
		return result{}, err
	}
	if c == nil {
		return result{}, errNoCredential
	}
	mu.Lock()
	defer mu.Unlock()
	return l.cache.store.newResult(begun, c, slices.Clone(kids))
}

// result is the credential of a flight with its entry. Callers get the credential
// even if the store drops the entry meanwhile.
type result struct {
	*cached
	credential *Credential
}

// cached is an entry of the cache.
type cached struct {
	// The fields that a hit reads come first, as in a Lease.
	credential atomic.Pointer[Credential] // nil once it was withdrawn
	look       atomic.Int64               // when the next full look is due, in ns after since
	ids        atomic.Pointer[string]     // the first of KeyIDs at the last look
	since      time.Time

	renew   time.Time // has both clocks, as since has, for any credential of the Exchanger
	expires time.Time // has both clocks
	kids    []string  // of the tokens that were minted for it
	bytes   int64
}

// withdraw ends the use of h.
func (h *cached) withdraw() {
	h.credential.Store(nil)
	h.look.Store(math.MinInt64)
}
