package oidctokentest

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
)

// faultTest is a subtest of [TestSignerFaults].
type faultTest struct {
	t *testing.T
	SignerFaults
	signerTest
	issuer *oidctoken.Issuer
	public crypto.PublicKey

	mu       sync.Mutex
	answered [][]byte // signatures, altered or not: no error shows one
}

func newFaultTest(t *testing.T, faults SignerFaults) *faultTest {
	t.Helper()
	if faults.Algorithm == "" {
		faults.Algorithm = defaultAlgorithm(faults.Signer.Public())
	}
	issuer, err := issuerFor(oidctoken.Key{Signer: faults.Signer, Algorithm: faults.Algorithm})
	if err != nil {
		t.Fatalf("no issuer takes the key: %v", err)
	}
	if faults.Heal == nil && (faults.Alter != nil || faults.Hang != nil || len(faults.Garbage) > 0) {
		t.Fatal("SignerFaults has no Heal")
	}
	return &faultTest{
		t: t, SignerFaults: faults, issuer: issuer, public: faults.Signer.Public(),
		signerTest: signerTest{signer: faults.Signer, alg: faults.Algorithm, hash: hashes[faults.Algorithm]},
	}
}

// signRefusal is an error that Sign returned.
type signRefusal struct{ error }

func (r signRefusal) Unwrap() error { return r.error }

// sign signs a new digest. It fails with a signRefusal, or with the defect of
// the signature that Sign returned.
func (f *faultTest) sign(ctx context.Context) error {
	digest := f.digest()
	sig, err := f.signer.Sign(ctx, bytes.Clone(digest), f.hash)
	if err == nil {
		return verifySignature(f.public, f.hash, digest, sig)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, hidden := range append(slices.Clip(f.answered), digest) {
		if showsBytes(err.Error(), hidden) {
			f.t.Errorf("the error of Sign shows the digest or a signature: %.200q", err)
		}
	}
	return signRefusal{err}
}

// showsBytes reports whether text holds bytes, in an encoding that services use.
func showsBytes(text string, hidden []byte) bool {
	if len(hidden) < 16 || len(hidden) > 1<<10 {
		return false // it would be there by chance, or is no signature
	}
	for _, encoded := range []string{
		string(hidden), hex.EncodeToString(hidden), strings.ToUpper(hex.EncodeToString(hidden)),
		base64.RawStdEncoding.EncodeToString(hidden), base64.RawURLEncoding.EncodeToString(hidden),
	} {
		if strings.Contains(text, encoded) {
			return true
		}
	}
	return false
}

// refused requires that err, if Sign returned it, tells whether it is
// temporary.
func (f *faultTest) refused(when string, err error) bool {
	f.t.Helper()
	var r signRefusal
	if !errors.As(err, &r) {
		return false
	}
	f.classed("Sign "+when, err)
	return true
}

// classed returns the class of an error.
func (f *faultTest) classed(what string, err error) (temporary bool) {
	f.t.Helper()
	var classed interface{ Temporary() bool }
	if !errors.As(err, &classed) {
		f.t.Errorf("%s: the error has no method Temporary: %v", what, err)
		return false
	}
	return classed.Temporary()
}

// mint requires a token, or an error that blames the signer.
func (f *faultTest) mint() (*oidctoken.Token, error) {
	f.t.Helper()
	token, err := f.issuer.Mint(f.t.Context(), oidctoken.Scope{
		Audience: "https://example.com",
		Profile:  &oidctoken.Profile{Algorithms: []string{f.alg}},
		Account:  oidctoken.Entity{ID: "acme"},
	})
	if err != nil && !errors.Is(err, oidctoken.ErrSignerUnavailable) && !errors.Is(err, oidctoken.ErrBadSignature) {
		f.t.Errorf("Mint: the error is %v, want ErrSignerUnavailable or ErrBadSignature", err)
	}
	return token, err
}

// rotation rotates the key while it signs.
func (f *faultTest) rotation() {
	if err := f.sign(f.t.Context()); err != nil {
		f.t.Fatalf("Sign before the key was rotated: %v", err)
	}
	check := func(when string) {
		if err := f.sign(f.t.Context()); err != nil && !f.refused(when, err) {
			f.t.Errorf("Sign %s: %v", when, err)
		}
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 4 {
				check("while the key was rotated")
			}
		})
	}
	f.Rotate()
	wg.Wait()
	check("after the key was rotated")
	if !f.public.(interface{ Equal(crypto.PublicKey) bool }).Equal(f.signer.Public()) {
		f.t.Error("Public changed when the key was rotated")
	}
}

