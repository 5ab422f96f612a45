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

	renewPause = 10 * time.Second // after a failed signature, while the last token is returned
	mintPause  = time.Second      // after a failed signature, without such a token
)

var errCacheClosed = errors.New("oidctoken: the cache is closed")

// CacheConfig configures a [Cache]. The zero value is valid.
type CacheConfig struct {
	// MaxEntries is the most tokens that the cache keeps. A token takes about 80
	// bytes and its signature: 145 with ES256, 340 with RS256 and 2048 bits.
	// Optional, 10,000 by default and for values that are not positive.
	MaxEntries int
}

// Cache returns the same token again while it has more than half of its lifetime
// left. Use it with a signer whose signatures are slow, expensive or limited in
// number. It is safe for concurrent use.
//
//   - Mint returns the same tokens and errors as Mint of the Issuer. Two calls share
//     a token if all its claims except "iat", "nbf", "exp" and "jti" are the same
//     for both, and if their profiles have the same algorithms and lifetime. They
//     then share the "jti", too. A relying party that accepts each "jti" only once
//     needs tokens of [Issuer.Mint].
//   - Mint calls policy each time. It calls [Config].Audit for every refusal, and
//     for a token once, when the token is minted.
//   - Callers that wait for the same token share one signature, which may take a
//     minute. Each caller can leave when its ctx ends, without ending the signature.
//   - A token in use is renewed in the background after two fifths to half of its
//     lifetime, and at least a second before half of it (a twentieth of a lifetime
//     below 20 s). From half of it on, callers wait for the renewal. If the signer fails, the cache tries again after 10 s and returns
//     the last token, except in its last minute, or its last quarter if that is
//     less. If there is no token to return, the error is remembered for a second.
//   - A token is dropped as soon as the KeySource no longer has its key, so the next
//     call gets a new token after a key was revoked. A token that was returned
//     before stays valid for verifiers that do not fetch the JWK Set again.
//   - If the cache is full, it drops a token that was not used for a long time.
//
// The entries contain no pointers, so that the garbage collector does not scan a
// million tokens. They also contain no token: each call renders the text again.
type Cache struct {
	issuer *Issuer
	tokens *tokenStore
	keeper *lease.Keeper[tokenKey, signed]
}

// NewCache returns an empty cache for the tokens of iss. The caller must call Close.
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
		Ends:     func(error) bool { return false }, // Mint calls policy each time
		Failures: c.MaxEntries,
		Closed:   errCacheClosed,
		Now:      iss.config.Now,
	})}
}

// Mint returns a token with the claims of s, which is new or was minted for an earlier
// call. It fails with the errors of [Issuer.Mint], and after Close.
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

// hit returns the token of key, or nil if a token must be minted or renewed. It
// allocates only the token.
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

// tokenKey returns the cache key: a hash of the payload without "iat", "nbf", "exp" and
// "jti", and of the algorithms and lifetime.
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

// token returns the token of the payload in b and of s.
func (c *Cache) token(b *mintBuffer, s *signed) *Token {
	b.payload.json = c.issuer.appendDates(b.payload.json, s.dates, &s.jti)
	b.jws = jws.AppendBase64(append(b.jws[:0], s.key.header...), b.payload.json)
	b.jws = jws.AppendBase64(append(b.jws, '.'), s.signature)
	return newToken(b.jws, &s.jti, s.key.ID, s.dates.expires)
}

// flight returns a function that mints a token for the payload in b. The function
// shares no memory with the caller, since the caller may leave before it ends.
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

// CacheStats counts the entries of a [Cache] and its lookups so far.
type CacheStats struct {
	Entries      int
	Hits, Misses uint64 // calls of Mint that found a token, and that waited for one
}

// Stats returns the current counts.
func (c *Cache) Stats() CacheStats {
	c.keeper.Mu.Lock()
	defer c.keeper.Mu.Unlock()
	return CacheStats{Entries: c.tokens.table.Len(), Hits: c.keeper.Hits, Misses: c.keeper.Misses}
}

// Close cancels the running signatures, waits for them, and drops all tokens. After
// that, Mint fails. Close may be called more than once.
func (c *Cache) Close() {
	c.keeper.Close()
	c.keeper.Mu.Lock()
	defer c.keeper.Mu.Unlock()
	c.tokens.clear()
}
