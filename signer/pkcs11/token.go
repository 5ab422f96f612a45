package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oidctoken/oidctoken/signer"
)

const (
	defaultSessions = 4
	maxSessions     = 16

	openTimeout = 10 * time.Second
)

// Config is the token of a library that is used, with its login.
type Config struct {
	// Module is the library. Required.
	Module *Module

	// Label is the token's, without the spaces that fill it up (CK_TOKEN_INFO,
	// section 3.2). Required without Serial.
	Label string
	// Serial is the token's serial number. Required without Label; with it,
	// the token must have both.
	Serial string

	// PIN returns the normal user's PIN (CKU_USER) in UTF-8. Required. It is
	// called when a login is needed: once as a rule, and again after each loss of
	// the login, until ctx ends; by one goroutine at a time. The slice that it
	// returns is overwritten with zeros after use; the copies that are made of it
	// on the way into the library, a string and memory of C, are not.
	//
	// A PIN that the token has refused is not tried there again by the Tokens of
	// the Module, so that a wrong one does not lock the token. Nor is one whose
	// login failed for another reason, unless that says that the PIN was not
	// looked at, as when the token was away. The Module forgets that when it is
	// closed: a process that is restarted again and again costs a try each time.
	PIN func(ctx context.Context) ([]byte, error)

	// Sessions is how many sessions are opened with the token, and so how many
	// signatures are made at once. Optional, 4 by default, at most 16.
	Sessions int
}

func (c *Config) check() error {
	switch {
	case c.Module == nil:
		return errors.New("pkcs11: Config.Module is required")
	case c.Label == "" && c.Serial == "":
		return errors.New("pkcs11: Config.Label or Config.Serial is required")
	case c.PIN == nil:
		return errors.New("pkcs11: Config.PIN is required")
	case c.Sessions < 0 || c.Sessions > maxSessions:
		return fmt.Errorf("pkcs11: Config.Sessions is %d, not 1 to %d", c.Sessions, maxSessions)
	}
	return nil
}

// Token is a token that is logged in to. Its sessions are its own. It is safe
// for concurrent use.
type Token struct {
	config  Config
	free    chan *conn    // idle connections, open or not
	opening chan struct{} // one element while a session is being opened
	done    chan struct{} // closed by Close

	mu     sync.Mutex // of closing
	closed bool
}

// Open opens a session with the token and logs in. The other sessions are opened
// when they are needed. The caller closes the Token, before its Module.
//
// Open fails with a [*signer.Error]: of kind Refused if no PIN, or more than one
// token, goes with the Config; of kind Unavailable if no token does, since it
// may be plugged in later. It takes 10 seconds at most.
func Open(ctx context.Context, c Config) (*Token, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Sessions == 0 {
		c.Sessions = defaultSessions
	}
	t := &Token{
		config:  c,
		free:    make(chan *conn, c.Sessions),
		opening: make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	for range c.Sessions {
		t.free <- &conn{token: t}
	}
	guard := signer.NewGuard(signer.Limits{Timeout: openTimeout})
	err := guard.Do(ctx, service, "C_OpenSession", func(ctx context.Context) error {
		return t.do(ctx, func(*conn) error { return nil })
	})
	if err != nil {
		return nil, also(err, t.Close())
	}
	return t, nil
}

// Close closes the Token's sessions, and a session in use when its call
// returns. Its signers then fail with an error of kind Refused. Other Tokens
// are not affected, and neither is a login for which another part of the
// process still has sessions.
func (t *Token) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	close(t.done)
	unused := t.unused()
	t.mu.Unlock()
	// The library may hang as in any other call.
	guard := signer.NewGuard(signer.Limits{})
	return guard.Do(context.Background(), service, "C_CloseSession", func(ctx context.Context) error {
		var err error
		for _, c := range unused {
			err = errors.Join(err, c.close(ctx))
		}
		return err
	})
}

// unused takes the idle connections. It does not wait, because other callers
// take them, too.
func (t *Token) unused() (all []*conn) {
	for {
		select {
		case c := <-t.free:
			all = append(all, c)
		default:
			return all
		}
	}
}

// Format names the token.
func (t *Token) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "pkcs11.Token(%s)", t.config.name()) }

// Format names the token.
func (c Config) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "pkcs11.Config(%s)", c.name()) }

func (c *Config) name() string {
	if c.Serial == "" {
		return fmt.Sprintf("%q", c.Label)
	}
	return fmt.Sprintf("%q %q", c.Label, c.Serial)
}

var errClosed = errors.New("the Token is closed")

// do runs f with a session that no other caller uses. If the session was lost,
// do opens another and runs f once more. f must not keep anything of the
// session.
func (t *Token) do(ctx context.Context, f func(*conn) error) error {
	c, err := t.acquire(ctx)
	if err != nil {
		return err
	}
	defer t.release(c)
	for tries := 0; tries < 2; {
		if c.session == nil {
			if err := c.open(ctx); err != nil {
				return plain(err)
			}
		}
		err = t.config.Module.call(ctx, c.epoch, func() error { return f(c) })
		if !isLost(err) {
			return err
		}
		c.drop(ctx, err)
		if !errors.Is(err, errStale) { // with another error the token was not called
			tries++
		}
	}
	return plain(err)
}

func (t *Token) acquire(ctx context.Context) (*conn, error) {
	select {
	case <-t.done: // even if a session is idle
		return nil, problem("C_OpenSession", signer.Refused, "%w", errClosed)
	default:
	}
	select {
	case c := <-t.free:
		return c, nil
	case <-t.done:
		return nil, problem("C_OpenSession", signer.Refused, "%w", errClosed)
	case <-ctx.Done():
		return nil, fmt.Errorf("all sessions are in use: %w", ctx.Err())
	}
}

// release gives a session back. It is called when f has returned, however late.
func (t *Token) release(c *conn) {
	t.mu.Lock()
	closed := t.closed
	if !closed {
		t.free <- c
	}
	t.mu.Unlock()
	if closed {
		_ = c.close(context.Background()) // the Token is closed
	}
}
