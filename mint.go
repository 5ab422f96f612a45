package oidctoken

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"github.com/oidctoken/oidctoken/internal/jws"
)

// mintBuffer is the memory in which a token is made. It is pooled, so that a token
// costs two allocations of this package: the Token with its text, and the
// converted signature. It may point to memory of a host's Scope until the pool is
// collected, and holds no secret.
type mintBuffer struct {
	settings  settings // of a Scope's own Profile
	payload   payload
	jws       []byte
	signature []byte
	dates     dates
	key       *signingKey // that signed
	digester  jws.Digester
	jti       [16]byte
}

// render checks s and renders the payload without the claims that differ from one
// token to the next. It returns the settings of the profile that s uses.
func (iss *Issuer) render(b *mintBuffer, s *Scope) (*settings, error) {
	set := &iss.settings
	if s.Profile != nil {
		set = &b.settings
		if err := iss.profiles.read(set, s.Profile); err != nil {
			return nil, err
		}
	}
	return set, iss.payloads.render(&b.payload, s, set)
}

// issue calls policy and then mint.
func (iss *Issuer) issue(ctx context.Context, s *Scope, set *settings, b *mintBuffer, prefix *jws.Prefix) (*Token, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("oidctoken: mint: %w", err)
	}
	if err := authorize(ctx, iss.config.Allow, s); err != nil {
		return nil, err
	}
	return iss.mint(ctx, set, b, prefix)
}

// mint adds the dates and the "jti" to the payload in b, and signs it. With a
// prefix, b holds only the rest of the payload, which follows prefix.Encoded.
func (iss *Issuer) mint(ctx context.Context, set *settings, b *mintBuffer, prefix *jws.Prefix) (*Token, error) {
	keys, err := iss.keys.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("oidctoken: mint: %w", err)
	}
	now := iss.config.Now()
	key := keys.pick(set.algorithms, now)
	if key == nil {
		return nil, fmt.Errorf("oidctoken: mint: %w", keys.noKey(set.algorithms, now))
	}
	b.key, b.dates = key, iss.datesOf(set.lifetime, key, now)
	expires := b.dates.expires
	if expires <= b.dates.minted {
		return nil, fmt.Errorf("oidctoken: mint: %w: key %s ends within this second", ErrNoKey, key.ID)
	}
	rand.Read(b.jti[:]) // never fails: the program ends without entropy

	b.payload.json = iss.appendDates(b.payload.json, b.dates, &b.jti)
	b.jws = append(b.jws[:0], key.header...)
	if prefix != nil {
		b.jws = append(b.jws, prefix.Encoded...)
	}
	b.jws = jws.AppendBase64(b.jws, b.payload.json)
	if err := b.sign(ctx, key, b.digester.DigestPrefixed(key.alg, prefix, key.header, b.jws)); err != nil {
		return nil, fmt.Errorf("oidctoken: mint: key %s: %w", key.ID, err)
	}
	if iss.config.Now().Unix() >= expires {
		return nil, fmt.Errorf("oidctoken: mint: key %s: %w: the signature took until the token had expired", key.ID, ErrSignerUnavailable)
	}
	return newToken(b.jws, &b.jti, key.ID, expires), nil
}

// dates holds the dates of a token, in seconds since 1970.
type dates struct {
	minted          int64 // by the issuer's clock; not a claim
	issued, expires int64 // "iat" and "exp"
}

// datesOf returns the dates of a token that key signs at now.
func (iss *Issuer) datesOf(lifetime time.Duration, key *signingKey, now time.Time) dates {
	d := dates{minted: now.Unix()}
	d.issued = d.minted - int64(min(iss.config.BackdateIssuedAt, lifetime/2)/time.Second)
	d.expires = d.issued + int64(lifetime/time.Second)
	if !key.Expires.IsZero() {
		d.expires = min(d.expires, key.Expires.Unix())
	}
	return d
}

// appendDates appends the claims that differ from one token to the next, and the
// payload's closing brace.
func (iss *Issuer) appendDates(dst []byte, d dates, jti *[16]byte) []byte {
	dst = strconv.AppendInt(append(dst, `,"iat":`...), d.issued, 10)
	dst = strconv.AppendInt(append(dst, `,"nbf":`...), d.minted-int64(iss.config.BackdateNotBefore/time.Second), 10)
	dst = strconv.AppendInt(append(dst, `,"exp":`...), d.expires, 10)
	dst = jws.AppendBase64(append(dst, `,"jti":"`...), jti[:])
	return append(dst, `"}`...)
}

// sign signs digest, which is the digest of b.jws, and appends the signature to
// b.jws.
func (b *mintBuffer) sign(ctx context.Context, k *signingKey, digest []byte) error {
	if !k.inMemory {
		// A signer that goes on after ctx ended must not read the next token's digest.
		digest = bytes.Clone(digest)
	}
	raw, err := k.Signer.Sign(ctx, digest, k.alg.Hash)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignerUnavailable, err)
	}
	if b.signature, err = k.alg.AppendSignature(b.signature[:0], raw); err != nil {
		return fmt.Errorf("%w: %w", ErrBadSignature, err)
	}
	if !k.inMemory {
		if err := k.alg.Verify(k.public, digest, raw); err != nil {
			return fmt.Errorf("%w: %w", ErrBadSignature, err)
		}
	}
	b.jws = jws.AppendBase64(append(b.jws, '.'), b.signature)
	return nil
}
