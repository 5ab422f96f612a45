package pkcs11_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/pkcs11"
)

// A library that another part of the process has initialized is used, healed as
// far as that goes, and neither restarted nor finalized.
func TestLibraryOfAnother(t *testing.T) {
	fake, on := pkcs11.NewFake()
	other := must(fake.Open(t.Context()))
	module := must(fake.Open(t.Context()))
	on.AddKey(bytesOf(id), p256())
	token := must(pkcs11.Open(t.Context(), pkcs11.Config{Module: module, Label: "token", PIN: withPIN(pin)}))
	f := &fixture{Fake: fake, t: t, signer: must(pkcs11.New(t.Context(), token, id, nil))}
	f.signs()
	fake.CloseSessions()
	f.signs()
	fake.Do(func() { on.Away = true })
	err := f.sign(t.Context())
	fails(t, err, signer.Unavailable, "")
	if !strings.Contains(err.Error(), "initialized by another part of the process") {
		t.Errorf("the error is %v, want one that says why the library is not restarted", err)
	}
	fake.Do(func() { on.Away = false })
	f.signs()
	if err := errors.Join(token.Close(), module.Close()); err != nil {
		t.Error(err)
	}
	if fake.Initialized != 1 {
		t.Errorf("the library was initialized %d times", fake.Initialized)
	}
	// It still works for the other.
	token = must(pkcs11.Open(t.Context(), pkcs11.Config{Module: other, Label: "token", PIN: withPIN(pin)}))
	if err := errors.Join(token.Close(), other.Close()); err != nil {
		t.Error(err)
	}
	if _, err := pkcs11.Open(t.Context(), pkcs11.Config{Module: other, Label: "token", PIN: withPIN(pin)}); err == nil {
		t.Error("a Module that was closed opens a token")
	}
	if err := other.Close(); err != nil {
		t.Errorf("Close, again: %v", err)
	}
}

// While one token of a library is away, and the library is restarted for it, the
// other tokens do not fail a call.
func TestRestartSparesOthers(t *testing.T) {
	f := newFixture(t, p256())
	second := f.Add("second", "0002")
	second.AddKey(bytesOf(id), p256())
	token := must(pkcs11.Open(t.Context(), pkcs11.Config{Module: f.module, Label: "second", PIN: withPIN(pin)}))
	defer token.Close()
	away := &fixture{Fake: f.Fake, t: t, signer: must(pkcs11.New(t.Context(), token, id, nil))}
	f.Do(func() { second.Away = true })
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := f.sign(t.Context()); err != nil {
					t.Errorf("Sign with the other token: %v", err)
				}
			}
		})
	}
	// Each restart is preceded by a pause.
	for restarts := 0; restarts < 3; {
		f.Do(func() { restarts = f.Initialized - 1 })
		fails(t, away.sign(t.Context()), signer.Unavailable, "")
	}
	close(stop)
	wg.Wait()
	if f.Stale != 0 {
		t.Errorf("%d calls were made with handles of before a restart", f.Stale)
	}
	f.Do(func() { second.Away = false })
	synced(t, func() error { return away.sign(t.Context()) })
}

// The library is not restarted during a call, and a hanging call does not delay
// other calls.
func TestRestartWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, p256())
		release := make(chan struct{})
		f.Do(func() {
			f.Wait = func(op string) {
				if op == "C_Sign" {
					<-release
				}
			}
		})
		hung := make(chan error)
		go func() { hung <- f.sign(t.Context()) }()
		synctest.Wait()
		f.Do(func() { f.Wait, f.on.Away = nil, true })
		began := time.Now()
		fails(t, f.sign(t.Context()), signer.Unavailable, "")
		if took := time.Since(began); took != time.Second {
			t.Errorf("the restart was given up after %v, want 1s", took)
		}
		if f.Initialized != 1 {
			t.Error("the library was restarted under a call")
		}
		f.Do(func() { f.on.Away = false })
		f.signs()
		close(release)
		if err := <-hung; err != nil {
			t.Errorf("the call that hung: %v", err)
		}
	})
}

// A library that does not initialize again is initialized when it does.
func TestRestartFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, p256())
		f.Do(func() {
			f.Answer = func(op string, _, value []byte, err error) ([]byte, error) {
				if op == "C_Initialize" {
					return nil, pkcs11.Returned(cryptoki.CKR_GENERAL_ERROR)
				}
				return value, err
			}
			f.on.Away = true
		})
		for range 20 {
			fails(t, f.sign(t.Context()), signer.Unavailable, "")
			time.Sleep(time.Second)
		}
		f.Do(func() { f.Answer, f.on.Away = nil, false })
		f.signs()
	})
}

func TestOpenModule(t *testing.T) {
	fake, _ := pkcs11.NewFake()
	fake.Answer = func(_ string, _, value []byte, err error) ([]byte, error) {
		return value, pkcs11.Returned(cryptoki.CKR_CANT_LOCK)
	}
	if _, err := fake.Open(t.Context()); err == nil {
		t.Error("a library that does not initialize is opened")
	} else {
		fails(t, err, signer.Unavailable, "")
	}
	if _, err := pkcs11.OpenModule(t.Context(), ""); err == nil {
		t.Error("OpenModule takes no path")
	}
	if _, err := pkcs11.OpenModule(t.Context(), "/nonexistent/library.so"); err == nil {
		t.Error("OpenModule opens a library that is not there")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pkcs11.OpenModule(ctx, "/nonexistent/library.so"); !errors.Is(err, context.Canceled) {
		t.Errorf("OpenModule returned %v after ctx ended", err)
	}
}

// C_Initialize may hang. If it succeeds later, it is undone. X07
func TestOpenModuleHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, _ := pkcs11.NewFake()
		release := make(chan struct{})
		fake.Wait = func(op string) {
			if op == "C_Initialize" {
				<-release
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := fake.Open(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("OpenModule returned %v, want %v", err, context.DeadlineExceeded)
		}
		close(release)
		synctest.Wait()
		module := must(fake.Open(t.Context()))
		if fake.Initialized != 2 {
			t.Error("the library was left initialized")
		}
		if err := module.Close(); err != nil {
			t.Error(err)
		}
	})
}
