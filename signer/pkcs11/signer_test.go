package pkcs11_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"testing"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/pkcs11"
)

// T06
func TestSigner(t *testing.T) {
	for alg, key := range privateKeys() {
		t.Run(alg, func(t *testing.T) {
			algorithms := []string{alg}
			if alg == "RS256" {
				algorithms = []string{"RS256", "RS384", "RS512"}
			}
			f := newFixture(t, key)
			oidctokentest.TestSigner(t, func(*testing.T) oidctoken.Signer { return f.signer }, algorithms...)
		})
	}
}

// T07 X07
func TestSignerFaults(t *testing.T) {
	for alg, key := range privateKeys() {
		t.Run(alg, func(t *testing.T) {
			oidctokentest.TestSignerFaults(t, func(t *testing.T) oidctokentest.SignerFaults {
				return faults(newFixture(t, key), key)
			})
		})
	}
}

func faults(f *fixture, key crypto.Signer) oidctokentest.SignerFaults {
	answers := func(answer func(data, value []byte, err error) ([]byte, error)) func() {
		return func() {
			f.Do(func() {
				f.Answer = func(op string, data, value []byte, err error) ([]byte, error) {
					if op != "C_Sign" {
						return value, err
					}
					return answer(data, value, err)
				}
			})
		}
	}
	returns := func(code uint) func() {
		return answers(func([]byte, []byte, error) ([]byte, error) { return nil, pkcs11.Returned(code) })
	}
	var release chan struct{}
	return oidctokentest.SignerFaults{
		Signer: f.signer,
		// Another key pair takes the place of the first, under its CKA_ID.
		Rotate: func() {
			f.on.Remove(0)
			f.on.AddKey(bytesOf(id), another(key))
		},
		Alter: func(alter func(digest, signature []byte) []byte) {
			answers(func(data, value []byte, err error) ([]byte, error) {
				if _, ok := key.(*rsa.PrivateKey); ok && len(data) == 19+32 {
					data = data[19:] // behind the DigestInfo
				}
				return alter(data, value), err
			})()
		},
		Garbage: map[string]func(){
			"an error that is not a CK_RV": answers(func([]byte, []byte, error) ([]byte, error) { return nil, errors.New("?") }),
			"a panic":                      answers(func([]byte, []byte, error) ([]byte, error) { panic("?") }),
		},
		Temporary: map[string]func(){
			"away":             func() { f.Do(func() { f.on.Away = true }) },
			"device error":     returns(cryptoki.CKR_DEVICE_ERROR),
			"session limit":    returns(cryptoki.CKR_SESSION_COUNT),
			"a vendor's error": returns(cryptoki.CKR_VENDOR_DEFINED + 7),
		},
		Permanent: map[string]func(){
			"not allowed":   returns(cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED),
			"no mechanism":  returns(cryptoki.CKR_MECHANISM_INVALID),
			"key destroyed": func() { f.on.Remove(0) },
			"no private":    func() { f.on.Remove(cryptoki.CKO_PRIVATE_KEY) },
		},
		Hang: func() <-chan struct{} {
			taken := make(chan struct{}, 64)
			wait := make(chan struct{})
			release = wait
			f.t.Cleanup(func() { f.Do(func() { closeOnce(wait) }) })
			f.Do(func() {
				f.Wait = func(op string) {
					if op == "C_Sign" {
						taken <- struct{}{}
						<-wait
					}
				}
			})
			return taken
		},
		Heal: func() {
			f.Do(func() {
				f.Wait, f.Answer = nil, nil
				closeOnce(release)
			})
		},
	}
}

// closeOnce is called with the fake's lock.
func closeOnce(c chan struct{}) {
	if c == nil {
		return
	}
	select {
	case <-c:
	default:
		close(c)
	}
}

// another returns a new key of the same kind.
func another(key crypto.Signer) crypto.Signer {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return must(rsa.GenerateKey(rand.Reader, k.N.BitLen()))
	case *ecdsa.PrivateKey:
		return must(ecdsa.GenerateKey(k.Curve, rand.Reader))
	}
	return privateKeys()["EdDSA"]
}

