// Package jws assembles and reads JSON Web Signatures in compact serialization
// (RFC 7515): the algorithms, the header, base64url, the digest that a signer
// signs, and the conversion and verification of its signature.
package jws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
)

// DefaultAlgorithm is the default of a profile and of an RSA key. Entra accepts no other
// algorithm.
const DefaultAlgorithm = "RS256"

// Algorithm is a signature algorithm of RFC 7518, section 3.1, or RFC 8037.
type Algorithm struct {
	Name string
	Hash crypto.Hash // 0 for EdDSA, which signs the message itself

	width int // bytes of each of r and s for ECDSA; 0 for other algorithms
}

var algorithms = []Algorithm{
	{"RS256", crypto.SHA256, 0},
	{"RS384", crypto.SHA384, 0},
	{"RS512", crypto.SHA512, 0},
	{"ES256", crypto.SHA256, 32},
	{"ES384", crypto.SHA384, 48},
	{"ES512", crypto.SHA512, 66},
	{"EdDSA", 0, 0},
}

// Names returns the names of all algorithms. The caller may change the slice.
func Names() []string {
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = a.Name
	}
	return names
}

// Named returns the algorithm with that name, or nil. Names are case-sensitive.
func Named(name string) *Algorithm {
	for i := range algorithms {
		if algorithms[i].Name == name {
			return &algorithms[i]
		}
	}
	return nil
}

// DefaultFor returns the algorithm that a public key has by default. It fails if
// [CheckPublic] refuses the key.
func DefaultFor(key crypto.PublicKey) (*Algorithm, error) {
	if err := CheckPublic(key); err != nil {
		return nil, err
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		for i, a := range algorithms {
			if a.width == (k.Params().BitSize+7)/8 {
				return &algorithms[i], nil
			}
		}
	case ed25519.PublicKey:
		return Named("EdDSA"), nil
	}
	return Named(DefaultAlgorithm), nil
}

// FitsKeyOf reports whether a key whose default algorithm is other can sign with
// a. An RSA key can sign with every RSA algorithm.
func (a *Algorithm) FitsKeyOf(other *Algorithm) bool {
	rsa := func(a *Algorithm) bool { return a.Hash != 0 && a.width == 0 }
	return a == other || rsa(a) && rsa(other)
}

// Header returns the JWS Protected Header for a key in base64url, and the dot
// that follows it. The kid must need no escape in JSON.
func (a *Algorithm) Header(kid string) string {
	header := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"JWT"}`, a.Name, kid)
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "."
}

// SameKey reports whether two public keys that [CheckPublic] accepts are equal.
func SameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// CheckPublic refuses public keys that are weak, malformed or of an unknown type.
func CheckPublic(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		switch {
		case k == nil || k.N == nil:
			return errors.New("the RSA key is empty")
		case k.N.BitLen() < 2048:
			return fmt.Errorf("an RSA key of %d bits is weak: at least 2048 are needed", k.N.BitLen())
		case k.N.Sign() < 0 || k.N.Bit(0) == 0 || k.E < 3 || k.E%2 == 0 || k.E > math.MaxInt32:
			return errors.New("the RSA key's modulus or exponent is invalid")
		}
	case *ecdsa.PublicKey:
		//lint:ignore SA1019 the standard library panics if a number is missing
		if k == nil || k.X == nil || k.Y == nil {
			return errors.New("the ECDSA key is empty")
		}
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		default:
			return errors.New("the ECDSA key's curve is not P-256, P-384 or P-521")
		}
		if _, err := k.ECDH(); err != nil {
			return fmt.Errorf("the ECDSA key is not on its curve: %w", err)
		}
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return fmt.Errorf("an Ed25519 public key has %d bytes, not %d", ed25519.PublicKeySize, len(k))
		}
	default:
		return fmt.Errorf("a key of type %T is not supported", key)
	}
	return nil
}
