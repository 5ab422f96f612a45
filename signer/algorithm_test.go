package signer_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/signer"
	"pgregory.net/rapid"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func ecKey(c elliptic.Curve) *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(c, rand.Reader)) }

func edKey() ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(key, err)
}

// weakKey returns a key that the standard library no longer makes.
func weakKey() *rsa.PublicKey {
	n := new(big.Int).SetBit(big.NewInt(1), 1023, 1)
	return &rsa.PublicKey{N: n, E: 65537}
}

// T06
func TestAlgorithm(t *testing.T) {
	r := must(rsa.GenerateKey(rand.Reader, 2048)).Public()
	p256, p384, p521 := ecKey(elliptic.P256()).Public(), ecKey(elliptic.P384()).Public(), ecKey(elliptic.P521()).Public()
	ed := edKey().Public()
	for _, tt := range []struct {
		name   string
		public crypto.PublicKey
		digest int // its length
		opts   crypto.SignerOpts
		want   string // the algorithm, or a part of the error behind "signer: algorithm: "
	}{
		{"RS256", r, 32, crypto.SHA256, "RS256"},
		{"RS384", r, 48, crypto.SHA384, "RS384"},
		{"RS512", r, 64, crypto.SHA512, "RS512"},
		{"ES256", p256, 32, crypto.SHA256, "ES256"},
		{"ES384", p384, 48, crypto.SHA384, "ES384"},
		{"ES512", p521, 64, crypto.SHA512, "ES512"},
		{"EdDSA", ed, 1000, crypto.Hash(0), "EdDSA"},
		{"EdDSA of nothing", ed, 0, crypto.Hash(0), "EdDSA"},
		{"EdDSA without options", ed, 5, nil, "EdDSA"},
		{"EdDSA with empty options", ed, 5, &ed25519.Options{}, "EdDSA"},
		{"RSA with SHA-1", r, 20, crypto.SHA1, "the RSA key does not go with SHA-1"},
		{"RSA without a hash", r, 32, nil, "the RSA key does not go with a message that is not hashed"},
		{"PSS", r, 32, &rsa.PSSOptions{Hash: crypto.SHA256}, "PSS is requested"},
		{"P-256 with SHA-384", p256, 48, crypto.SHA384, "the P-256 key does not go with SHA-384"},
		{"P-384 with SHA-256", p384, 32, crypto.SHA256, "the P-384 key does not go with SHA-256"},
		{"P-521 with SHA-256", p521, 32, crypto.SHA256, "the P-521 key does not go with SHA-256"},
		{"Ed25519ph", ed, 64, crypto.SHA512, "the Ed25519 key does not go with SHA-512"},
		{"Ed25519ph in options", ed, 64, &ed25519.Options{Hash: crypto.SHA512}, "the Ed25519 key does not go with SHA-512"},
		{"Ed25519ctx", ed, 5, &ed25519.Options{Context: "x"}, "Ed25519ctx is requested"},
		{"no such hash", r, 32, crypto.Hash(200), "does not go with unknown hash value 200"},
		{"short digest", r, 31, crypto.SHA256, "the digest has 31 bytes: SHA-256 has 32"},
		{"long digest", p521, 66, crypto.SHA512, "the digest has 66 bytes: SHA-512 has 64"},
		{"empty digest", p256, 0, crypto.SHA256, "the digest has 0 bytes: SHA-256 has 32"},
		{"weak", weakKey(), 32, crypto.SHA256, "an RSA key of 1024 bits is weak"},
		{"another curve", ecKey(elliptic.P224()).Public(), 32, crypto.SHA256, "curve is not P-256, P-384 or P-521"},
		{"no key", nil, 32, crypto.SHA256, "a key of type <nil> is not supported"},
		{"empty RSA key", (*rsa.PublicKey)(nil), 32, crypto.SHA256, "the RSA key is empty"},
		{"empty ECDSA key", &ecdsa.PublicKey{}, 32, crypto.SHA256, "the ECDSA key is empty"},
		{"short Ed25519 key", ed25519.PublicKey{1}, 32, nil, "an Ed25519 public key has 32 bytes, not 1"},
		{"private key", edKey(), 32, nil, "a key of type ed25519.PrivateKey is not supported"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := signer.Algorithm(tt.public, make([]byte, tt.digest), tt.opts)
			if err == nil {
				if got != tt.want {
					t.Errorf("Algorithm is %s, want %s", got, tt.want)
				}
			} else if got != "" || !strings.HasPrefix(err.Error(), "signer: algorithm: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Algorithm: %q, %v; want %s", got, err, tt.want)
			}
		})
	}
}

