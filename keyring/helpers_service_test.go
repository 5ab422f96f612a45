package keyring_test

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
)

var errAway error = outage{}

// outage is a temporary error, such as a service's.
type outage struct{}

func (outage) Error() string   { return "it is away" }
func (outage) Temporary() bool { return true }

// service is a key management service in memory.
type service struct {
	mu       sync.Mutex
	versions []keyring.Version
	made     int
	retired  []string
	away     bool // everything fails
	creating func()
	listed   int           // calls of Versions
	held     chan struct{} // Versions waits for it to be closed; nil: it does not wait
}

func newService() *service { return new(service) }

func (s *service) set(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func (s *service) lists() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listed
}

// hold has Versions wait until release is called, or ctx ends.
func (s *service) hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = make(chan struct{})
	return sync.OnceFunc(func() { close(s.held) })
}

func (s *service) Versions(ctx context.Context) ([]keyring.Version, error) {
	s.mu.Lock()
	held := s.held
	s.listed++
	s.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, errAway
	}
	return slices.Clone(s.versions), nil
}

func (s *service) Create(_ context.Context, alg string) (keyring.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return keyring.Version{}, errAway
	}
	s.made++
	v := keyring.Version{ID: fmt.Sprintf("versions/%d", s.made), Algorithm: alg, Signer: newSigner(alg)}
	s.versions = append(s.versions, v)
	if s.creating != nil {
		s.creating()
	}
	return v, nil
}

func (s *service) Retire(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errAway
	}
	s.versions = slices.DeleteFunc(s.versions, func(v keyring.Version) bool { return v.ID == id })
	s.retired = append(s.retired, id)
	return nil
}

func newSigner(alg string) oidctoken.Signer {
	if alg == "ES256" {
		return must(oidctoken.NewSigner(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))))
	}
	return must(oidctoken.NewSigner(must(rsa.GenerateKey(rand.Reader, 2048))))
}

// flaky is a store that can be away, or lose the answer to a swap.
type flaky struct {
	keyring.Store
	mu     sync.Mutex
	away   bool
	silent bool // a swap succeeds, and its answer is lost
}

func (f *flaky) set(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
}

func (f *flaky) Load(ctx context.Context) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return nil, errAway
	}
	return f.Store.Load(ctx)
}

func (f *flaky) CompareAndSwap(ctx context.Context, old, replacement []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return errAway
	}
	if err := f.Store.CompareAndSwap(ctx, old, replacement); err != nil || !f.silent {
		return err
	}
	return errAway
}

// flakyWrapper is a Wrapper that can be away, and counts.
type flakyWrapper struct {
	keyring.Wrapper
	mu    sync.Mutex
	away  bool
	calls int
}

func (f *flakyWrapper) set(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
}

func (f *flakyWrapper) called() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.away {
		return errAway
	}
	return nil
}

func (f *flakyWrapper) Wrap(ctx context.Context, plaintext, context []byte) ([]byte, error) {
	if err := f.called(); err != nil {
		return nil, err
	}
	return f.Wrapper.Wrap(ctx, plaintext, context)
}

func (f *flakyWrapper) Unwrap(ctx context.Context, wrapped, context []byte) ([]byte, error) {
	if err := f.called(); err != nil {
		return nil, err
	}
	return f.Wrapper.Unwrap(ctx, wrapped, context)
}
