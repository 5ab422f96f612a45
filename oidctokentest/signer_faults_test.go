package oidctokentest_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/oidctoken/oidctoken/oidctokentest"
)

// service signs with versions of one key, with the faults of a test.
type service struct {
	mu       sync.Mutex
	versions []crypto.Signer
	newKey   func() (crypto.Signer, error)
	alter    func(digest, sig []byte) []byte
	failure  error
	version  int // the version in the answer, if not 0
	hang     chan struct{}
	taken    chan struct{}
}

// serviceError is an error of the service, with its class.
type serviceError struct {
	text      string
	temporary bool
}

func (e *serviceError) Error() string   { return "service: " + e.text }
func (e *serviceError) Temporary() bool { return e.temporary }

func (s *service) rotate() {
	key, err := s.newKey()
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions = append(s.versions, key)
}

// set has the service do otherwise than before.
func (s *service) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// sign signs with a version, or with the latest if that is 0.
func (s *service) sign(ctx context.Context, version int, digest []byte, opts crypto.SignerOpts) (sig []byte, by int, err error) {
	s.mu.Lock()
	hang, taken := s.hang, s.taken
	s.mu.Unlock()
	if hang != nil {
		select {
		case taken <- struct{}{}:
		default:
		}
		select {
		case <-hang:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return nil, 0, s.failure
	}
	if version == 0 {
		version = len(s.versions)
	}
	sig, err = s.versions[version-1].Sign(rand.Reader, digest, opts)
	if s.alter != nil {
		sig = s.alter(digest, sig)
	}
	if s.version != 0 {
		version = s.version
	}
	return sig, version, err
}

// pinned is the Signer of the service's first version. Its defect, if it has
// one, is what TestSignerFaults must find.
type pinned struct {
	service *service
	public  crypto.PublicKey
	defect  string

	mu     sync.Mutex
	failed bool
}

func (p *pinned) Public() crypto.PublicKey {
	p.service.mu.Lock()
	defer p.service.mu.Unlock()
	if p.defect == "Public follows" {
		return p.service.versions[len(p.service.versions)-1].Public()
	}
	return p.public
}

func (p *pinned) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	sig, err := p.sign(ctx, digest, opts)
	p.mu.Lock()
	defer p.mu.Unlock()
	failedBefore := p.failed
	p.failed = p.failed || err != nil
	switch {
	case p.defect == "stays broken" && failedBefore:
		return nil, &serviceError{"closed", true}
	case p.defect == "signs alone" && (err != nil || failedBefore),
		p.defect == "signs alone next" && failedBefore:
		p.service.mu.Lock()
		defer p.service.mu.Unlock()
		return p.service.versions[0].Sign(rand.Reader, digest, opts)
	}
	return sig, err
}

func (p *pinned) sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	version, within := 1, ctx
	switch p.defect {
	case "latest":
		version = 0
	case "ignores ctx":
		within = context.Background()
	case "no call":
		return p.service.versions[0].Sign(rand.Reader, digest, opts)
	}
	sig, by, err := p.service.sign(within, version, digest, opts)
	var said *serviceError
	switch {
	case errors.As(err, &said):
		switch p.defect {
		case "all permanent":
			return nil, &serviceError{said.text, false}
		case "all temporary":
			return nil, &serviceError{said.text, true}
		case "no class":
			return nil, errors.New(said.Error())
		case "nothing":
			return nil, nil
		}
		return nil, err
	case err != nil && p.defect == "own error":
		return nil, errors.New("the service does not answer")
	case err != nil:
		return nil, err
	case by != 1 && p.defect != "latest" && p.defect != "Public follows":
		return nil, &serviceError{fmt.Sprintf("version %d signed", by), false}
	}
	return p.check(digest, sig, opts)
}

