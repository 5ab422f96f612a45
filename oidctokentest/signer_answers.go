package oidctokentest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"math/big"
)

// alteration returns the service's wrong answer instead of a signature.
type alteration func(f *faultTest, digest, sig []byte) []byte

// oversized is more than any signature has, and little enough for every
// transport.
const oversized = 64 << 10

func alterations() map[string]alteration {
	return map[string]alteration{
		"empty":          func(*faultTest, []byte, []byte) []byte { return nil },
		"cut off":        func(_ *faultTest, _, sig []byte) []byte { return sig[:len(sig)-1] },
		"half":           func(_ *faultTest, _, sig []byte) []byte { return sig[:len(sig)/2] },
		"one byte":       func(*faultTest, []byte, []byte) []byte { return []byte{0x30} },
		"zeros":          func(_ *faultTest, _, sig []byte) []byte { return make([]byte, len(sig)) },
		"ones":           func(_ *faultTest, _, sig []byte) []byte { return bytes.Repeat([]byte{0xff}, len(sig)) },
		"with a tail":    func(_ *faultTest, _, sig []byte) []byte { return append(bytes.Clone(sig), 0) },
		"with a head":    func(_ *faultTest, _, sig []byte) []byte { return append([]byte{0}, sig...) },
		"twice":          func(_ *faultTest, _, sig []byte) []byte { return append(bytes.Clone(sig), sig...) },
		"oversized":      func(*faultTest, []byte, []byte) []byte { return bytes.Repeat([]byte{0x30}, oversized) },
		"a bit flipped":  flipBit,
		"another digest": repeatFirst,
		"another key":    (*faultTest).signByAnother,
	}
}

func flipBit(_ *faultTest, _, sig []byte) []byte {
	sig = bytes.Clone(sig)
	sig[len(sig)-1] ^= 1
	return sig
}

// repeatFirst gives the signature of another call.
func repeatFirst(f *faultTest, _, _ []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answered[0]
}

// signByAnother gives the signature of another key of the same kind, in the
// form that sig has.
func (f *faultTest) signByAnother(digest, sig []byte) []byte {
	var other []byte
	var err error
	switch k := f.public.(type) {
	case *rsa.PublicKey:
		var key *rsa.PrivateKey
		if key, err = rsa.GenerateKey(rand.Reader, k.N.BitLen()); err == nil {
			other, err = rsa.SignPKCS1v15(nil, key, f.hash, digest)
		}
	case *ecdsa.PublicKey:
		var key *ecdsa.PrivateKey
		if key, err = ecdsa.GenerateKey(k.Curve, rand.Reader); err == nil {
			other, err = ecdsa.SignASN1(rand.Reader, key, digest)
		}
		if len(sig) == 2*width(k) && !isDER(sig) {
			other = swapForm(other, k)
		}
	case ed25519.PublicKey:
		var key ed25519.PrivateKey
		if _, key, err = ed25519.GenerateKey(rand.Reader); err == nil {
			other = ed25519.Sign(key, digest)
		}
	}
	if err != nil {
		f.t.Errorf("another key: %v", err)
	}
	return other
}

// ecdsaSignature is an ECDSA-Sig-Value (RFC 3279, section 2.2.3).
type ecdsaSignature struct{ R, S *big.Int }

func isDER(sig []byte) bool {
	rest, err := asn1.Unmarshal(sig, &ecdsaSignature{})
	return err == nil && len(rest) == 0
}

func width(k *ecdsa.PublicKey) int { return (k.Params().BitSize + 7) / 8 }

// swapForm makes r || s of ASN.1 DER, and the reverse. It returns nil if there
// is no other form.
func swapForm(sig []byte, public crypto.PublicKey) []byte {
	k, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return nil
	}
	size := width(k)
	if isDER(sig) {
		var s ecdsaSignature
		if _, err := asn1.Unmarshal(sig, &s); err != nil {
			return nil
		}
		return append(s.R.FillBytes(make([]byte, size)), s.S.FillBytes(make([]byte, size))...)
	}
	half := len(sig) / 2
	der, err := asn1.Marshal(ecdsaSignature{new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])})
	if err != nil {
		return nil
	}
	return der
}