// givesNoToken requires that the service's current answer makes no token, and
// that its good answer makes one.
func (f *faultTest) givesNoToken() {
	err := f.sign(f.t.Context())
	if err == nil {
		f.t.Error("Sign returned a good signature: the service did not give that answer, or the Signer did not look at all of it")
	}
	f.refused("of an answer that is none", err)
	if token, _ := f.mint(); token != nil {
		f.t.Error("the answer made a token")
	}
	f.heals()
}

func (f *faultTest) heals() {
	f.t.Helper()
	f.Heal()
	if err := f.sign(f.t.Context()); err != nil {
		f.t.Errorf("Sign after the service was well again: %v", err)
	}
}

// altered has the service alter its signatures.
func (f *faultTest) altered(alter alteration) {
	f.observe()
	f.Alter(func(digest, sig []byte) []byte { return f.answer(alter(f, digest, sig)) })
	f.givesNoToken()
}

// otherForm has the service give r || s for ASN.1 DER, or the reverse. A Signer
// may understand both.
func (f *faultTest) otherForm() {
	f.observe()
	f.Alter(func(_, sig []byte) []byte { return f.answer(swapForm(sig, f.public)) })
	if f.sign(f.t.Context()) != nil {
		f.givesNoToken()
	}
}

// observe lets the service make and keep a signature, which it may return
// again.
func (f *faultTest) observe() {
	f.t.Helper()
	f.Alter(func(_, sig []byte) []byte { return f.answer(sig) })
	if err := f.sign(f.t.Context()); err != nil {
		f.t.Fatalf("Sign before the service altered anything: %v", err)
	}
	if len(f.answered) == 0 {
		f.t.Fatal("Alter did not show a signature")
	}
}

func (f *faultTest) answer(sig []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answered = append(f.answered, bytes.Clone(sig))
	return sig
}

// fails requires an error of one class, from Sign and through Mint.
func (f *faultTest) fails(temporary bool) {
	err := f.sign(f.t.Context())
	if !f.refused("while the service failed", err) {
		f.t.Fatalf("Sign returned a signature while the service failed (it is %v), want an error", err)
	}
	if got := f.classed("Sign", err); got != temporary {
		f.t.Errorf("Sign: the error says Temporary() == %v, want %v: %v", got, temporary, err)
	}
	token, err := f.mint()
	if token != nil {
		f.t.Fatal("Mint returned a token while the service failed")
	}
	if got := f.classed("Mint", err); got != temporary {
		f.t.Errorf("Mint: the error says Temporary() == %v, want %v: %v", got, temporary, err)
	}
}

const (
	// soonEnough is many times what returning takes, and less than what clients
	// give a call to a service.
	soonEnough = 3 * time.Second
	never      = 30 * time.Second
)

// leaves ends ctx once the service has a call and hangs.
func (f *faultTest) leaves(ctx context.Context, cancel func()) {
	defer cancel()
	taken := f.Hang()
	done := make(chan error, 1)
	go func() { done <- f.sign(ctx) }()
	select {
	case <-taken:
		cancel()
	case <-ctx.Done():
		f.t.Log("the deadline was over before the service had the call")
	case err := <-done:
		f.t.Errorf("Sign returned (%v) before the service that hangs had the call", err)
		return
	case <-time.After(never):
		f.t.Error("no call reached the service that hangs")
		cancel()
	}
	<-ctx.Done()
	select {
	case err := <-done:
		if !errors.Is(err, ctx.Err()) {
			f.t.Errorf("Sign returned the error %v after ctx ended, want one that is %v", err, ctx.Err())
		}
		f.heals()
	case <-time.After(soonEnough):
		f.t.Errorf("Sign did not return within %v after ctx ended", soonEnough)
		f.Heal()
		<-done
	}
}
