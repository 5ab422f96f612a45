package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/oidctoken/oidctoken/signer"
)

// maxID bounds a CKA_ID, which the standard does not.
const maxID = 255

// parseID reads a CKA_ID in hexadecimal.
func parseID(text string) (string, error) {
	id, err := hex.DecodeString(text)
	if err != nil || len(id) == 0 || len(id) > maxID {
		return "", fmt.Errorf("pkcs11: the CKA_ID %.64q is not 1 to %d bytes in hexadecimal", text, maxID)
	}
	return string(id), nil
}

// publicKey returns the public key of the key pair from the token's object.
func (c *conn) publicKey(id string) (crypto.PublicKey, error) {
	object, err := c.only(fmt.Sprintf("public key of CKA_ID %x", id), withID(cryptoki.CKO_PUBLIC_KEY, id))
	if err != nil {
		return nil, err
	}
	values, err := c.session.read(object, cryptoki.CKA_KEY_TYPE)
	if err != nil {
		return nil, failed("C_GetAttributeValue", err)
	}
	var kind uint64
	var ok bool
	if len(values) == 1 {
		kind, ok = ulong(values[0])
	}
	if !ok {
		return nil, malformedKey(id, errors.New("it has no type"))
	}
	// The CKA_ID is read with the key: the handle may have become another's.
	kinds := []uint{cryptoki.CKA_ID, cryptoki.CKA_EC_PARAMS, cryptoki.CKA_EC_POINT}
	if kind == cryptoki.CKK_RSA {
		kinds = []uint{cryptoki.CKA_ID, cryptoki.CKA_MODULUS, cryptoki.CKA_PUBLIC_EXPONENT}
	}
	if values, err = c.session.read(object, kinds...); err != nil {
		return nil, failed("C_GetAttributeValue", err)
	}
	switch {
	case len(values) != len(kinds):
		return nil, malformedKey(id, fmt.Errorf("it has %d attributes, not %d", len(values), len(kinds)))
	case string(values[0]) != id:
		return nil, lost{malformedKey(id, errors.New("it was found, and has another CKA_ID"))}
	}
	public, err := parsePublicKey(kind, values[1], values[2])
	if err != nil {
		return nil, malformedKey(id, err)
	}
	return public, nil
}

func malformedKey(id string, err error) error {
	return problem("C_GetAttributeValue", signer.Malformed, "the public key of CKA_ID %x: %w", id, err)
}

// privateKey returns the handle of the private half of a key that was pinned before.
func (c *conn) privateKey(id string, public crypto.PublicKey) (uint, error) {
	if object, ok := c.keys[id]; ok {
		return object, nil
	}
	object, err := c.only(fmt.Sprintf("private key of CKA_ID %x", id), withID(cryptoki.CKO_PRIVATE_KEY, id))
	if err != nil {
		return 0, err
	}
	now, err := c.publicKey(id)
	if err != nil {
		return 0, err
	}
	if !public.(interface{ Equal(crypto.PublicKey) bool }).Equal(now) { // as every key that was parsed has
		return 0, problem("C_GetAttributeValue", signer.Gone, "the CKA_ID %x has another key now", id)
	}
	if len(c.keys) >= maxFound { // keys of a ring that has rotated for years
		clear(c.keys)
	}
	c.keys[id] = object
	return object, nil
}

// maxNumber is the bytes of an RSA modulus of 16384 bits.
const maxNumber = 16384 / 8

// parsePublicKey reads the attributes of a public key object: CKA_MODULUS and
// CKA_PUBLIC_EXPONENT (section 2.1.2 of the mechanisms), or CKA_EC_PARAMS and
// CKA_EC_POINT (section 2.3.3).
func parsePublicKey(kind uint64, first, second []byte) (crypto.PublicKey, error) {
	if len(first) > maxNumber || len(second) > maxNumber {
		return nil, fmt.Errorf("it has more than %d bytes", maxNumber)
	}
	var public crypto.PublicKey
	var err error
	switch kind {
	case cryptoki.CKK_RSA:
		exponent := new(big.Int).SetBytes(second)
		if exponent.BitLen() > 31 {
			return nil, errors.New("its exponent has more than 31 bits")
		}
		public = &rsa.PublicKey{N: new(big.Int).SetBytes(first), E: int(exponent.Int64())}
	case cryptoki.CKK_EC:
		public, err = parseECPoint(first, second)
	case ckkECEdwards:
		public, err = parseEdwards(first, second)
	default:
		err = fmt.Errorf("a key of CKK 0x%X is not supported", kind)
	}
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	return signer.PublicKey(spki) // which refuses what no issuer takes
}

// CKA_EC_PARAMS in DER: the OBJECT IDENTIFIER of a namedCurve (RFC 5480, section
// 2.1.1.1); for Ed25519 a PrintableString, or that of RFC 8410, section 3.
const (
	paramsP256       = "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
	paramsP384       = "\x06\x05\x2b\x81\x04\x00\x22"
	paramsP521       = "\x06\x05\x2b\x81\x04\x00\x23"
	paramsEd25519    = "\x13\x0cedwards25519"
	paramsEd25519OID = "\x06\x03\x2b\x65\x70"
)

var curves = map[string]elliptic.Curve{
	paramsP256: elliptic.P256(), paramsP384: elliptic.P384(), paramsP521: elliptic.P521(),
}

func parseECPoint(params, point []byte) (crypto.PublicKey, error) {
	curve, ok := curves[string(params)]
	if !ok {
		return nil, errors.New("its curve is not P-256, P-384 or P-521")
	}
	return ecdsa.ParseUncompressedPublicKey(curve, octets(point, 1+2*((curve.Params().BitSize+7)/8)))
}

func parseEdwards(params, point []byte) (crypto.PublicKey, error) {
	if string(params) != paramsEd25519 && string(params) != paramsEd25519OID {
		return nil, errors.New("its curve is not Ed25519")
	}
	point = octets(point, ed25519.PublicKeySize)
	if len(point) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("its point has %d bytes, not %d", len(point), ed25519.PublicKeySize)
	}
	return ed25519.PublicKey(bytes.Clone(point)), nil
}

// octets returns the content of an OCTET STRING. Some modules return the point
// of a key without it.
func octets(point []byte, size int) []byte {
	var content []byte
	if rest, err := asn1.Unmarshal(point, &content); len(point) != size && err == nil && len(rest) == 0 {
		return content
	}
	return point
}
