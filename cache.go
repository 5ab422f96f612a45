package oidctoken

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/oidctoken/oidctoken/internal/jws"
	"github.com/oidctoken/oidctoken/internal/lease"
)

const (
	defaultCacheEntries = 10_000

	renewPause = 10 * time.Second // after a signature that failed, while the last token serves
	mintPause  = time.Second      // after one that failed when there is none
)

var errCacheClosed = errors.New("oidctoken: the cache is closed")

// CacheConfig is the configuration of a [Cache]. The zero value is one.
type CacheConfig struct {
	// MaxEntries is the most tokens that are kept, each of which takes about
	// 80 bytes and its signature: 145 with ES256, 340 with RS256 and 2048 bits.
	// Optional, 10,000 by default, as for whatever is not positive.
	MaxEntries int
}

// Cache is an [Issuer] that hands a token out again while it has more than half
// its life ahead, for a signer whose signatures are slow, dear or counted. It is
// safe for concurrent use.
//
//   - What is minted is the same as by Mint of the Issuer, and so are the errors.
//     Two calls share a token if it says the same for both, but for "iat", "nbf",
//     "exp" and "jti", and if their profiles accept the same algorithms and ask
//     for the same lifetime. What shares a token shares its "jti": a relying
//     party that takes each only once needs tokens of [Issuer.Mint].
//   - Policy is asked at every call. [Config.Audit] is told of every refusal, and
//     of a token once, when it is minted.
//   - Callers of one token share one signature, which takes a minute at most.
//     Each may leave it to the others when its ctx ends.
//   - A token that is used is renewed in the background when two fifths to half of
//     its life are over. While the signer fails, which is asked every 10 s, the
//     last token serves on, but for its last minute, or its last quarter if that
//     is less. An error without a token that serves is remembered for a second.
//   - A token is dropped once the KeySource has its key no longer: revoking a key
//     is felt by the next call. What was handed out is valid for whoever does not
//     look at the JWK Set again.
//   - Of more tokens than may be kept, one that was not used for long goes.
//
// What it keeps has no pointers, so that a million tokens are nothing to the
// garbage collector, and no token: the text is rendered again for each call.
type Cache struct {
	issuer *Issuer
	tokens *tokenStore
	keeper *lease.Keeper[tokenKey, signed]
}

// NewCache returns an empty cache of what iss mints. Close has to be called in
// the end.
func NewCache(iss *Issuer, c CacheConfig) *Cache {
	if c.MaxEntries <= 0 {
		c.MaxEntries = defaultCacheEntries
	}
	tokens := newTokenStore(iss, c.MaxEntries)
	return &Cache{issuer: iss, tokens: tokens, keeper: lease.New(lease.Config[tokenKey, signed]{
		Store: tokens,
		Pause: func(_ error, serving bool) time.Duration {
			if serving {
				return renewPause
			}
			return mintPause
		},
		Ends:     func(error) bool { return false }, // policy is asked at every call
		Failures: c.MaxEntries,
		Closed:   errCacheClosed,
		Now:      iss.config.Now,
	})}
}

// Mint returns a token that says what s says, a new one or one that was minted
// before. It fails as [Issuer.Mint] does, and after Close.
func (c *Cache) Mint(ctx context.Context, s Scope) (*Token, error) {
	iss := c.issuer
	started := iss.audit.start()
	b := iss.buffers.Get().(*mintBuffer)
	defer iss.buffers.Put(b)
	set, err := iss.render(b, &s)
	if err != nil {
		return nil, iss.audit.end(ctx, started, &s, nil, nil, err)
	}
	if err = ctx.Err(); err != nil {
		err = fmt.Errorf("oidctoken: mint: %w", err)
	} else {
		err = authorize(ctx, iss.config.Allow, &s)
	}
	if err != nil {
		var claims *Claims
		if iss.audit.enabled() {
			claims = iss.payloads.claims(&b.payload, &s, set)
		}
		return nil, iss.audit.end(ctx, started, &s, claims, nil, err)
	}
	key := b.tokenKey(set)
	if t := c.hit(ctx, b, key); t != nil {
		return t, nil
	}
	got, err := c.keeper.Get(ctx, key, func() lease.Fetch[signed] { return c.flight(b, &s, set) })
	if err != nil {
		if err == ctx.Err() {
			err = fmt.Errorf("oidctoken: mint: %w", err)
		}
		return nil, err
	}
	return c.token(b, &got), nil
}

