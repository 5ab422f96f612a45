package oidctokentest_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"os"
	"sync"
	"testing"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// T06 T07
func TestSignersInMemory(t *testing.T) {
	for _, tt := range []struct {
		alg  string
		also []string
	}{
		{"RS256", []string{"RS256", "RS384", "RS512"}},
		{"ES256", nil}, {"ES384", nil}, {"ES512", nil}, {"EdDSA", nil},
	} {
		t.Run(tt.alg, func(t *testing.T) {
			signer := oidctokentest.NewKey(t, tt.alg).Signer
			oidctokentest.TestSigner(t, func(*testing.T) oidctoken.Signer { return signer }, tt.also...)
		})
	}
}

// broken is a Signer with one thing wrong.
type broken struct {
	oidctoken.Signer
	sign   func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)
	public func() crypto.PublicKey
}

func (b broken) Public() crypto.PublicKey {
	if b.public != nil {
		return b.public()
	}
	return b.Signer.Public()
}

func (b broken) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if b.sign != nil {
		return b.sign(ctx, digest, opts)
	}
	return b.Signer.Sign(ctx, digest, opts)
}

func newSigner(t *testing.T, key crypto.Signer) oidctoken.Signer {
	t.Helper()
	s, err := oidctoken.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ecdsaKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// brokenSigners are the defects that TestSigner must find, each with the
// subtest that finds it and its message.
var brokenSigners = []struct {
	name, subtest, words string
	make                 func(t *testing.T) oidctoken.Signer
}{
	{"other key", "ES256/Signature", "the *ecdsa.PublicKey of Public does not verify it", func(t *testing.T) oidctoken.Signer {
		return broken{Signer: newSigner(t, ecdsaKey(t)), sign: newSigner(t, ecdsaKey(t)).Sign}
	}},
	{"raw", "ES256/Signature", "it is r || s; ASN.1 DER is wanted", func(t *testing.T) oidctoken.Signer {
		key := ecdsaKey(t)
		return broken{Signer: newSigner(t, key), sign: func(ctx context.Context, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
			r, s, err := ecdsa.Sign(rand.Reader, key, digest)
			if err != nil {
				return nil, err
			}
			return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), ctx.Err()
		}}
	}},
	{"hashes again", "ES256/Signature", "the digest was hashed again", func(t *testing.T) oidctoken.Signer {
		s := newSigner(t, ecdsaKey(t))
		return broken{Signer: s, sign: func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
			again := sha256.Sum256(digest)
			return s.Sign(ctx, again[:], opts)
		}}
	}},
	{"PSS", "RS256/Signature", "it is a PSS signature; PKCS #1 v1.5 is wanted", func(t *testing.T) oidctoken.Signer {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		return broken{Signer: newSigner(t, key), sign: func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
			sig, err := rsa.SignPSS(rand.Reader, key, opts.HashFunc(), digest, nil)
			if err != nil {
				return nil, err
			}
			return sig, ctx.Err()
		}}
	}},
	{"empty", "ES256/Signature", "the signature is empty", func(t *testing.T) oidctoken.Signer {
		return broken{Signer: newSigner(t, ecdsaKey(t)), sign: func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return nil, nil }}
	}},
	{"ignores ctx", "ES256/Context", "after ctx ended, want one that is context canceled", func(t *testing.T) oidctoken.Signer {
		s := newSigner(t, ecdsaKey(t))
		return broken{Signer: s, sign: func(_ context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
			return s.Sign(context.Background(), digest, opts)
		}}
	}},
	{"broken by a cancellation", "ES256/Context", "Sign after one that was cancelled", func(t *testing.T) oidctoken.Signer {
		s, lost := newSigner(t, ecdsaKey(t)), false
		return broken{Signer: s, sign: func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
			if lost = lost || ctx.Err() != nil; lost {
				return nil, context.Canceled
			}
			return s.Sign(ctx, digest, opts)
		}}
	}},
	{"completes", "ES256/ShortDigest", "completed a short digest", func(t *testing.T) oidctoken.Signer {
		s := newSigner(t, ecdsaKey(t))
		return broken{Signer: s, sign: func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
			return s.Sign(ctx, append(bytes.Clone(digest), make([]byte, 32-len(digest))...), opts)
		}}
	}},
	{"changes the digest", "ES256/Signature", "Sign changed the digest", func(t *testing.T) oidctoken.Signer {
		s := newSigner(t, ecdsaKey(t))
		return broken{Signer: s, sign: func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
			defer clear(digest)
			return s.Sign(ctx, digest, opts)
		}}
	}},
	{"signs what came last", "ES256/Concurrency", "concurrent Sign", func(t *testing.T) oidctoken.Signer {
		return &pairing{Signer: newSigner(t, ecdsaKey(t))}
	}},
	{"new key at every call", "Public", "Public changed", func(t *testing.T) oidctoken.Signer {
		return broken{Signer: newSigner(t, ecdsaKey(t)), public: func() crypto.PublicKey { return ecdsaKey(t).Public() }}
	}},
	{"rotates", "ES256/Signature", "Public changed after Sign", func(t *testing.T) oidctoken.Signer {
		signed := false
		one, two := newSigner(t, ecdsaKey(t)), newSigner(t, ecdsaKey(t))
		current := func() oidctoken.Signer {
			if signed {
				return two
			}
			return one
		}
		n := 0
		return broken{
			Signer: one,
			public: func() crypto.PublicKey { return current().Public() },
			sign: func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
				n++
				signed = n > 4
				return current().Sign(ctx, digest, opts)
			},
		}
	}},
	{"weak", "Public", "an RSA key of 1024 bits is weak", func(t *testing.T) oidctoken.Signer {
		t.Setenv("GODEBUG", "rsa1024min=0")
		key, err := rsa.GenerateKey(rand.Reader, 1024)
		if err != nil {
			t.Fatal(err)
		}
		return broken{public: func() crypto.PublicKey { return key.Public() }, sign: func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return nil, nil }}
	}},
	{"wrong kind", "Public", "no issuer takes the key", func(*testing.T) oidctoken.Signer {
		return broken{public: func() crypto.PublicKey { return "key" }}
	}},
	{"hashes for Ed25519", "EdDSA/Signature", "the ed25519.PublicKey of Public does not verify it", func(t *testing.T) oidctoken.Signer {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s := newSigner(t, key)
		return broken{Signer: s, sign: func(ctx context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error) {
			sum := sha256.Sum256(message)
			return s.Sign(ctx, sum[:], opts)
		}}
	}},
}

// pairing gives every second of two concurrent callers the other's signature,
// as a session that is shared without a lock does.
type pairing struct {
	oidctoken.Signer
	mu    sync.Mutex
	calls int
	last  []byte
}

func (p *pairing) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if p.calls%16 == 0 { // once in the 16 calls of the subtest
		digest = p.last
	}
	p.last = bytes.Clone(digest)
	return p.Signer.Sign(ctx, digest, opts)
}

// brokenSignerFails fails on purpose: TestSignerFinds runs it in another
// process.
func brokenSignerFails(t *testing.T) {
	for _, b := range brokenSigners {
		t.Run(b.name, func(t *testing.T) {
			// One signer for all subtests: it keeps its state as a KMS does.
			signer := b.make(t)
			oidctokentest.TestSigner(t, func(*testing.T) oidctoken.Signer { return signer })
		})
	}
}

// TestSigner is worth something only if it fails when it must.
func TestSignerFinds(t *testing.T) {
	if os.Getenv(inChild) != "" {
		brokenSignerFails(t)
		return
	}
	for _, b := range brokenSigners {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			failsInChild(t, "TestSignerFinds/"+b.name, map[string]string{b.subtest: b.words})
		})
	}
}