// A token that answers garbage for a time makes no token, and good ones later.
// T07
func TestNoTokenOfGarbage(t *testing.T) {
	key := p256()
	f := newFixture(t, key)
	issuer := newIssuer(t, oidctoken.StaticKeys{{Signer: f.signer}})
	other := p256()
	for name, answer := range map[string]func(data, value []byte) []byte{
		"empty":       func([]byte, []byte) []byte { return []byte{} },
		"short":       func(_, value []byte) []byte { return value[:63] },
		"oversized":   func(_, value []byte) []byte { return append(value, make([]byte, 1<<20)...) },
		"zeros":       func([]byte, []byte) []byte { return make([]byte, 64) },
		"DER":         func(data, _ []byte) []byte { return must(key.Sign(rand.Reader, data, crypto.SHA256)) },
		"another key": func(data, _ []byte) []byte { return must(pkcs11.Sign(other, cryptoki.CKM_ECDSA, data)) },
		"P-384": func(data, _ []byte) []byte {
			return must(pkcs11.Sign(must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)), cryptoki.CKM_ECDSA, data))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f.Do(func() {
				f.Answer = func(op string, data, value []byte, err error) ([]byte, error) {
					if op == "C_Sign" {
						value = answer(data, value)
					}
					return value, err
				}
			})
			token, err := issuer.Mint(t.Context(), scope("ES256"))
			if token != nil || !errors.Is(err, oidctoken.ErrSignerUnavailable) {
				t.Errorf("Mint returned %v, %v; want no token and %v", token, err, oidctoken.ErrSignerUnavailable)
			}
			fails(t, err, signer.Malformed, "")
			f.Do(func() { f.Answer = nil })
			verify(t, issuer, must(issuer.Mint(t.Context(), scope("ES256"))), "ES256")
		})
	}
}

// New pins one key pair, and refuses every other set of objects with the
// reason.
func TestNewRefuses(t *testing.T) {
	f := newFixture(t, nil)
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	for _, test := range []struct {
		name    string
		prepare func(on *pkcs11.FakeToken)
		want    signer.Kind
	}{
		{"no key", func(*pkcs11.FakeToken) {}, signer.Gone},
		{"another ID", func(on *pkcs11.FakeToken) { on.AddKey("\xa1", p256()) }, signer.Gone},
		{"no private key", func(on *pkcs11.FakeToken) {
			on.AddKey(bytesOf(id), p256())
			on.Remove(cryptoki.CKO_PRIVATE_KEY)
		}, signer.Gone},
		{"no public key", func(on *pkcs11.FakeToken) {
			on.AddKey(bytesOf(id), p256())
			on.Remove(cryptoki.CKO_PUBLIC_KEY)
		}, signer.Gone},
		{"two key pairs", func(on *pkcs11.FakeToken) {
			on.AddKey(bytesOf(id), p256())
			on.AddKey(bytesOf(id), p256())
		}, signer.Refused},
		{"two private keys", func(on *pkcs11.FakeToken) {
			on.AddKey(bytesOf(id), p256())
			on.Remove(cryptoki.CKO_PUBLIC_KEY)
			on.AddKey(bytesOf(id), p256())
		}, signer.Refused},
		{"a session object", func(on *pkcs11.FakeToken) {
			on.AddKey(bytesOf(id), p256())
			on.Set(cryptoki.CKO_PRIVATE_KEY, cryptoki.CKA_TOKEN, false)
		}, signer.Gone},
		{"P-224", func(on *pkcs11.FakeToken) { on.AddKey(bytesOf(id), p224) }, signer.Malformed},
		{"RSA of 1024 bits", func(on *pkcs11.FakeToken) {
			on.AddKey(bytesOf(id), privateKeys()["RS256"])
			on.Set(cryptoki.CKO_PUBLIC_KEY, cryptoki.CKA_MODULUS, append(make([]byte, 128), 0xff, 0x01))
		}, signer.Malformed},
		{"a DSA key", func(on *pkcs11.FakeToken) {
			on.AddKey(bytesOf(id), p256())
			on.Set(cryptoki.CKO_PUBLIC_KEY, cryptoki.CKA_KEY_TYPE, uint(cryptoki.CKK_DSA))
		}, signer.Malformed},
		{"no type", func(on *pkcs11.FakeToken) {
			on.AddKey(bytesOf(id), p256())
			on.Set(cryptoki.CKO_PUBLIC_KEY, cryptoki.CKA_KEY_TYPE, []byte{1})
		}, signer.Malformed},
		{"a point off the curve", func(on *pkcs11.FakeToken) {
			on.AddKey(bytesOf(id), p256())
			on.Set(cryptoki.CKO_PUBLIC_KEY, cryptoki.CKA_EC_POINT, append([]byte{4}, make([]byte, 64)...))
		}, signer.Malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			f.on.Remove(0)
			test.prepare(f.on)
			s, err := pkcs11.New(t.Context(), f.token, id, nil)
			if s != nil {
				t.Error("New returned a Signer")
			}
			fails(t, err, test.want, "")
		})
	}
	for _, id := range []string{"", "a", "xy", "a1:b2", string(slices.Repeat([]byte("00"), 256))} {
		if _, err := pkcs11.New(t.Context(), f.token, id, nil); err == nil {
			t.Errorf("New takes the CKA_ID %.16q", id)
		}
	}
	if _, err := pkcs11.New(t.Context(), nil, id, nil); err == nil {
		t.Error("New takes no Token")
	}
}

