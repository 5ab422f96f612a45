package pkcs11_test

import (
	"bytes"
	"crypto/x509"
	"testing"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/pkcs11"
)

// A library may return any public key object. An issuer accepts every key that
// this package accepts.
func FuzzPublicKey(f *testing.F) {
	key := p256()
	point := must(key.PublicKey.Bytes())
	p256Params := []byte("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07")
	f.Add(uint64(cryptoki.CKK_EC), p256Params, point)
	f.Add(uint64(cryptoki.CKK_EC), p256Params, append([]byte{4, 65}, point...))
	f.Add(uint64(cryptoki.CKK_EC), p256Params, append([]byte{4, 0x81, 65}, point...))
	f.Add(uint64(cryptoki.CKK_EC), []byte("\x06\x05\x2b\x81\x04\x00\x22"), make([]byte, 97))
	f.Add(uint64(cryptoki.CKK_RSA), bytes.Repeat([]byte{0xff}, 256), []byte{1, 0, 1})
	f.Add(uint64(cryptoki.CKK_RSA), []byte{}, []byte{})
	f.Add(uint64(cryptoki.CKK_RSA), bytes.Repeat([]byte{0xff}, 256), bytes.Repeat([]byte{0xff}, 9))
	f.Add(uint64(0x40), []byte("\x13\x0cedwards25519"), append([]byte{4, 32}, make([]byte, 32)...))
	f.Add(uint64(0x40), []byte("\x06\x03\x2b\x65\x70"), make([]byte, 32))
	f.Fuzz(func(t *testing.T, kind uint64, first, second []byte) {
		public, err := pkcs11.ParsePublicKey(kind, first, second)
		if err != nil {
			if public != nil {
				t.Fatal("a key and an error")
			}
			return
		}
		spki, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signer.PublicKey(spki); err != nil {
			t.Fatal(err)
		}
	})
}

// A wrapped key comes from a store, so it may hold any bytes.
func FuzzWrapped(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 1})
	f.Add(append([]byte{1, 2, 0xaa, 0xbb}, make([]byte, 12+16+32)...))
	f.Add(append([]byte{1, 255}, make([]byte, 255+12+16)...))
	f.Fuzz(func(t *testing.T, wrapped []byte) {
		id, iv, sealed, err := pkcs11.CutWrapped(wrapped)
		if err != nil {
			return
		}
		if len(id) == 0 || len(iv) != 12 || len(sealed) <= 16 {
			t.Fatalf("an ID of %d bytes, a vector of %d and a ciphertext of %d", len(id), len(iv), len(sealed))
		}
		together := append([]byte{1, byte(len(id))}, id...)
		if together = append(append(together, iv...), sealed...); !bytes.Equal(together, wrapped) {
			t.Fatal("the parts are not the whole")
		}
	})
}