func TestDERRefuses(t *testing.T) {
	one := func(n int) []byte { return bytes.Repeat([]byte{1}, n) }
	for _, tt := range []struct {
		name, want string
		rs         []byte
	}{
		{"nothing", "has 0 bytes", nil},
		{"one byte short", "has 63 bytes", one(63)},
		{"one byte long", "has 65 bytes", one(65)},
		{"of P-521 without padding", "has 130 bytes", one(130)},
		{"of a DER signature's size", "has 72 bytes", one(72)},
		{"oversized", "has 1048576 bytes", one(1 << 20)},
		{"r is 0", "an integer that is 0", slices.Concat(make([]byte, 32), one(32))},
		{"s is 0", "an integer that is 0", slices.Concat(one(66), make([]byte, 66))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			der, err := signer.DER(tt.rs)
			if der != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("DER: %x, %v; want %q", der, err, tt.want)
			}
		})
	}
}

// fromDER returns r || s, by the standard library.
func fromDER(der []byte, width int) ([]byte, error) {
	var sig struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &sig)
	if err != nil || len(rest) != 0 {
		return nil, err
	}
	return append(sig.R.FillBytes(make([]byte, width)), sig.S.FillBytes(make([]byte, width))...), nil
}

// drawRS draws r || s. More often than by chance, an integer begins with zeros
// or with a bit for which DER adds a byte.
func drawRS(t *rapid.T) []byte {
	width := rapid.SampledFrom([]int{32, 48, 66}).Draw(t, "width")
	rs := rapid.SliceOfN(rapid.Byte(), 2*width, 2*width).Draw(t, "r || s")
	for _, half := range [][]byte{rs[:width], rs[width:]} {
		clear(half[:rapid.IntRange(0, width-1).Draw(t, "zeros")])
		half[width-1] |= 1
	}
	return rs
}

// T06
func TestDERRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rs := drawRS(t)
		der, err := signer.DER(rs)
		if err != nil {
			t.Fatal(err)
		}
		back, err := fromDER(der, len(rs)/2)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rs, back); diff != "" {
			t.Fatalf("r || s (-want +got):\n%s", diff)
		}
	})
}

// rawSigner is a Signer of a service that answers r || s. It returns only
// signatures that want accepts.
type rawSigner struct {
	key  *ecdsa.PrivateKey
	want func(rs []byte) bool
	last []byte
}

func (s *rawSigner) Public() crypto.PublicKey { return s.key.Public() }

func (s *rawSigner) Sign(_ context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	for {
		der, err := s.key.Sign(rand.Reader, digest, opts)
		if err != nil {
			return nil, err
		}
		if s.last, err = fromDER(der, (s.key.Params().BitSize+7)/8); err != nil {
			return nil, err
		}
		if s.want(s.last) {
			return signer.DER(s.last)
		}
	}
}

// A service's answer is encoded in DER, decoded by the issuer, and is in the
// token byte for byte: T06
func TestDERThroughMint(t *testing.T) {
	for _, tt := range []struct {
		name  string
		curve elliptic.Curve
		want  func(rs []byte) bool
		runs  int
	}{
		{"P-256", elliptic.P256(), func([]byte) bool { return true }, 50},
		{"P-256, r begins with 0", elliptic.P256(), func(rs []byte) bool { return rs[0] == 0 }, 2},
		{"P-256, s begins with 0", elliptic.P256(), func(rs []byte) bool { return rs[32] == 0 }, 2},
		{"P-256, both are padded by DER", elliptic.P256(), func(rs []byte) bool { return rs[0]&rs[32]&0x80 != 0 }, 10},
		{"P-384", elliptic.P384(), func([]byte) bool { return true }, 10},
		{"P-521", elliptic.P521(), func([]byte) bool { return true }, 10},
		{"P-521, r has a byte less", elliptic.P521(), func(rs []byte) bool { return rs[0] == 0 }, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &rawSigner{key: ecKey(tt.curve), want: tt.want}
			issuer := newIssuer(oidctoken.StaticKeys{{Signer: s}})
			for range tt.runs {
				token := must(issuer.Mint(t.Context(), scopeOf(s)))
				jwt := token.JWT()
				encoded := jwt[strings.LastIndexByte(jwt, '.')+1:]
				if diff := cmp.Diff(s.last, must(base64.RawURLEncoding.DecodeString(encoded))); diff != "" {
					t.Fatalf("signature of the token (-service +token):\n%s", diff)
				}
			}
		})
	}
}

func newIssuer(keys oidctoken.KeySource) *oidctoken.Issuer {
	return must(oidctoken.NewIssuer(oidctoken.Config{URL: "https://issuer.example.com", Keys: keys}))
}

