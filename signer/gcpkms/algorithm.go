package gcpkms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
)

// algorithm is a CryptoKeyVersionAlgorithm of the service that equals a JWS
// "alg" (RFC 7518, section 3.1; RFC 8037). A version has one algorithm, and so
// one hash.
type algorithm struct {
	jws  string
	name string
	bits int // of the modulus, or of the curve
}

// algorithms has the smallest key of an "alg" first. The service has no RS384
// and ES512, and an issuer has no "alg" for the service's RAW and PSS
// algorithms.
var algorithms = []algorithm{
	{"RS256", "RSA_SIGN_PKCS1_2048_SHA256", 2048},
	{"RS256", "RSA_SIGN_PKCS1_3072_SHA256", 3072},
	{"RS256", "RSA_SIGN_PKCS1_4096_SHA256", 4096},
	{"RS512", "RSA_SIGN_PKCS1_4096_SHA512", 4096},
	{"ES256", "EC_SIGN_P256_SHA256", 256},
	{"ES384", "EC_SIGN_P384_SHA384", 384},
	{"EdDSA", "EC_SIGN_ED25519", 255},
}

// algorithmNamed finds the service's algorithm of a name.
func algorithmNamed(name string) (algorithm, bool) {
	for _, a := range algorithms {
		if a.name == name {
			return a, true
		}
	}
	return algorithm{}, false
}

// algorithmFor finds what new versions for a JWS "alg" have. Where the service
// has one size alone, it is that.
func algorithmFor(jws string, rsaBits int) (algorithm, error) {
	for _, a := range algorithms {
		if a.jws == jws && (jws != "RS256" || a.bits == rsaBits) {
			return a, nil
		}
	}
	return algorithm{}, fmt.Errorf("the service has no keys for the algorithm %.20q", jws)
}

// fits reports whether a public key is of the algorithm's kind and size.
func (a algorithm) fits(public crypto.PublicKey) bool {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return (a.jws == "RS256" || a.jws == "RS512") && k.N.BitLen() == a.bits
	case *ecdsa.PublicKey:
		return (a.jws == "ES256" || a.jws == "ES384") && k.Params().BitSize == a.bits
	case ed25519.PublicKey:
		return a.jws == "EdDSA"
	}
	return false
}

// fitsSignature reports whether a signature has a length that the algorithm's
// have.
func (a algorithm) fitsSignature(length int) bool {
	switch a.jws {
	case "RS256", "RS512":
		return length == a.bits/8
	case "EdDSA":
		return length == ed25519.SignatureSize
	}
	// A sequence of two integers, each of which may have a byte for its sign.
	return length > 0 && length <= 2*(a.bits/8+3)+2
}
