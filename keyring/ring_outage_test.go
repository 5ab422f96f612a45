package keyring_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
)

// throttled is the error of a service that refuses calls for a while.
type throttled struct{}

func (throttled) Error() string   { return "too many requests" }
func (throttled) Temporary() bool { return true }

// faults are the ways in which a key management service fails a call.
var faults = map[string]func(context.Context) error{
	"down":      func(context.Context) error { return errAway },
	"throttled": func(context.Context) error { return throttled{} },
	"hanging":   func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
}

// faulty is a Wrapper and a Provisioner whose calls can fail. It counts them.
type faulty struct {
	keyring.Wrapper
	keyring.Provisioner
	mu    sync.Mutex
	fault func(context.Context) error // nil: none
	calls int
}

func (f *faulty) set(fault func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.calls = fault, 0
}

func (f *faulty) call(ctx context.Context) error {
	f.mu.Lock()
	f.calls++
	fault := f.fault
	f.mu.Unlock()
	if fault == nil {
		return nil
	}
	return fault(ctx)
}

func (f *faulty) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *faulty) Unwrap(ctx context.Context, wrapped, bound []byte) ([]byte, error) {
	if err := f.call(ctx); err != nil {
		return nil, err
	}
	return f.Wrapper.Unwrap(ctx, wrapped, bound)
}

func (f *faulty) Versions(ctx context.Context) ([]keyring.Version, error) {
	if err := f.call(ctx); err != nil {
		return nil, err
	}
	return f.Provisioner.Versions(ctx)
}

// A replica that starts while a Wrapper's service fails cannot check the stored
// document, so it fails within 10 s and serves nothing. It starts as soon as the
// service is back. A running replica needs no call.
func TestWrapperFails(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := &faulty{Wrapper: newWrapper()}
				c := keyring.Config{Store: new(keyring.MemoryStore), Wrapper: service, Algorithms: []string{"ES256"}}
				running := newRing(t, c)
				defer running.Close()
				issuer := newIssuer(t, running, nil)
				service.set(fault)
				begun := time.Now()
				if ring, err := keyring.New(t.Context(), c); !errors.Is(err, keyring.ErrWrapper) || ring != nil {
					t.Errorf("New: %v, %v, want %v", ring, err, keyring.ErrWrapper)
				}
				if took := time.Since(begun); took > 10*time.Second || service.count() != 1 {
					t.Errorf("New took %v and %d calls, want at most 10 s and one call", took, service.count())
				}
				time.Sleep(time.Hour)
				mintWith(t, issuer, "ES256")
				if n := service.count(); n != 1 {
					t.Errorf("the running replica made %d calls", n-1)
				}
				service.set(nil)
				starting := newRing(t, c)
				defer starting.Close()
				mintWith(t, newIssuer(t, starting, nil), "ES256")
			})
		})
	}
}

// A replica that starts while a Provisioner's service fails serves the JWK Set. It
// calls the service once a second at most, and mints at the first call that is
// allowed after the service is back.
func TestProvisionerFails(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := &faulty{Provisioner: newService()}
				c := keyring.Config{Store: new(keyring.MemoryStore), Provisioner: service, Algorithms: []string{"ES256"}}
				first := newRing(t, c)
				first.Close()
				service.set(fault)
				begun := time.Now()
				ring := newRing(t, c)
				defer ring.Close()
				if took := time.Since(begun); took > 10*time.Second || len(kids(ring)) != len(kids(first)) {
					t.Errorf("New took %v; the JWK Set has %d keys, want %d", took, len(kids(ring)), len(kids(first)))
				}
				issuer := newIssuer(t, ring, nil)
				service.set(fault)
				begun = time.Now()
				for time.Since(begun) < 10*time.Second {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					_, err := issuer.Mint(ctx, scope("ES256", time.Hour))
					cancel()
					if !errors.Is(err, oidctoken.ErrSignerUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
						t.Fatalf("Mint: %v, want %v", err, oidctoken.ErrSignerUnavailable)
					}
					time.Sleep(50 * time.Millisecond)
				}
				if n := service.count(); n > 11 {
					t.Errorf("%d calls in 10 s, want one a second", n)
				}
				service.set(nil)
				time.Sleep(time.Second)
				mintWith(t, issuer, "ES256")
				if n := service.count(); n != 1 {
					t.Errorf("%d calls after the service was back, want 1", n)
				}
			})
		})
	}
}