// check looks at a signature as an adapter may.
func (p *pinned) check(digest, sig []byte, opts crypto.SignerOpts) ([]byte, error) {
	good := false
	switch k := p.public.(type) {
	case *ecdsa.PublicKey:
		for end := len(sig); p.defect == "cuts the tail" && !good && end > 0; end-- {
			if ecdsa.VerifyASN1(k, digest, sig[:end]) {
				return sig[:end], nil
			}
		}
		good = ecdsa.VerifyASN1(k, digest, sig)
	case *rsa.PublicKey:
		good = rsa.VerifyPKCS1v15(k, opts.HashFunc(), digest, sig) == nil
	case ed25519.PublicKey:
		good = ed25519.Verify(k, digest, sig)
	}
	if good || p.defect == "" || p.defect == "latest" || p.defect == "Public follows" {
		return sig, nil // the issuer verifies it
	}
	switch p.defect {
	case "no class of garbage":
		return nil, errors.New("a bad signature")
	case "shows the digest":
		return nil, &serviceError{fmt.Sprintf("a bad signature of %x", digest), false}
	case "shows the signature":
		return nil, &serviceError{fmt.Sprintf("a bad signature: %X", sig), false}
	}
	return nil, &serviceError{"a bad signature", false}
}

func newService(t *testing.T, alg string) *service {
	t.Helper()
	s := &service{newKey: func() (crypto.Signer, error) {
		switch alg {
		case "RS256":
			return rsa.GenerateKey(rand.Reader, 2048)
		case "EdDSA":
			_, key, err := ed25519.GenerateKey(rand.Reader)
			return key, err
		}
		return ecdsaKey(t), nil
	}}
	s.rotate()
	return s
}

// newFaults returns a pinned Signer of a new service.
func newFaults(t *testing.T, alg, defect string) oidctokentest.SignerFaults {
	t.Helper()
	s := newService(t, alg)
	fail := func(text string, temporary bool) func() {
		return func() { s.set(func() { s.failure = &serviceError{text, temporary} }) }
	}
	return oidctokentest.SignerFaults{
		Signer:    &pinned{service: s, public: s.versions[0].Public(), defect: defect},
		Algorithm: alg,
		Rotate:    s.rotate,
		Alter:     func(alter func(_, _ []byte) []byte) { s.set(func() { s.alter = alter }) },
		Garbage: map[string]func(){
			"another version": func() { s.set(func() { s.version = 2 }) },
		},
		Temporary: map[string]func(){"throttled": fail("throttled", true), "down": fail("down", true)},
		Permanent: map[string]func(){"denied": fail("denied", false), "gone": fail("gone", false)},
		Hang: func() <-chan struct{} {
			taken := make(chan struct{}, 1)
			s.set(func() { s.hang, s.taken = make(chan struct{}), taken })
			return taken
		},
		Heal: func() {
			s.set(func() {
				if s.hang != nil {
					close(s.hang)
				}
				s.alter, s.version, s.hang = nil, 0, nil
			})
		},
	}
}

// T06 T07 X07
func TestSignerFaultsOfGoodSigner(t *testing.T) {
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			oidctokentest.TestSignerFaults(t, func(t *testing.T) oidctokentest.SignerFaults { return newFaults(t, alg, "") })
		})
	}
}

