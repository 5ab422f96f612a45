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

// Signer signs with one private key, which may be in memory, in a KMS or in an HSM.
// It is safe for concurrent use.
type Signer interface {
	// Public returns the public key: *rsa.PublicKey, *ecdsa.PublicKey or
	// ed25519.PublicKey. It does not block, and always returns the same key.
	Public() crypto.PublicKey

	// Sign signs a digest that was computed with opts.HashFunc(), as [crypto.Signer]
	// does. RSA keys return PKCS #1 v1.5, ECDSA keys return ASN.1 DER. For Ed25519,
	// digest is the message itself and opts.HashFunc() is 0.
	//
	// Sign uses the private key of Public, never the "latest" version of a key. It
	// returns soon after ctx is done and does not keep digest.
	Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

// Key holds a signing key and its schedule. A zero time means "no limit".
type Key struct {
	// Signer holds the key. Required.
	Signer Signer
	// ID is the "kid", of at most 128 bytes of A-Z a-z 0-9 - _. Optional, the
	// SHA-256 thumbprint of the public key (RFC 7638) by default.
	ID string
	// Algorithm is the "alg" (RFC 7518, section 3.1; RFC 8037): RS256, RS384,
	// RS512, ES256, ES384, ES512 or EdDSA. A key signs with only this algorithm.
	// Optional. The default is RS256 for RSA, the algorithm of the curve for ECDSA,
	// and EdDSA for Ed25519.
	Algorithm string
	// NotBefore and NotAfter limit when the key may sign: from NotBefore on, and
	// before NotAfter.
	NotBefore, NotAfter time.Time
	// Expires is the time at which the key is removed from the JWK Set. Every token
	// that the key signs expires at that time or earlier.
	Expires time.Time
}

// KeySource provides an issuer's keys. It is safe for concurrent use.
type KeySource interface {
	// Keys returns all published keys, 1 to 10. It answers from memory. It returns
	// the same slice until a key changes, and then a new slice. Neither the source nor
	// its callers write to a slice. So an issuer that gets the same slice again does
	// not render the keys again.
	Keys(ctx context.Context) ([]Key, error)
}

// KeySourceLimits is an optional interface of a [KeySource] whose schedule relies on
// limits that the issuer must keep. A source that wraps another source passes its
// limits on.
type KeySourceLimits interface {
	// Limits returns the longest time for which a JWK Set may be cached, in whole
	// seconds, and the longest lifetime of a token. The limits do not change.
	Limits() (maxAge, maxLifetime time.Duration)
}

// StaticKeys implements [KeySource] with keys that do not change, such as one key for
// a test.
type StaticKeys []Key

// Keys returns k.
func (k StaticKeys) Keys(context.Context) ([]Key, error) { return k, nil }

// NewSigner returns a Signer for a private key in memory (*rsa.PrivateKey,
// *ecdsa.PrivateKey or ed25519.PrivateKey), or for a [crypto.Signer] of another
// package, such as a key in a TPM or a hardware token. A signature of the latter
// cannot be cancelled, since crypto.Signer takes no context.
//
// NewSigner refuses RSA keys of fewer than 2048 bits, curves other than P-256, P-384
// and P-521, and private keys that do not match their public key.
func NewSigner(key crypto.Signer) (Signer, error) {
	if key == nil {
		return nil, errors.New("oidctoken: signer: the key is nil")
	}
	// The standard library panics for a nil pointer in the interface, and for a key
	// without its numbers. So check before the first call.
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
	// The private key matches if the public key verifies its signature.
	var scratch jws.Digester
	input := []byte("oidctoken")
	raw, err := s.Sign(context.Background(), scratch.Digest(alg, input), alg.Hash)
	if err == nil {
		err = alg.Verify(s.public, scratch.Digest(alg, input), raw)
	}
	if err != nil {
		return nil, fmt.Errorf("oidctoken: signer: the private key does not match its public key: %w", err)
	}
	return &memorySigner{s}, nil
}

// wrappedSigner signs with a crypto.Signer. It keeps the key in a func, so that no
// print verb reaches it.
type wrappedSigner struct {
	public crypto.PublicKey
	key    func() crypto.Signer
}

// memorySigner signs with the standard library. Its signatures need not be verified.
type memorySigner struct{ wrappedSigner }

func (s *wrappedSigner) Public() crypto.PublicKey { return s.public }

func (s *wrappedSigner) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.key().Sign(rand.Reader, digest, opts)
}

// Format prints the type of the public key, for every verb.
func (s *wrappedSigner) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "oidctoken.Signer(%T)", s.public)
}