// A point that the library returns without its OCTET STRING is taken.
func TestBarePoint(t *testing.T) {
	f := newFixture(t, nil)
	key := p256()
	f.on.AddKey(bytesOf(id), key)
	f.on.Set(cryptoki.CKO_PUBLIC_KEY, cryptoki.CKA_EC_POINT, must(key.PublicKey.Bytes()))
	f.signer = must(pkcs11.New(t.Context(), f.token, id, nil))
	f.signs()
	f.on.Remove(0)
	edwards := f.on.AddKey(bytesOf(id), privateKeys()["EdDSA"]).(ed25519.PublicKey)
	f.on.Set(cryptoki.CKO_PUBLIC_KEY, cryptoki.CKA_EC_POINT, []byte(edwards))
	f.signer = must(pkcs11.New(t.Context(), f.token, id, nil))
	f.signs()
}

// A key whose CKA_ID is another pair's later does not sign, and signs again
// when it is back.
func TestKeyReplaced(t *testing.T) {
	f := newFixture(t, p256())
	f.signs()
	removed := f.on.Remove(0)
	f.on.AddKey(bytesOf(id), p256())
	fails(t, f.sign(t.Context()), signer.Gone, "")
	f.on.Remove(0)
	fails(t, f.sign(t.Context()), signer.Gone, "")
	f.on.Return(removed)
	f.signs()
}

func TestSignRefuses(t *testing.T) {
	f := newFixture(t, p256())
	before := f.Signs
	for name, sign := range map[string]func() ([]byte, error){
		"SHA-384": func() ([]byte, error) { return f.signer.Sign(t.Context(), make([]byte, 48), crypto.SHA384) },
		"no hash": func() ([]byte, error) { return f.signer.Sign(t.Context(), digest(), nil) },
		"PSS": func() ([]byte, error) {
			return f.signer.Sign(t.Context(), digest(), &rsa.PSSOptions{Hash: crypto.SHA256})
		},
		"cancelled": func() ([]byte, error) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return f.signer.Sign(ctx, digest(), crypto.SHA256)
		},
	} {
		if signature, err := sign(); signature != nil || err == nil {
			t.Errorf("%s: Sign returned %x, %v; want an error", name, signature, err)
		}
	}
	if f.Signs != before {
		t.Errorf("the token was asked for %d signatures", f.Signs-before)
	}
}
