package signer

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"

	"github.com/oidctoken/oidctoken/internal/jws"
)

// Algorithm returns the JWS "alg" (RFC 7518, section 3.1; RFC 8037) with which
// a key signs a digest. opts has the meaning that [oidctoken.Signer] gives it;
// nil means no hash. Algorithm refuses a key that an issuer would refuse, a hash that
// does not fit the key (P-256 fits SHA-256 only), another scheme than that of
// the "alg" (such as PSS), and a digest of another length than the hash's.
func Algorithm(public crypto.PublicKey, digest []byte, opts crypto.SignerOpts) (string, error) {
	if err := jws.CheckPublic(public); err != nil {
		return "", fmt.Errorf("signer: algorithm: %w", err)
	}
	var hash crypto.Hash
	switch o := opts.(type) {
	case nil:
	case *rsa.PSSOptions:
		return "", errors.New("signer: algorithm: PSS is requested: no algorithm of an issuer uses it")
	case *ed25519.Options:
		if o.Context != "" {
			return "", errors.New("signer: algorithm: Ed25519ctx is requested: EdDSA has no context")
		}
		hash = o.Hash
	default:
		hash = opts.HashFunc()
	}
	alg := algorithm(public, hash)
	if alg == "" {
		return "", fmt.Errorf("signer: algorithm: the %s does not go with %s", keyName(public), hashName(hash))
	}
	if hash != 0 && len(digest) != hash.Size() {
		return "", fmt.Errorf("signer: algorithm: the digest has %d bytes: %s has %d", len(digest), hash, hash.Size())
	}
	return alg, nil
}

// algorithm is "" if the key does not go with hash.
func algorithm(public crypto.PublicKey, hash crypto.Hash) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return map[crypto.Hash]string{crypto.SHA256: "RS256", crypto.SHA384: "RS384", crypto.SHA512: "RS512"}[hash]
	case *ecdsa.PublicKey:
		switch bits := k.Params().BitSize; {
		case bits == 256 && hash == crypto.SHA256:
			return "ES256"
		case bits == 384 && hash == crypto.SHA384:
			return "ES384"
		case bits == 521 && hash == crypto.SHA512:
			return "ES512"
		}
	case ed25519.PublicKey:
		if hash == 0 {
			return "EdDSA"
		}
	}
	return ""
}

func keyName(public crypto.PublicKey) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return "RSA key"
	case *ecdsa.PublicKey:
		return k.Params().Name + " key"
	}
	return "Ed25519 key"
}

func hashName(hash crypto.Hash) string {
	if hash == 0 {
		return "a message that is not hashed"
	}
	return hash.String()
}

// DER encodes r || s, of equal width as in JWS (RFC 7518, section 3.4), as the
// ECDSA-Sig-Value (RFC 3279, section 2.2.3) that [oidctoken.Signer] returns. It
// takes the 64, 96 or 132 bytes that a signature of P-256, P-384 or P-521 has,
// and no integer that is 0; it does not know which of the curves the key has.
func DER(rs []byte) ([]byte, error) {
	switch len(rs) {
	case 2 * 32, 2 * 48, 2 * 66:
	default:
		return nil, fmt.Errorf("signer: r || s has %d bytes, not 64, 96 or 132", len(rs))
	}
	half := len(rs) / 2
	sig := struct{ R, S *big.Int }{new(big.Int).SetBytes(rs[:half]), new(big.Int).SetBytes(rs[half:])}
	if sig.R.Sign() == 0 || sig.S.Sign() == 0 {
		return nil, errors.New("signer: r || s has an integer that is 0")
	}
	der, err := asn1.Marshal(sig)
	if err != nil {
		return nil, fmt.Errorf("signer: r || s: %w", err)
	}
	return der, nil
}

// maxSPKI is many times the size of the largest key.
const maxSPKI = 16 << 10

// PublicKey parses a SubjectPublicKeyInfo (RFC 5280, section 4.1), in DER or
// PEM (RFC 7468, section 13), with nothing around it, and refuses the keys that
// no issuer takes. It returns an *rsa.PublicKey, *ecdsa.PublicKey or
// ed25519.PublicKey.
func PublicKey(spki []byte) (crypto.PublicKey, error) {
	if len(spki) > maxSPKI {
		return nil, fmt.Errorf("signer: public key: it has more than %d bytes", maxSPKI)
	}
	if text := bytes.TrimSpace(spki); bytes.HasPrefix(text, []byte("-----BEGIN ")) {
		block, rest := pem.Decode(text)
		if block == nil || len(rest) != 0 || block.Type != "PUBLIC KEY" {
			return nil, errors.New(`signer: public key: it is not one PEM block of type "PUBLIC KEY"`)
		}
		spki = block.Bytes
	}
	public, err := x509.ParsePKIXPublicKey(spki)
	if err == nil {
		err = jws.CheckPublic(public)
	}
	if err != nil {
		return nil, fmt.Errorf("signer: public key: %w", err)
	}
	return public, nil
}
