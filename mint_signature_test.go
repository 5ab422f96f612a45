package oidctoken_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"testing"

	"github.com/oidctoken/oidctoken"
)

// remote returns a signer that is not in memory. It signs with key, and change alters its
// signatures.
func remote(key crypto.Signer, change func(sig []byte) []byte) oidctoken.Signer {
	return signerFunc{key.Public(), func(_ context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
		sig, err := key.Sign(rand.Reader, digest, opts)
		if err != nil {
			return nil, err
		}
		return change(sig), nil
	}}
}

type pair struct{ R, S *big.Int }

// onPair returns a change of a DER signature from a change of its two integers.
func onPair(change func(r, s *big.Int) []byte) func([]byte) []byte {
	return func(sig []byte) []byte {
		var p pair
		if _, err := asn1.Unmarshal(sig, &p); err != nil {
			panic(err)
		}
		return change(p.R, p.S)
	}
}

// element returns a DER element whose length takes one byte.
func element(tag byte, content ...[]byte) []byte {
	body := slices.Concat(content...)
	return append([]byte{tag, byte(len(body))}, body...)
}

// integer returns n in DER.
func integer(n *big.Int) []byte { return must(asn1.Marshal(n)) }

func constant(sig []byte) func([]byte) []byte { return func([]byte) []byte { return sig } }

// badAnswers holds answers that are wrong for every algorithm.
var badAnswers = map[string]func([]byte) []byte{
	"nil":          constant(nil),
	"empty":        constant([]byte{}),
	"one byte":     constant([]byte{0x30}),
	"zeros":        func(sig []byte) []byte { return make([]byte, len(sig)) },
	"ones":         func(sig []byte) []byte { return bytes.Repeat([]byte{0xff}, len(sig)) },
	"short by one": func(sig []byte) []byte { return sig[:len(sig)-1] },
	"trailing":     func(sig []byte) []byte { return append(sig, 0) },
	"leading":      func(sig []byte) []byte { return append([]byte{0}, sig...) },
	"twice":        func(sig []byte) []byte { return append(sig, sig...) },
	"oversized":    func(sig []byte) []byte { return append(sig, make([]byte, 1<<20)...) },
	"a bit off":    func(sig []byte) []byte { sig[len(sig)-1] ^= 1; return sig },
	"text":         constant([]byte("internal server error")),
}

// badDER holds answers with the right r and s in a wrong form, or with a wrong r or s in
// the right form.
var badDER = map[string]func([]byte) []byte{
	"r || s": onPair(func(r, s *big.Int) []byte {
		return append(r.FillBytes(make([]byte, 66)), s.FillBytes(make([]byte, 66))...)
	}),
	"a leading zero": onPair(func(r, s *big.Int) []byte {
		return element(0x30, element(0x02, []byte{0, 0}, r.Bytes()), integer(s))
	}),
	"a negative r":    onPair(func(r, s *big.Int) []byte { return element(0x30, integer(new(big.Int).Neg(r)), integer(s)) }),
	"a negative s":    onPair(func(r, s *big.Int) []byte { return element(0x30, integer(r), integer(new(big.Int).Neg(s))) }),
	"a zero r":        onPair(func(_, s *big.Int) []byte { return element(0x30, integer(new(big.Int)), integer(s)) }),
	"a zero s":        onPair(func(r, _ *big.Int) []byte { return element(0x30, integer(r), integer(new(big.Int))) }),
	"an empty r":      onPair(func(_, s *big.Int) []byte { return element(0x30, []byte{2, 0}, integer(s)) }),
	"a wide r":        onPair(func(r, s *big.Int) []byte { return must(asn1.Marshal(pair{new(big.Int).Lsh(r, 80), s})) }),
	"a very wide s":   onPair(func(r, s *big.Int) []byte { return must(asn1.Marshal(pair{r, new(big.Int).Lsh(s, 1<<16)})) }),
	"r + 1":           onPair(func(r, s *big.Int) []byte { return must(asn1.Marshal(pair{r.Add(r, big.NewInt(1)), s})) }),
	"s before r":      onPair(func(r, s *big.Int) []byte { return must(asn1.Marshal(pair{s, r})) }),
	"one integer":     onPair(func(r, _ *big.Int) []byte { return element(0x30, integer(r)) }),
	"three integers":  onPair(func(r, s *big.Int) []byte { return element(0x30, integer(r), integer(s), []byte{2, 1, 1}) }),
	"no sequence":     onPair(func(r, s *big.Int) []byte { return append(integer(r), integer(s)...) }),
	"a set":           onPair(func(r, s *big.Int) []byte { return element(0x31, integer(r), integer(s)) }),
	"octet strings":   onPair(func(r, s *big.Int) []byte { return element(0x30, element(4, r.Bytes()), element(4, s.Bytes())) }),
	"an octet string": func(sig []byte) []byte { return element(0x04, sig) },
	"indefinite length": onPair(func(r, s *big.Int) []byte {
		return slices.Concat([]byte{0x30, 0x80}, integer(r), integer(s), []byte{0, 0})
	}),
	"a long length where a short one does": onPair(func(r, s *big.Int) []byte {
		body := append(integer(r), integer(s)...)
		return append([]byte{0x30, 0x82, 0, byte(len(body))}, body...)
	}),
}

