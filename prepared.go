package oidctoken

import (
	"bytes"
	"context"
	"fmt"

	"github.com/oidctoken/oidctoken/internal/jws"
)

// Prepared mints tokens that all have the same claims, for an execution that
// renews its tokens. The claims that do not differ from one token to the next were
// checked and rendered once. It is safe for concurrent use.
type Prepared struct {
	issuer   *Issuer
	scope    Scope
	settings settings
	claims   *Claims
	prefix   jws.Prefix // the beginning of the payload, in whole groups of base64url
	rest     []byte     // the 0 to 2 bytes that follow it
}

// Prepare checks and renders s. It fails with the errors of Preview. Later
// writes to memory of s have no effect.
func (iss *Issuer) Prepare(ctx context.Context, s Scope) (*Prepared, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("oidctoken: prepare: %w", err)
	}
	b := iss.buffers.Get().(*mintBuffer)
	defer iss.buffers.Put(b)
	started := iss.audit.start()
	set, err := iss.render(b, &s)
	if err != nil {
		return nil, iss.audit.end(ctx, started, &s, nil, nil, err)
	}
	json := b.payload.json
	whole := len(json) / 3 * 3
	return &Prepared{
		issuer:   iss,
		scope:    s.clone(),
		settings: *set,
		claims:   iss.payloads.claims(&b.payload, &s, set),
		prefix:   jws.Prefix{Encoded: jws.AppendBase64(nil, json[:whole])},
		rest:     bytes.Clone(json[whole:]),
	}, nil
}

// Claims returns the claims of the tokens.
func (p *Prepared) Claims() *Claims { return p.claims }

// Mint returns a new token, as [Issuer.Mint] does. It calls policy and chooses the
// key each time.
func (p *Prepared) Mint(ctx context.Context) (*Token, error) {
	iss := p.issuer
	started := iss.audit.start()
	b := iss.buffers.Get().(*mintBuffer)
	defer iss.buffers.Put(b)
	b.payload.json = append(b.payload.json[:0], p.rest...)
	t, err := iss.issue(ctx, &p.scope, &p.settings, b, &p.prefix)
	return t, iss.audit.end(ctx, started, &p.scope, p.claims, t, err)
}
