package oidctoken

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
)

// algorithm is a signature algorithm of RFC 7518, section 3.1, or RFC 8037.
type algorithm struct {
	name string
	hash crypto.Hash // 0: the message is signed as it is
	size int         // bytes of each of r and s, for ECDSA; else 0
}

var algorithms = []algorithm{
	{"RS256", crypto.SHA256, 0},
	{"RS384", crypto.SHA384, 0},
	{"RS512", crypto.SHA512, 0},
	{"ES256", crypto.SHA256, 32},
	{"ES384", crypto.SHA384, 48},
	{"ES512", crypto.SHA512, 66},
	{"EdDSA", 0, 0},
}

// algorithmNamed finds an algorithm; names are compared by letter case, too.
func algorithmNamed(name string) *algorithm {
	for i := range algorithms {
		if algorithms[i].name == name {
			return &algorithms[i]
		}
	}
	return nil
}

// algorithmOf is the algorithm that a public key has by default.
func algorithmOf(key crypto.PublicKey) (*algorithm, error) {
	if err := checkPublic(key); err != nil {
		return nil, err
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		for i, a := range algorithms {
			if a.size == (k.Params().BitSize+7)/8 {
				return &algorithms[i], nil
			}
		}
	case ed25519.PublicKey:
		return algorithmNamed("EdDSA"), nil
	}
	return algorithmNamed("RS256"), nil
}

// fits reports whether a is an algorithm for the key whose default is of.
func (a *algorithm) fits(of *algorithm) bool {
	rsa := func(a *algorithm) bool { return a.hash != 0 && a.size == 0 }
	return a == of || rsa(a) && rsa(of)
}

// digester has room for a digest, so that making one does not allocate.
type digester struct {
	sum256 [sha256.Size]byte
	sum512 [sha512.Size]byte

	resumed resumable // of hash
	hash    crypto.Hash
}

// digest is what a signer is given for the signing input. It may be d's
// memory or input itself.
func (d *digester) digest(a *algorithm, input []byte) []byte {
	switch a.hash {
	case crypto.SHA256:
		d.sum256 = sha256.Sum256(input)
		return d.sum256[:]
	case crypto.SHA384:
		sum := sha512.Sum384(input)
		return append(d.sum512[:0], sum[:]...)
	case crypto.SHA512:
		d.sum512 = sha512.Sum512(input)
		return d.sum512[:]
	default:
		return input
	}
}

// verify checks what a signer returned against its public key.
func (a *algorithm) verify(key crypto.PublicKey, digest, sig []byte) error {
	ok := false
	switch k := key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, a.hash, digest, sig)
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, digest, sig)
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, digest, sig)
	}
	if !ok {
		return errors.New("the public key does not verify it")
	}
	return nil
}

// appendSignature appends a signer's answer in the form that JWS wants: as it
// is, or for ECDSA as r || s, each of full width (RFC 7518, section 3.4).
func (a *algorithm) appendSignature(dst, sig []byte) ([]byte, error) {
	if a.size == 0 {
		return append(dst, sig...), nil
	}
	return appendRS(dst, sig, a.size)
}

var errDER = errors.New("it is not an ECDSA-Sig-Value in DER")

// appendRS appends an ECDSA-Sig-Value (RFC 3279, section 2.2.3) as r || s of
// size bytes each. It takes DER alone: one sequence of two positive integers,
// of shortest form and no wider than size, and nothing behind it.
func appendRS(dst, der []byte, size int) ([]byte, error) {
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
			return nil, errDER // nothing, negative, or zero
		case len(n) > 1 && n[0] == 0 && n[1]&0x80 == 0:
			return nil, errDER // not of shortest form
		case n[0] == 0:
			n = n[1:]
		}
		if len(n) > size {
			return nil, fmt.Errorf("it has an integer of %d bytes, not %d", len(n), size)
		}
		for range size - len(n) {
			dst = append(dst, 0)
		}
		dst = append(dst, n...)
	}
	if len(body) != 0 {
		return nil, errDER
	}
	return dst, nil
}

// cutDER cuts an element with that tag off der. Lengths over 255 do not occur
// in the signatures of our curves.
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
