package exchange

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/oidctoken/oidctoken"
)

// Target identifies the credential of a [Lease]: its tenant, its source and its
// purpose.
type Target struct {
	// Issuer mints the tokens. Required.
	Issuer *oidctoken.Issuer

	// Scope is the scope of the tokens. Its Audience is empty, which means the
	// Exchanger's audience, or equal to that. Without a Profile, the Exchanger's
	// Profile is used. Account is required.
	Scope oidctoken.Scope

	// Exchanger exchanges the tokens. Its type must be comparable, such as a
	// pointer: two Exchangers that are not equal share no credential. Required.
	Exchanger Exchanger

	// Connector names the source of the credential, for [Cache.Purge]. Several
	// sources may share a name and are then purged together. Optional.
	Connector string

	// SessionName and Scopes are as in a [Request]. Optional.
	SessionName string
	Scopes      []string
}

// cacheKey identifies a credential. A tenant cannot choose any value that makes
// its key equal to another tenant's key.
type cacheKey struct {
	issuer    *oidctoken.Issuer
	exchanger Exchanger
	audience  string
	connector string
	rest      [sha256.Size]byte // over claims, Scope, session name and scopes
}

var errAudience = errors.New("exchange: the Exchanger requested a token for another audience than its Audience")

// Lease returns the lease of the credential for t, without minting or
// exchanging anything yet. Leases share a credential if everything in their
// targets is the same, all of the Scope included. A later change to what t
// points to has no effect.
//
// It fails with [oidctoken.ErrDenied] when policy refuses, with a
// *[oidctoken.ScopeError] as [oidctoken.Issuer.Prepare] does, and when a required
// field is missing or the Exchanger cannot be compared.
func (c *Cache) Lease(ctx context.Context, t Target) (*Lease, error) {
	switch {
	case t.Issuer == nil:
		return nil, errors.New("exchange: Target.Issuer is required")
	case t.Exchanger == nil:
		return nil, errors.New("exchange: Target.Exchanger is required")
	case !reflect.ValueOf(t.Exchanger).Comparable():
		return nil, fmt.Errorf("exchange: Target.Exchanger is a %T, which cannot be compared: use a pointer", t.Exchanger)
	}
	key := cacheKey{issuer: t.Issuer, exchanger: t.Exchanger, audience: t.Exchanger.Audience(), connector: t.Connector}
	if t.Scope.Audience != "" && t.Scope.Audience != key.audience {
		return nil, errors.New("exchange: Target.Scope.Audience is not the Exchanger's")
	}
	t.Scope.Audience = key.audience
	if t.Scope.Profile == nil {
		p := t.Exchanger.Profile()
		t.Scope.Profile = &p
	}
	mint, err := t.Issuer.Prepare(ctx, t.Scope)
	if err != nil {
		return nil, err
	}
	if err := t.Issuer.Allow(ctx, t.Scope); err != nil {
		return nil, err
	}
	// The cloud sees the claims only. Policy also sees the rest of the Scope, so
	// all of it is part of the key: a credential of a trusted execution is not for
	// an untrusted one.
	claims, err := mint.Claims().MarshalJSON()
	if err != nil {
		return nil, err
	}
	scope, err := json.Marshal(t.Scope)
	if err != nil {
		return nil, fmt.Errorf("exchange: Target.Scope: %w", err)
	}
	// JSON replaces invalid UTF-8. A Scope may have some, in a value that the token
	// leaves out.
	exact := digest(texts(nil, reflect.ValueOf(t.Scope))...)
	parts := []string{string(claims), string(scope), string(exact[:]), t.SessionName}
	if t.Scopes != nil {
		parts = append(append(parts, "scopes"), t.Scopes...)
	}
	key.rest = digest(parts...)
	t.Scopes = slices.Clone(t.Scopes)
	return &Lease{cache: c, key: key, mint: mint, target: t}, nil
}

// texts appends all strings in v, but those in maps and slices.
func texts(all []string, v reflect.Value) []string {
	switch v.Kind() {
	case reflect.String:
		all = append(all, v.String())
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			all = texts(all, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			all = texts(all, v.Field(i))
		}
	}
	return all
}

// digest returns the SHA-256 digest of parts, each with its length before it, so
// that two different lists never have the same input.
func digest(parts ...string) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, s := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	h.Sum(sum[:0])
	return sum
}
