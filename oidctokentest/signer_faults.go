package oidctokentest

import (
	"context"
	"crypto/ecdsa"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
)

// SignerFaults describes a Signer of a service, and the functions with which
// the test changes that service's behavior. Leave a function nil, or a map
// empty, where the stand-in cannot do it: the test logs the skipped cases.
type SignerFaults struct {
	// Signer is of one version of a key. Required.
	Signer oidctoken.Signer
	// Algorithm is the algorithm of the key. Optional; the default of
	// [oidctoken.Key].
	Algorithm string

	// Rotate makes another version of the key. The service signs with it if the
	// request names no version.
	Rotate func()
	// Alter has the service answer, instead of each signature, what alter
	// returns for that and for the digest that was signed (for EdDSA, the
	// message). The signature is in the service's own form, ASN.1 DER or
	// r || s, without what encodes it for transport.
	Alter func(alter func(digest, signature []byte) []byte)
	// Garbage holds further wrong answers. Each func makes the service send that
	// answer instead of every signature, such as a signature of another version,
	// one with a wrong checksum, or a page of HTML.
	Garbage map[string]func()
	// Temporary and Permanent are the service's failures. Each func makes the
	// service fail so at every call, such as "throttled", "down", or "denied",
	// "disabled", "gone".
	Temporary, Permanent map[string]func()
	// Hang has the service take calls and not answer. The channel gets a value
	// for a call that it took, or is closed at the first.
	Hang func() (taken <-chan struct{})
	// Heal ends what Alter, one of Garbage, or Hang has begun. Required with
	// one of these.
	Heal func()
}

// TestSignerFaults tests whether a Signer keeps the contract of
// [oidctoken.Signer] when its service does not keep its own, in subtests of t:
//
//   - while the key is rotated, it signs with the key of Public, or fails;
//   - an answer that is not a signature of that key makes no token, and the next
//     good answer makes one again;
//   - Sign returns with ctx's error when ctx ends, also when the service hangs;
//   - its errors, or the errors that they wrap, have a method Temporary() bool.
//     They show neither the digest nor a signature.
//
// newFaults is called at least once per subtest, for a service of its own: what
// one subtest did to it must not be there in the next. Run it with -race, beside
// [TestSigner].
func TestSignerFaults(t *testing.T, newFaults func(t *testing.T) SignerFaults) {
	t.Helper()
	run := func(name string, possible bool, test func(*faultTest)) {
		t.Helper()
		if !possible {
			t.Logf("%s: not tested, since the test cannot make its service do that", name)
			return
		}
		t.Run(name, func(t *testing.T) { test(newFaultTest(t, newFaults(t))) })
	}
	// each runs test for the functions of a map, after that function was called.
	each := func(group string, of func(SignerFaults) map[string]func(), test func(*faultTest)) {
		t.Helper()
		all := of(newFaults(t))
		if len(all) == 0 {
			run(group, false, nil)
		}
		for name := range inOrder(all) {
			run(group+"/"+name, true, func(f *faultTest) {
				of(f.SignerFaults)[name]()
				test(f)
			})
		}
	}
	sample := newFaults(t)
	run("Rotation", sample.Rotate != nil, (*faultTest).rotation)
	for name, alter := range inOrder(alterations()) {
		run("Signature/"+name, sample.Alter != nil, func(f *faultTest) { f.altered(alter) })
	}
	if _, twoForms := sample.Signer.Public().(*ecdsa.PublicKey); twoForms {
		run("Signature/other form", sample.Alter != nil, (*faultTest).otherForm)
	}
	each("Garbage", func(f SignerFaults) map[string]func() { return f.Garbage }, (*faultTest).givesNoToken)
	each("Temporary", func(f SignerFaults) map[string]func() { return f.Temporary }, func(f *faultTest) { f.fails(true) })
	each("Permanent", func(f SignerFaults) map[string]func() { return f.Permanent }, func(f *faultTest) { f.fails(false) })
	run("Hang/Cancel", sample.Hang != nil, func(f *faultTest) {
		ctx, cancel := context.WithCancel(f.t.Context())
		f.leaves(ctx, cancel)
	})
	run("Hang/Deadline", sample.Hang != nil, func(f *faultTest) {
		ctx, cancel := context.WithTimeout(f.t.Context(), 250*time.Millisecond)
		defer cancel()
		f.leaves(ctx, func() {})
	})
}
