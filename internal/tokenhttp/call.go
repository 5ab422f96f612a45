package tokenhttp

import (
	"context"
	"net/url"
	"strings"
)

// Call is a call of a cloud: its requests, its retries, and the secrets that
// none of its errors may show. Only one goroutine may use it at a time. It does
// not print.
type Call struct {
	client  *Client
	secrets func() []string // a func, so that nothing prints them
}

// Call begins a call.
func (c *Client) Call() *Call {
	return &Call{client: c, secrets: func() []string { return nil }}
}

// Hide adds secrets to those that no error of the call may show: each JWT before
// it is sent, and each token on receipt.
func (c *Call) Hide(secrets ...string) {
	all := append(c.secrets(), secrets...)
	c.secrets = func() []string { return all[:len(all):len(all)] }
}

// Post is [Client.Post]. From then on, the bearer and the query of r are secrets of
// the call. Its error also shows nothing of the secrets of earlier requests.
func (c *Call) Post(ctx context.Context, r Request) (*Response, error) {
	c.Hide(r.Bearer)
	if u, err := url.Parse(r.URL); err == nil {
		c.Hide(u.RawQuery)
	}
	r.hide = c.secrets
	return c.client.Post(ctx, r)
}

// Redact is the func [Redact] with the secrets of the call.
func (c *Call) Redact(text string) string { return Redact(text, c.secrets()...) }

// shortWindow is the number of bytes of a secret that [Call.Code] allows, plus
// one: a code stands beside a description, which must not continue it.
const shortWindow = 6

// Code returns a cloud's code unchanged, or "" if it repeats 6 bytes in a row of
// a secret.
func (c *Call) Code(code string) string {
	if c.Redact(code) != code {
		return ""
	}
	for i := 0; i+shortWindow <= len(code); i++ {
		for _, s := range c.secrets() {
			if strings.Contains(s, code[i:i+shortWindow]) {
				return ""
			}
		}
	}
	return code
}
