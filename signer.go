package oidctoken

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"time"

	"github.com/oidctoken/oidctoken/internal/jws"
)

// Signer signs with one private key, wherever that is kept. It is safe for
// concurrent use.
type Signer interface {
	// Public is the public half: *rsa.PublicKey, *ecdsa.PublicKey or
	// ed25519.PublicKey. It answers from memory and is always the same.
	Public() crypto.PublicKey

	// Sign signs a digest that was made with opts.HashFunc(), by the contract
	// of [crypto.Signer]: RSA gives PKCS #1 v1.5, ECDSA gives ASN.1 DER,
	// and for Ed25519 the digest is the message itself and opts.HashFunc() is 0.
	// It signs with the key of Public and no other, never with a "latest"
	// version, and returns soon after ctx is done. It does not keep digest.
	Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

// Key is a signing key with its schedule. The zero of a time is "no limit".
type Key struct {
	// Signer holds the key. Required.
	Signer Signer
	// ID is the "kid", of at most 128 bytes of A-Z a-z 0-9 - _. Optional, the
	// SHA-256 thumbprint of the public key (RFC 7638) by default.
	ID string
	// Algorithm is the "alg" (RFC 7518, section 3.1; RFC 8037): RS256, RS384,
	// RS512, ES256, ES384, ES512 or EdDSA. A key has one and no other.
	// Optional; RS256, the one of the curve, or EdDSA by default.
	Algorithm string
	// NotBefore and NotAfter are when the key may sign: from NotBefore on and
	// before NotAfter.
	NotBefore, NotAfter time.Time
	// Expires is when the key leaves the JWK Set. No token that it signs
	// lives longer.
	Expires time.Time
}

// KeySource has an issuer's keys. It is safe for concurrent use.
type KeySource interface {
	// Keys answers from memory: all keys that are published, 1 to 10. It
	// returns the same slice until a key changes, and then another one, and
	// nobody writes to either; an issuer that sees the same slice knows that
	// it need not render the keys anew.
	Keys(ctx context.Context) ([]Key, error)
}

// KeySourceLimits is what a KeySource may have besides, if its schedule was made for
// limits that an issuer has to keep. A source that wraps another passes them on.
type KeySourceLimits interface {
	// Limits returns the longest time that a JWK Set may be cached, in whole
	// seconds, and the longest that a token may live. They do not change.
	Limits() (maxAge, maxLifetime time.Duration)
}

// StaticKeys is a KeySource of keys that do not change, such as one key for a
// test.
type StaticKeys []Key

// Keys returns k.
func (k StaticKeys) Keys(context.Context) ([]Key, error) { return k, nil }

// NewSigner returns a Signer for a private key in memory (*rsa.PrivateKey,
// *ecdsa.PrivateKey or ed25519.PrivateKey), or for a [crypto.Signer] of
// another package, as for a TPM or a token; such a Signer cannot be cancelled
// while it signs, since crypto.Signer takes no context.
//
// RSA keys of fewer than 2048 bits, curves other than P-256, P-384 and P-521,
// and keys whose halves do not belong together are refused.
func NewSigner(key crypto.Signer) (Signer, error) {
	if key == nil {
		return nil, errors.New("oidctoken: signer: the key is nil")
	}
	// A nil pointer in the interface, or a key without its numbers, panics in
	// the standard library: look before anything is called.
	var local bool
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k == nil || k.N == nil || k.D == nil {
			return nil, errors.New("oidctoken: signer: the RSA key is empty")
		}
		if err := k.Validate(); err != nil {
			return nil, fmt.Errorf("oidctoken: signer: %w", err)
		}
		k.Precompute()
		local = true
	case *ecdsa.PrivateKey:
		//lint:ignore SA1019 the standard library panics if the number is missing
		if k == nil || k.D == nil || k.Curve == nil {
			return nil, errors.New("oidctoken: signer: the ECDSA key is empty")
		}
		local = true
	case ed25519.PrivateKey:
		if len(k) != ed25519.PrivateKeySize {
			return nil, fmt.Errorf("oidctoken: signer: an Ed25519 key has %d bytes, not %d", ed25519.PrivateKeySize, len(k))
		}
		local = true
	}
	alg, err := jws.DefaultFor(key.Public())
	if err != nil {
		return nil, fmt.Errorf("oidctoken: signer: %w", err)
	}
	s := wrappedSigner{public: key.Public(), key: func() crypto.Signer { return key }}
	if !local {
		return &s, nil
	}
	// The halves belong together if one verifies the other.
	var scratch jws.Digester
	input := []byte("oidctoken")
	raw, err := s.Sign(context.Background(), scratch.Digest(alg, input), alg.Hash)
	if err == nil {
		err = alg.Verify(s.public, scratch.Digest(alg, input), raw)
	}
	if err != nil {
		return nil, fmt.Errorf("oidctoken: signer: the key's halves do not belong together: %w", err)
	}
	return &memorySigner{s}, nil
}

// wrappedSigner keeps the key in a func, so that no print verb reaches it.
type wrappedSigner struct {
	public crypto.PublicKey
	key    func() crypto.Signer
}

// memorySigner signs with the standard library: what it returns need not be
// verified.
type memorySigner struct{ wrappedSigner }

func (s *wrappedSigner) Public() crypto.PublicKey { return s.public }

func (s *wrappedSigner) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.key().Sign(rand.Reader, digest, opts)
}

// Format names the kind of key.
func (s *wrappedSigner) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "oidctoken.Signer(%T)", s.public)
}