// T06, T07
func TestBadSignatures(t *testing.T) {
	for alg, key := range keyFor {
		answers := map[string]func([]byte) []byte{}
		for name, f := range badAnswers {
			answers[name] = f
		}
		if alg[:2] == "ES" {
			for name, f := range badDER {
				answers[name] = f
			}
		}
		for name, change := range answers {
			t.Run(alg+"/"+name, func(t *testing.T) { refused(t, alg, remote(key(), change)) })
		}
	}
}

// refused checks that Mint fails with a signer whose answers are bad.
func refused(t *testing.T, alg string, signer oidctoken.Signer) {
	t.Helper()
	var event *oidctoken.Event
	issuer := newIssuer(t, oidctoken.Config{
		Keys:    oidctoken.StaticKeys{{Signer: signer, Algorithm: alg}},
		Profile: oidctoken.Profile{Algorithms: []string{alg}},
		Audit:   func(_ context.Context, e oidctoken.Event) { event = &e },
	})
	token, err := issuer.Mint(t.Context(), minimal())
	if token != nil || !errors.Is(err, oidctoken.ErrBadSignature) || errors.Is(err, oidctoken.ErrSignerUnavailable) {
		t.Errorf("Mint: %v, %v; want ErrBadSignature and no token", token, err)
	}
	if event == nil || event.ID != "" || !errors.Is(event.Err, oidctoken.ErrBadSignature) {
		t.Errorf("Audit was called with %+v, want the refusal", event)
	}
	prepared, err := issuer.Prepare(t.Context(), minimal())
	if err != nil {
		t.Fatal(err)
	}
	if token, err := prepared.Mint(t.Context()); token != nil || !errors.Is(err, oidctoken.ErrBadSignature) {
		t.Errorf("Prepared.Mint: %v, %v; want ErrBadSignature and no token", token, err)
	}
}