// scopeOf returns a scope whose token the signer's key signs.
func scopeOf(s oidctoken.Signer) oidctoken.Scope {
	alg := "RS256"
	if k, ok := s.Public().(*ecdsa.PublicKey); ok {
		alg = map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[k.Params().BitSize]
	}
	return oidctoken.Scope{
		Audience: "https://example.com",
		Profile:  &oidctoken.Profile{Algorithms: []string{alg}},
		Account:  oidctoken.Entity{ID: "acme"},
	}
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestPublicKey(t *testing.T) {
	for _, key := range []crypto.PublicKey{
		must(rsa.GenerateKey(rand.Reader, 2048)).Public(), ecKey(elliptic.P256()).Public(),
		ecKey(elliptic.P384()).Public(), ecKey(elliptic.P521()).Public(), edKey().Public(),
	} {
		der := must(x509.MarshalPKIXPublicKey(key))
		for form, spki := range map[string][]byte{
			"DER": der, "PEM": pemOf("PUBLIC KEY", der), "PEM in white space": slices.Concat([]byte("\n"), pemOf("PUBLIC KEY", der), []byte(" \n")),
		} {
			got, err := signer.PublicKey(spki)
			if err != nil || !key.(interface{ Equal(crypto.PublicKey) bool }).Equal(got) {
				t.Errorf("%T in %s: %v, %v", key, form, got, err)
			}
		}
	}
}

func TestPublicKeyRefuses(t *testing.T) {
	good := must(x509.MarshalPKIXPublicKey(ecKey(elliptic.P256()).Public()))
	pemGood := pemOf("PUBLIC KEY", good)
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	for _, tt := range []struct {
		name, want string
		spki       []byte
	}{
		{"nothing", "public key: ", nil},
		{"text", "public key: ", []byte("<!DOCTYPE html>")},
		{"cut off", "public key: ", good[:len(good)-1]},
		{"with a tail", "public key: ", append(bytes.Clone(good), 0)},
		{"oversized", "more than 16384 bytes", bytes.Repeat([]byte{0x30}, 16<<10+1)},
		{"two PEM blocks", "not one PEM block", slices.Concat(pemGood, pemGood)},
		{"PEM with a tail", "not one PEM block", append(bytes.Clone(pemGood), "x"...)},
		{"PEM cut off", "not one PEM block", pemGood[:len(pemGood)-10]},
		{"certificate", "not one PEM block", pemOf("CERTIFICATE", good)},
		{"PKCS #1", "not one PEM block", pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey))},
		{"private key", "public key: ", must(x509.MarshalPKCS8PrivateKey(rsaKey))},
		{"weak", "an RSA key of 1024 bits is weak", must(x509.MarshalPKIXPublicKey(weakKey()))},
		{"another curve", "the ECDSA key's curve is not", must(x509.MarshalPKIXPublicKey(ecKey(elliptic.P224()).Public()))},
		{"for key agreement", "a key of type *ecdh.PublicKey is not supported", must(x509.MarshalPKIXPublicKey(must(ecdh.X25519().GenerateKey(rand.Reader)).Public()))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := signer.PublicKey(tt.spki)
			if key != nil || err == nil || !strings.HasPrefix(err.Error(), "signer: public key: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("PublicKey: %v, %v; want %q", key, err, tt.want)
			}
		})
	}
}

func FuzzDER(f *testing.F) {
	for _, n := range []int{0, 63, 64, 65, 96, 132, 133} {
		f.Add(bytes.Repeat([]byte{0x80}, n))
	}
	f.Add(make([]byte, 64))
	f.Add(slices.Concat(make([]byte, 31), []byte{1}, make([]byte, 31), []byte{1}))
	f.Fuzz(func(t *testing.T, rs []byte) {
		given := bytes.Clone(rs)
		der, err := signer.DER(rs)
		if !bytes.Equal(given, rs) {
			t.Fatal("DER changed what it was given")
		}
		if err != nil {
			return
		}
		back, err := fromDER(der, len(rs)/2)
		if err != nil || !bytes.Equal(rs, back) {
			t.Fatalf("DER of %x is %x, which is %x, %v", rs, der, back, err)
		}
	})
}

func FuzzPublicKey(f *testing.F) {
	der := must(x509.MarshalPKIXPublicKey(ecKey(elliptic.P256()).Public()))
	f.Add(der)
	f.Add(must(x509.MarshalPKIXPublicKey(edKey().Public())))
	f.Add(pemOf("PUBLIC KEY", der))
	f.Add(pemOf("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(weakKey()))))
	f.Fuzz(func(t *testing.T, spki []byte) {
		key, err := signer.PublicKey(spki)
		if err != nil {
			if key != nil {
				t.Fatalf("PublicKey returned a key with the error %v", err)
			}
			return
		}
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		again, err := signer.PublicKey(der)
		if err != nil || !key.(interface{ Equal(crypto.PublicKey) bool }).Equal(again) {
			t.Fatalf("the key is %v when it is encoded anew, %v", again, err)
		}
	})
}
