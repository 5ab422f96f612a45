package pkcs11

import (
	"context"
	"errors"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/oidctoken/oidctoken/signer"
)

// conn is a place for a session. It is used by one goroutine at a time.
type conn struct {
	token   *Token
	session session // nil: it is not open
	epoch   uint64  // of the library, when it was opened
	slot    uint
	keys    map[string]uint // handles of private keys by CKA_ID
}

// drop forgets the session after an error, and closes it if it may still be ours.
func (c *conn) drop(ctx context.Context, err error) {
	if sessionGone(err) {
		c.session = nil
	}
	_ = c.close(ctx) // the first error has the reason
}

// close closes the session if there is one, although ctx may have ended, since a
// token has only so many. It is forgotten in any case.
func (c *conn) close(ctx context.Context) error {
	s := c.session
	if s == nil {
		return nil
	}
	c.session = nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err := c.token.config.Module.call(ctx, c.epoch, s.close)
	if isLost(err) { // there is nothing left to close
		return nil
	}
	var r returned
	if errors.As(err, &r) {
		return failed("C_CloseSession", err)
	}
	return err
}

// open opens the session. One open runs at a time, because four logins with a
// wrong PIN would lock some tokens. If the token is missing, open restarts the
// library, which may look for tokens only when it is initialized.
func (c *conn) open(ctx context.Context) error {
	select {
	case c.token.opening <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.token.opening }()
	m := c.token.config.Module
	epoch, err := m.state()
	if err != nil {
		return err
	}
	if err = c.connect(ctx, epoch); !isLost(err) {
		return err
	}
	if again := m.restart(ctx, epoch); again != nil {
		return also(err, again)
	}
	if epoch, err = m.state(); err != nil {
		return err
	}
	return c.connect(ctx, epoch)
}

// connect finds the token, opens a session and logs in.
func (c *conn) connect(ctx context.Context, epoch uint64) error {
	m, config := c.token.config.Module, &c.token.config
	var token tokenInfo
	var in bool
	err := m.call(ctx, epoch, func() (err error) {
		if token, err = config.find(m.lib); err != nil {
			return err
		}
		s, err := m.lib.open(token.slot)
		if err != nil {
			return failed("C_OpenSession", err)
		}
		c.session, c.epoch, c.slot, c.keys = s, epoch, token.slot, make(map[string]uint)
		if in, err = s.loggedIn(); err != nil {
			return failed("C_GetSessionInfo", err)
		}
		return nil
	})
	if err == nil && !in {
		err = c.login(ctx, token.serial)
	}
	if err != nil {
		c.drop(ctx, err)
	}
	return err
}

// find finds the slot of the token.
func (c *Config) find(lib library) (tokenInfo, error) {
	tokens, err := lib.tokens()
	if err != nil {
		return tokenInfo{}, failed("C_GetSlotList", err)
	}
	var found []tokenInfo
	var unknown error
	for _, t := range tokens {
		switch {
		case t.err != nil:
			unknown = t.err
		case (c.Label == "" || c.Label == t.label) && (c.Serial == "" || c.Serial == t.serial):
			found = append(found, t)
		}
	}
	switch {
	case len(found) > 1:
		return tokenInfo{}, problem("C_GetTokenInfo", signer.Refused, "%d tokens are %s: set Config.Serial", len(found), c.name())
	case len(found) == 1:
		return found[0], nil
	case unknown != nil:
		return tokenInfo{}, failed("C_GetTokenInfo", unknown)
	}
	return tokenInfo{}, lost{problem("C_GetTokenInfo", signer.Unavailable, "no slot has the token %s", c.name())}
}

// find finds objects. When the login is over or the token is missing, a library
// may find nothing instead of failing. Then the session was lost, and the
// result says nothing about the objects.
func (c *conn) find(template []attribute) ([]uint, error) {
	for attempt := 0; ; attempt++ {
		objects, err := c.session.find(template)
		switch {
		case err != nil:
			return nil, failed("C_FindObjects", err)
		case len(objects) >= maxFound:
			return nil, problem("C_FindObjects", signer.Malformed, "the token has %d objects or more of one kind", maxFound)
		case len(objects) > 0 || attempt > 0:
			return objects, nil
		}
		if err := c.present(); err != nil {
			return nil, err
		}
	}
}

// present fails if the token is away or the login is over.
func (c *conn) present() error {
	in, err := c.session.loggedIn()
	switch {
	case err != nil:
		return failed("C_GetSessionInfo", err)
	case !in:
		return failed("C_FindObjects", returned(cryptoki.CKR_USER_NOT_LOGGED_IN))
	}
	token, err := c.token.config.find(c.token.config.Module.lib)
	if err == nil && token.slot != c.slot {
		err = lost{problem("C_GetTokenInfo", signer.Unavailable, "the token has moved to another slot")}
	}
	return err
}

// only returns the one object of a template.
func (c *conn) only(what string, template []attribute) (uint, error) {
	objects, err := c.find(template)
	switch {
	case err != nil:
		return 0, err
	case len(objects) == 0:
		return 0, problem("C_FindObjects", signer.Gone, "the token has no %s", what)
	case len(objects) > 1:
		return 0, problem("C_FindObjects", signer.Refused, "the token has %d objects that are the %s, and must have one", len(objects), what)
	}
	return objects[0], nil
}
