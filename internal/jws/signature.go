package jws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
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
	body, rest, ok := cutDER(der, 0x30)
	if !ok || len(rest) != 0 {
		return nil, errDER
	}
	for range 2 {
		var n []byte
		if n, body, ok = cutDER(body, 0x02); !ok {
			return nil, errDER
		}
		switch {
		case len(n) == 0, n[0]&0x80 != 0, len(n) == 1 && n[0] == 0:
			return nil, errDER // empty, negative, or zero
		case len(n) > 1 && n[0] == 0 && n[1]&0x80 == 0:
			return nil, errDER // not the shortest form
		case n[0] == 0:
			n = n[1:]
		}
		if len(n) > width {
			return nil, fmt.Errorf("it has an integer of %d bytes, not %d", len(n), width)
		}
		for range width - len(n) {
			dst = append(dst, 0)
		}
		dst = append(dst, n...)
	}
	if len(body) != 0 {
		return nil, errDER
	}
	return dst, nil
}

// cutDER cuts an element with that tag off der. The signatures of our curves have
// no length over 255.
func cutDER(der []byte, tag byte) (body, rest []byte, ok bool) {
	if len(der) < 2 || der[0] != tag {
		return nil, nil, false
	}
	n, der := int(der[1]), der[2:]
	if n == 0x81 {
		if len(der) == 0 || der[0] < 0x80 {
			return nil, nil, false
		}
		n, der = int(der[0]), der[1:]
	} else if n >= 0x80 {
		return nil, nil, false
	}
	if n > len(der) {
		return nil, nil, false
	}
	return der[:n], der[n:], true
}
