package signer_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
	"golang.org/x/time/rate"
)

// outage is the way in which a key management service is unavailable.
type outage int

const (
	noOutage outage = iota
	refused         // its host refuses connections
	hanging         // it takes requests and does not answer, until the client goes
	stuck           // the same, and the client does not notice that ctx has ended
)

const (
	kmsLatency = 20 * time.Millisecond
	kmsQuota   = 50 // operations per second
)

// kms is a key management service in memory with ECDSA keys of P-256. An
// operation takes 20 ms. Its quota is 50 operations per second: the whole of a
// second at once, and one more for rounding.
type kms struct {
	quota *rate.Limiter

	mu       sync.Mutex
	outage   outage
	back     chan struct{} // closed at the end of an outage
	ops      map[string]int
	versions []*ecdsa.PrivateKey // nil once retired
	wrapping cipher.AEAD
	current  byte // the wrapping key's version
}

func newKMS() *kms {
	aead := must(cipher.NewGCM(must(aes.NewCipher(make([]byte, 32)))))
	return &kms{quota: rate.NewLimiter(kmsQuota, kmsQuota+1), back: make(chan struct{}), ops: make(map[string]int), wrapping: aead}
}

func (k *kms) set(o outage) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.outage != noOutage {
		close(k.back)
		k.back = make(chan struct{})
	}
	k.outage = o
}

// count returns the number of all operations and of one operation.
func (k *kms) count(op string) (all, ofOp int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, n := range k.ops {
		all += n
	}
	return all, k.ops[op]
}

// ask is the beginning of every operation.
func (k *kms) ask(ctx context.Context, op string) error {
	k.mu.Lock()
	k.ops[op]++
	outage, back := k.outage, k.back
	k.mu.Unlock()
	unavailable := func(code string, err error) error {
		return &signer.Error{Service: "kms", Op: op, Kind: signer.Unavailable, Code: code, Err: err}
	}
	switch outage {
	case refused:
		return unavailable("", errors.New("connection refused"))
	case stuck:
		<-back
		return unavailable("", errors.New("connection reset"))
	case hanging:
		select {
		case <-back:
			return unavailable("", errors.New("connection reset"))
		case <-ctx.Done():
			return unavailable("", ctx.Err())
		}
	}
	if !k.quota.Allow() {
		return unavailable("ThrottlingException", nil)
	}
	select {
	case <-time.After(kmsLatency):
		return nil
	case <-ctx.Done():
		return unavailable("", ctx.Err())
	}
}

func (k *kms) key(version int) (*ecdsa.PrivateKey, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.versions[version], k.versions[version] != nil
}

// kmsSigner is the Signer of one version.
type kmsSigner struct {
	kms     *kms
	guard   *signer.Guard
	version int
	public  crypto.PublicKey
}

func (s *kmsSigner) Public() crypto.PublicKey { return s.public }

func (s *kmsSigner) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, err := signer.Algorithm(s.public, digest, opts); err != nil {
		return nil, err
	}
	digest = bytes.Clone(digest) // a call that its caller has left goes on
	var sig []byte
	err := s.guard.Do(ctx, "kms", "Sign", func(ctx context.Context) error {
		if err := s.kms.ask(ctx, "Sign"); err != nil {
			return err
		}
		key, ok := s.kms.key(s.version)
		if !ok {
			return &signer.Error{Service: "kms", Op: "Sign", Kind: signer.Gone}
		}
		var err error
		sig, err = key.Sign(rand.Reader, digest, opts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return sig, nil
}

// kmsProvisioner has the service make the ring's keys.
type kmsProvisioner struct {
	kms   *kms
	guard *signer.Guard
}

func (p *kmsProvisioner) version(i int, key *ecdsa.PrivateKey) keyring.Version {
	return keyring.Version{ID: fmt.Sprint(i), Algorithm: "ES256", Signer: &kmsSigner{p.kms, p.guard, i, key.Public()}}
}

func (p *kmsProvisioner) Versions(ctx context.Context) (versions []keyring.Version, err error) {
	err = p.guard.Do(ctx, "kms", "List", func(ctx context.Context) error { return p.kms.ask(ctx, "List") })
	if err != nil {
		return nil, err
	}
	p.kms.mu.Lock()
	defer p.kms.mu.Unlock()
	for i, key := range p.kms.versions {
		if key != nil {
			versions = append(versions, p.version(i, key))
		}
	}
	return versions, nil
}

func (p *kmsProvisioner) Create(ctx context.Context, _ string) (keyring.Version, error) {
	err := p.guard.Do(ctx, "kms", "Create", func(ctx context.Context) error { return p.kms.ask(ctx, "Create") })
	if err != nil {
		return keyring.Version{}, err
	}
	p.kms.mu.Lock()
	defer p.kms.mu.Unlock()
	p.kms.versions = append(p.kms.versions, ecKey(elliptic.P256()))
	last := len(p.kms.versions) - 1
	return p.version(last, p.kms.versions[last]), nil
}

func (p *kmsProvisioner) Retire(ctx context.Context, id string) error {
	err := p.guard.Do(ctx, "kms", "Destroy", func(ctx context.Context) error { return p.kms.ask(ctx, "Destroy") })
	if err != nil {
		return err
	}
	p.kms.mu.Lock()
	defer p.kms.mu.Unlock()
	for i := range p.kms.versions {
		if fmt.Sprint(i) == id {
			p.kms.versions[i] = nil
		}
	}
	return nil
}

// kmsWrapper has the service encrypt the ring's data key.
type kmsWrapper struct {
	kms   *kms
	guard *signer.Guard
}

func (w *kmsWrapper) Wrap(ctx context.Context, plaintext, context []byte) ([]byte, error) {
	if err := w.ask(ctx, "Encrypt"); err != nil {
		return nil, err
	}
	w.kms.mu.Lock()
	defer w.kms.mu.Unlock()
	nonce := make([]byte, 12)
	rand.Read(nonce)
	return w.kms.wrapping.Seal(append([]byte{w.kms.current}, nonce...), nonce, plaintext, context), nil
}

func (w *kmsWrapper) Unwrap(ctx context.Context, wrapped, context []byte) ([]byte, error) {
	if err := w.ask(ctx, "Decrypt"); err != nil {
		return nil, err
	}
	return w.kms.wrapping.Open(nil, wrapped[1:13], slices.Clone(wrapped[13:]), context)
}

// Current returns whether the current version of the wrapping key made wrapped.
// It makes no call.
func (w *kmsWrapper) Current(wrapped []byte) bool {
	w.kms.mu.Lock()
	defer w.kms.mu.Unlock()
	return len(wrapped) > 13 && wrapped[0] == w.kms.current
}

func (w *kmsWrapper) ask(ctx context.Context, op string) error {
	return w.guard.Do(ctx, "kms", op, func(ctx context.Context) error { return w.kms.ask(ctx, op) })
}