// hit is the token of key, if there is one that need not be renewed. It takes no
// memory but that of the token.
func (c *Cache) hit(ctx context.Context, b *mintBuffer, key tokenKey) *Token {
	now := c.issuer.config.Now()
	c.keeper.Mu.Lock()
	got, state := c.tokens.find(ctx, key, now, b.signature[:0])
	if state == lease.Fresh {
		c.keeper.Hits++
	}
	c.keeper.Mu.Unlock()
	if state != lease.Fresh {
		return nil
	}
	b.signature = got.signature
	return c.token(b, &got)
}

// tokenKey is that of the payload in d, without the claims that differ from one
// token to the next.
func (b *mintBuffer) tokenKey(set *settings) tokenKey {
	input := b.jws[:0]
	for _, alg := range set.algorithms {
		input = append(append(input, alg...), ' ')
	}
	input = strconv.AppendInt(input, int64(set.lifetime), 10)
	input = append(append(input, ' '), b.payload.json...)
	b.jws = input
	sum := sha256.Sum256(input)
	return tokenKey(sum[:len(tokenKey{})])
}

// token returns the token of d's payload and s.
func (c *Cache) token(b *mintBuffer, s *signed) *Token {
	b.payload.json = c.issuer.appendDates(b.payload.json, s.dates, &s.jti)
	b.jws = jws.AppendBase64(append(b.jws[:0], s.key.header...), b.payload.json)
	b.jws = jws.AppendBase64(append(b.jws, '.'), s.signature)
	return newToken(b.jws, &s.jti, s.key.ID, s.dates.expires)
}

// flight prepares the minting of d's payload, for whoever waits for it: it
// shares nothing with the caller, who may leave.
func (c *Cache) flight(b *mintBuffer, s *Scope, set *settings) lease.Fetch[signed] {
	var (
		iss     = c.issuer
		payload = bytes.Clone(b.payload.json)
		own     = *set
		scope   = s.clone()
		claims  *Claims
	)
	if iss.audit.enabled() {
		claims = iss.payloads.claims(&b.payload, &scope, set)
	}
	return func(ctx context.Context) (signed, error) {
		b := iss.buffers.Get().(*mintBuffer)
		defer iss.buffers.Put(b)
		b.payload.json = append(b.payload.json[:0], payload...)
		started := iss.audit.start()
		t, err := iss.mint(ctx, &own, b, nil)
		if iss.audit.end(ctx, started, &scope, claims, t, err) != nil {
			return signed{}, err
		}
		return signed{b.key, b.dates, t.id, bytes.Clone(b.signature)}, nil
	}
}

// CacheStats is what a [Cache] holds now, and its lookups so far.
type CacheStats struct {
	Entries      int
	Hits, Misses uint64 // calls of Mint that found a token, and that waited for one
}

// Stats says what the cache holds.
func (c *Cache) Stats() CacheStats {
	c.keeper.Mu.Lock()
	defer c.keeper.Mu.Unlock()
	return CacheStats{Entries: c.tokens.table.Len(), Hits: c.keeper.Hits, Misses: c.keeper.Misses}
}

// Close ends the signatures that are under way, waits for them, and forgets all
// tokens. Mint fails after that. To close it again is no error.
func (c *Cache) Close() {
	c.keeper.Close()
	c.keeper.Mu.Lock()
	defer c.keeper.Mu.Unlock()
	c.tokens.clear()
}
