package pkcs11

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/oidctoken/oidctoken/signer"
)

// refusedPINs are the PINs that the tokens of a library have refused, as hashes
// under a key of the Module alone: a PIN is too short for a bare one. They are
// the Module's because a host that cannot log in may well open a Token again and
// again.
type refusedPINs struct {
	key [32]byte

	mu    sync.Mutex // of what follows
	sums  map[[sha256.Size]byte]bool
	turns map[string]chan struct{} // by serial number; one element while a PIN is tried
}

func newRefusedPINs() *refusedPINs {
	r := &refusedPINs{sums: make(map[[sha256.Size]byte]bool), turns: make(map[string]chan struct{})}
	rand.Read(r.key[:]) // it never fails
	return r
}

func (r *refusedPINs) has(serial string, pin []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sums[r.sum(serial, pin)]
}

func (r *refusedPINs) add(serial string, pin []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sums[r.sum(serial, pin)] = true
}

func (r *refusedPINs) sum(serial string, pin []byte) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, r.key[:])
	fmt.Fprintf(mac, "%d %s", len(serial), serial)
	mac.Write(pin)
	mac.Sum(sum[:0])
	return sum
}

// turn returns the channel that a login with that token fills while it runs:
// otherwise two Tokens with the same wrong PIN would both try it.
func (r *refusedPINs) turn(serial string) chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.turns[serial] == nil {
		r.turns[serial] = make(chan struct{}, 1)
	}
	return r.turns[serial]
}

// untried has the errors of C_Login after which the PIN was not checked: the
// session, the token or the device is gone, or the token has no login for the
// user now. After any other error, also a vendor's own, the login may have cost
// one of the tries after which a token locks itself.
var untried = map[returned]bool{
	cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED:       true,
	cryptoki.CKR_SESSION_CLOSED:                 true,
	cryptoki.CKR_SESSION_HANDLE_INVALID:         true,
	cryptoki.CKR_SLOT_ID_INVALID:                true,
	cryptoki.CKR_TOKEN_NOT_PRESENT:              true,
	cryptoki.CKR_TOKEN_NOT_RECOGNIZED:           true,
	cryptoki.CKR_DEVICE_REMOVED:                 true,
	cryptoki.CKR_DEVICE_ERROR:                   true,
	cryptoki.CKR_USER_ANOTHER_ALREADY_LOGGED_IN: true,
	cryptoki.CKR_USER_TOO_MANY_TYPES:            true,
	cryptoki.CKR_USER_PIN_NOT_INITIALIZED:       true,
}

// login logs in, and with it all sessions that the process has with the token.
func (c *conn) login(ctx context.Context, serial string) error {
	pin, err := c.token.config.PIN(ctx)
	defer clear(pin)
	if err != nil {
		return problem("C_Login", signer.Unavailable, "Config.PIN: %w", err)
	}
	m := c.token.config.Module
	turn := m.pins.turn(serial)
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-turn }()
	if m.pins.has(serial, pin) {
		return problem("C_Login", signer.Refused, "a login to the token %s with this PIN has failed before, and is not tried again", c.token.config.name())
	}
	err = m.call(ctx, c.epoch, func() error { return c.session.login(pin) })
	var r returned
	switch {
	case !errors.As(err, &r):
		return err
	case r == cryptoki.CKR_USER_ALREADY_LOGGED_IN:
		return nil
	case untried[r]:
		return failed("C_Login", err)
	}
	m.pins.add(serial, pin)
	var e *signer.Error
	if errors.As(failed("C_Login", err), &e) {
		// Without r itself, no code is one after which to log in once more.
		e.Err = fmt.Errorf("%v; this PIN is not tried again", r)
	}
	return e
}
