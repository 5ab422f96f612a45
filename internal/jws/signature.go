package jws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Verify checks a signer's signature of a digest with the signer's public key.
func (a *Algorithm) Verify(key crypto.PublicKey, digest, signature []byte) error {
	ok := false
	switch k := key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, a.Hash, digest, signature)
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, digest, signature)
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, digest, signature)
	}
	if !ok {
		return errors.New("the public key does not verify it")
	}
	return nil
}

// AppendSignature appends a signer's signature in the form that JWS requires. For
// ECDSA, it converts DER to r || s, each of full width (RFC 7518, section 3.4).
// Other signatures stay as they are.
func (a *Algorithm) AppendSignature(dst, signature []byte) ([]byte, error) {
	if a.width == 0 {
		return append(dst, signature...), nil
	}
	return appendRS(dst, signature, a.width)
}

var errDER = errors.New("it is not an ECDSA-Sig-Value in DER")

// appendRS appends an ECDSA-Sig-Value (RFC 3279, section 2.2.3) as r || s, each of
// width bytes. It accepts only DER: one sequence of two positive integers in the
// shortest form, no wider than width, with nothing after it.
func appendRS(dst, der []byte, width int) ([]byte, error) {
	input := cryptobyte.String(der)
	var body cryptobyte.String
	if !input.ReadASN1(&body, asn1.SEQUENCE) || !input.Empty() {
		return nil, errDER
	}
	for range 2 {
		var n []byte // without leading zeros, never negative
		if !body.ReadASN1Integer(&n) || len(n) == 1 && n[0] == 0 {
			return nil, errDER
		}
		if len(n) > width {
			return nil, fmt.Errorf("it has an integer of %d bytes, not %d", len(n), width)
		}
		for range width - len(n) {
			dst = append(dst, 0)
		}
		dst = append(dst, n...)
	}
	if !body.Empty() {
		return nil, errDER
	}
	return dst, nil
}