// T07: Mint refuses signatures that verify only with another key, hash or scheme than the
// published ones.
func TestForeignSignatures(t *testing.T) {
	sign := func(key crypto.Signer, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
		return key.Sign(rand.Reader, digest, opts)
	}
	type signFunc = func(context.Context, []byte, crypto.SignerOpts) ([]byte, error)
	for _, tt := range []struct {
		name, alg string
		sign      signFunc
	}{
		{"RSA of another key", "RS256", func(_ context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			return sign(otherRSA(), d, o)
		}},
		{"RSA-PSS", "RS256", func(_ context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			return sign(rsaKey(), d, &rsa.PSSOptions{Hash: o.HashFunc()})
		}},
		{"RSA of another hash", "RS256", func(_ context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			return sign(rsaKey(), make([]byte, 64), crypto.SHA512)
		}},
		{"RSA without the hash's name", "RS384", func(_ context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			return sign(rsaKey(), d, crypto.Hash(0))
		}},
		{"ECDSA of another digest", "ES256", func(_ context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			return sign(p256Key(), make([]byte, 32), o)
		}},
		{"ECDSA of another curve", "ES256", func(_ context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			return sign(p384Key(), d, o)
		}},
		{"Ed25519 of another key", "EdDSA", func(_ context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			return sign(otherEd(), d, o)
		}},
		{"Ed25519 of the last token", "EdDSA", replay(edKey())},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refused(t, tt.alg, signerFunc{keyFor[tt.alg]().Public(), tt.sign})
		})
	}
}

// replay returns a signature of another message.
func replay(key crypto.Signer) func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
	last := []byte("an older token")
	return func(_ context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
		sig, err := key.Sign(rand.Reader, last, opts)
		last = bytes.Clone(digest)
		return sig, err
	}
}

// T02, T07: if a service switches to a new version of its key, no token is signed with the
// new version under the kid of the old version.
func TestRotatingSigner(t *testing.T) {
	current := edKey()
	signer := &rotating{current: func() crypto.Signer { return current }}
	issuer := newIssuer(t, oidctoken.Config{
		Keys:    oidctoken.StaticKeys{{Signer: signer}},
		Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}},
	})
	mint(t, issuer, minimal())
	current = otherEd()
	if token, err := issuer.Mint(t.Context(), minimal()); token != nil || !errors.Is(err, oidctoken.ErrBadSignature) {
		t.Errorf("Mint after rotation: %v, %v; want ErrBadSignature", token, err)
	}
}

type rotating struct{ current func() crypto.Signer }

func (r *rotating) Public() crypto.PublicKey { return r.current().Public() }

func (r *rotating) Sign(_ context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return r.current().Sign(rand.Reader, digest, opts)
}

// The error of a signer is wrapped, with ErrSignerUnavailable.
func TestSignerFails(t *testing.T) {
	errQuota := errors.New("quota exceeded")
	for name, want := range map[string]error{"an error": errQuota, "a cancelled context": context.DeadlineExceeded} {
		issuer := newIssuer(t, oidctoken.Config{
			Keys: oidctoken.StaticKeys{{Signer: signerFunc{edKey().Public(), func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
				return []byte("half"), want
			}}}},
			Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}},
		})
		token, err := issuer.Mint(t.Context(), minimal())
		if token != nil || !errors.Is(err, oidctoken.ErrSignerUnavailable) || !errors.Is(err, want) || errors.Is(err, oidctoken.ErrBadSignature) {
			t.Errorf("%s: %v, %v; want ErrSignerUnavailable and the signer's error", name, token, err)
		}
	}
}

// A signer that continues after its caller left, for example in a call to a service, still
// has the digest of its own token.
func TestSignerKeepsDigest(t *testing.T) {
	for _, alg := range []string{"EdDSA", "ES256", "ES384"} {
		var kept [][]byte
		var copies [][]byte
		issuer := newIssuer(t, oidctoken.Config{
			Keys: oidctoken.StaticKeys{{Signer: signerFunc{keyFor[alg]().Public(), func(_ context.Context, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
				kept, copies = append(kept, digest), append(copies, bytes.Clone(digest))
				return nil, context.DeadlineExceeded
			}}}},
			Profile: oidctoken.Profile{Algorithms: []string{alg}},
		})
		for range 10 {
			if _, err := issuer.Mint(t.Context(), minimal()); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%s: %v", alg, err)
			}
		}
		for i := range kept {
			if !bytes.Equal(kept[i], copies[i]) {
				t.Errorf("%s: the digest that the signer got for token %d has changed", alg, i)
			}
		}
	}
}