// brokenFaults are Signers, and in the end tests, that TestSignerFaults must
// find, each with the subtest that finds it and its words.
var brokenFaults = []struct {
	defect string
	found  map[string]string
}{
	{"latest", map[string]string{"Rotation": "Sign after the key was rotated: the *ecdsa.PublicKey of Public does not verify it"}},
	{"Public follows", map[string]string{"Rotation": "Public changed when the key was rotated"}},
	{"no class after rotation", map[string]string{"Rotation": "Sign after the key was rotated: the error has no method Temporary"}},
	{"cuts the tail", map[string]string{"Signature/with a tail": "did not look at all of it"}},
	{"no class of garbage", map[string]string{"Signature/half": "Sign of an answer that is none: the error has no method Temporary"}},
	{"shows the digest", map[string]string{"Signature/zeros": "shows the digest or a signature"}},
	{"shows the signature", map[string]string{"Signature/another key": "shows the digest or a signature"}},
	{"signs alone next", map[string]string{
		"Signature/another digest": "the answer made a token",
		"Garbage/another version":  "the answer made a token",
		"Temporary/down":           "Mint returned a token while the service failed",
	}},
	{"signs alone", map[string]string{
		"Signature/cut off": "Sign returned a good signature",
		"Permanent/gone":    "Sign returned a signature while the service failed",
	}},
	{"stays broken", map[string]string{
		"Signature/empty":         "Sign after the service was well again: service: closed",
		"Garbage/another version": "Sign after the service was well again: service: closed",
		"Hang/Cancel":             "Sign after the service was well again: service: closed",
	}},
	{"all permanent", map[string]string{"Temporary/throttled": "Sign: the error says Temporary() == false, want true"}},
	{"all temporary", map[string]string{"Permanent/denied": "Mint: the error says Temporary() == true, want false"}},
	{"no class", map[string]string{"Temporary/down": "Mint: the error has no method Temporary"}},
	{"nothing", map[string]string{"Permanent/denied": "(it is the signature is empty), want an error"}},
	{"ignores ctx", map[string]string{
		"Hang/Cancel": "Sign did not return within", "Hang/Deadline": "Sign did not return within",
	}},
	{"own error", map[string]string{
		"Hang/Cancel":   "after ctx ended, want one that is context canceled",
		"Hang/Deadline": "after ctx ended, want one that is context deadline exceeded",
	}},
	{"no call", map[string]string{
		"Hang/Cancel":      "before the service that hangs had the call",
		"Signature/twice":  "Alter did not show a signature",
		"Permanent/denied": "Sign returned a signature while the service failed",
	}},
	{"test without Heal", map[string]string{"Hang/Cancel": "SignerFaults has no Heal"}},
	{"test with a weak key", map[string]string{"Rotation": "no issuer takes the key"}},
}

// brokenTest changes a test for the defects that pinned does not have.
func brokenTest(defect string, f *oidctokentest.SignerFaults) {
	switch defect {
	case "no class after rotation":
		rotated, rotate, good := make(chan struct{}), f.Rotate, f.Signer
		f.Rotate = func() { rotate(); close(rotated) }
		f.Signer = broken{Signer: good, sign: func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
			select {
			case <-rotated:
				return nil, errors.New("another version")
			default:
				return good.Sign(ctx, digest, opts)
			}
		}}
	case "test without Heal":
		f.Heal = nil
	case "test with a weak key":
		f.Signer = broken{Signer: f.Signer, public: func() crypto.PublicKey { return "key" }}
	}
}

// brokenFaultsFails fails on purpose: TestSignerFaultsFinds runs it in another
// process.
func brokenFaultsFails(t *testing.T) {
	for _, b := range brokenFaults {
		t.Run(b.defect, func(t *testing.T) {
			oidctokentest.TestSignerFaults(t, func(t *testing.T) oidctokentest.SignerFaults {
				f := newFaults(t, "ES256", b.defect)
				brokenTest(b.defect, &f)
				return f
			})
		})
	}
}

// TestSignerFaults is worth something only if it fails when it must.
func TestSignerFaultsFinds(t *testing.T) {
	if os.Getenv(inChild) != "" {
		brokenFaultsFails(t)
		return
	}
	for _, b := range brokenFaults {
		t.Run(b.defect, func(t *testing.T) {
			t.Parallel()
			failsInChild(t, "TestSignerFaultsFinds/"+b.defect, b.found)
		})
	}
}

// Faults that the service of a test cannot have are left out.
func TestSignerFaultsOfLittle(t *testing.T) {
	oidctokentest.TestSignerFaults(t, func(t *testing.T) oidctokentest.SignerFaults {
		return oidctokentest.SignerFaults{Signer: newFaults(t, "ES256", "").Signer}
	})
}
