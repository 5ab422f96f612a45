package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/oidctoken/oidctoken/signer"
)

// Module is a PKCS #11 library that was loaded. A library is initialized once
// for a whole process, however many use it, so a host opens each library once
// and gives the Module to all its Tokens. It is safe for concurrent use.
//
// A library that has lost a token may not see it again until it is finalized
// and initialized anew. A Module does that only to a library that it has itself
// initialized, while no call of its Tokens is under way, and not all the time;
// the Tokens then open their sessions anew. If another part of the process uses
// the same library, it must initialize it before OpenModule.
type Module struct {
	path string
	lib  library
	gate gate
	pins *refusedPINs

	mu      sync.Mutex // of what follows
	ours    bool       // initialized by us
	closed  bool
	epoch   uint64    // how often it was restarted
	nextTry time.Time // when it may be restarted again
}

// OpenModule loads the library in that file, such as
// /usr/lib/softhsm/libsofthsm2.so, and initializes it (C_Initialize, section
// 5.4), unless the process has done that before. The library is allowed to use
// the locks of the operating system. The caller closes the Module.
//
// It fails with ctx's error when ctx ends before C_Initialize has returned, with
// a [*signer.Error] when the library does not initialize, and with an error that
// is [errors.ErrUnsupported] in a program that was built without cgo. Loading
// the library (dlopen), which runs code of the vendor's, is not ended by ctx.
func OpenModule(ctx context.Context, path string) (*Module, error) {
	if path == "" {
		return nil, errors.New("pkcs11: the library's path is empty")
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("pkcs11: %s: %w", path, err)
	}
	lib, err := load(path)
	if err != nil {
		return nil, err
	}
	return openModule(ctx, path, lib)
}

func openModule(ctx context.Context, path string, lib library) (*Module, error) {
	done := make(chan error, 1)
	go func() { done <- lib.initialize() }()
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, returned(cryptoki.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
			return nil, failed("C_Initialize", err)
		}
		return &Module{path: path, lib: lib, pins: newRefusedPINs(), ours: err == nil}, nil
	case <-ctx.Done():
		go func() {
			if <-done == nil {
				_ = lib.finalize() // the caller has left
			}
		}()
		return nil, fmt.Errorf("pkcs11: %s: C_Initialize: %w", path, ctx.Err())
	}
}

// Close finalizes the library if the Module has initialized it. Its Tokens then
// fail. Close waits a second for running calls, and does not finalize the
// library if one of them does not return.
func (m *Module) Close() error {
	if err := m.gate.lock(context.Background()); err != nil {
		return problem("C_Finalize", signer.Unavailable, "%w", err)
	}
	defer m.gate.unlock()
	m.mu.Lock()
	finalize := m.ours && !m.closed
	m.closed = true
	m.mu.Unlock()
	if !finalize {
		return nil
	}
	err := m.lib.finalize()
	if err != nil && !errors.Is(err, returned(cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED)) {
		return failed("C_Finalize", err)
	}
	return nil
}

// Format names the library.
func (m *Module) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "pkcs11.Module(%s)", m.path) }

// state returns the state that a call needs.
func (m *Module) state() (epoch uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, problem("C_Initialize", signer.Refused, "the Module is closed")
	}
	return m.epoch, nil
}

var errStale = errors.New("the library has been restarted")

// call runs f, which calls the library, while that is not restarted. What
// belongs to another epoch must not be used: its handles may be others' now.
func (m *Module) call(ctx context.Context, epoch uint64, f func() error) error {
	if err := m.gate.enter(ctx); err != nil {
		return err
	}
	defer m.gate.leave()
	now, err := m.state()
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case now != epoch:
		return lost{problem("C_Initialize", signer.Unavailable, "%w", errStale)}
	}
	return f()
}

const (
	// restartPause and restartShare keep one token that is away from disturbing
	// the others of the library too much: a restart is followed by a pause of
	// so long, and so many times as long as it took.
	restartPause = 500 * time.Millisecond
	restartShare = 10
)

// restart finalizes and initializes the library, unless another caller has done
// so since epoch.
func (m *Module) restart(ctx context.Context, epoch uint64) error {
	if now, err := m.mayRestart(epoch); err != nil || now {
		return err
	}
	if err := m.gate.lock(ctx); err != nil {
		return err
	}
	defer m.gate.unlock()
	if now, err := m.mayRestart(epoch); err != nil || now {
		return err
	}
	began := time.Now()
	m.mu.Lock()
	ours := m.ours
	m.mu.Unlock()
	if ours {
		// If it fails, C_Initialize reports the reason.
		_ = m.lib.finalize()
	}
	err := m.lib.initialize()
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if ours || err == nil {
		m.epoch++
		m.ours = true
	}
	m.nextTry = now.Add(max(restartPause, restartShare*now.Sub(began)))
	if err != nil && !ours && errors.Is(err, returned(cryptoki.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		return errors.New("the library was initialized by another part of the process, and is not restarted")
	}
	if err != nil {
		return failed("C_Initialize", err)
	}
	return nil
}

// mayRestart reports whether a restart was done since epoch, and else fails if
// it must not be done now.
func (m *Module) mayRestart(epoch uint64) (done bool, err error) {
	now, err := m.state()
	if err != nil || now != epoch {
		return now != epoch, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if wait := time.Until(m.nextTry); wait > 0 {
		return false, fmt.Errorf("the library is not restarted for another %v", wait.Round(time.Millisecond))
	}
	return false, nil
}
