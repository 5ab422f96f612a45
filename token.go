package oidctoken

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Token is a signed JWT. It is a secret for as long as it lives, so it does
// not print: every verb, log/slog and the text encodings show "jwt:" and its
// "jti". Only JWT reveals it.
type Token struct {
	jwt     *string // a pointer prints as an address, wherever it is embedded
	id      [16]byte
	keyID   string
	expires int64 // seconds since 1970
}

// JWT reveals the token in its compact serialization (RFC 7515, section 7.1).
func (t *Token) JWT() string { return *t.jwt }

// ID is the token's "jti", by which an audit log finds it.
func (t *Token) ID() string { return base64.RawURLEncoding.EncodeToString(t.id[:]) }

// KeyID is the "kid" of the key that signed the token.
func (t *Token) KeyID() string { return t.keyID }

// Expires is the token's "exp". It may come sooner than the profile's
// lifetime says, since no token outlives its key.
func (t *Token) Expires() time.Time { return time.Unix(t.expires, 0) }

// String names the token without revealing it.
func (t Token) String() string { return "jwt:" + t.ID() }

// Format writes String for every verb and flag.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// LogValue is String, as a value of log/slog.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText is String, so that no encoder reveals the token.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Claims are what a token says about an execution: all but the claims that
// differ from one token to the next ("iat", "nbf", "exp", "jti").
type Claims struct {
	facts           facts
	issuer, subject string
	audience        string
	nullUnknown     bool
	beyond          []byte // members beyond the table, as JSON, each with a comma before it
}

// Get returns the claim of that name: one of the table, one of Scope.Extra, or
// "iss", "sub" or "aud". It returns false if the claim is unknown or omitted.
func (c *Claims) Get(name string) (value string, known bool) {
	switch name {
	case "iss":
		value = c.issuer
	case "sub":
		value = c.subject
	case "aud":
		value = c.audience
	default:
		if row := rowOf[name]; row != nil {
			value = row.of(&c.facts)
		} else {
			value = c.facts.extra[name]
		}
	}
	return value, value != ""
}

// Omitted returns the names of the claims for audit that the Scope has and the
// token does not, because their values are longer than 1024 bytes, are not UTF-8
// or have control characters. The caller may change the slice.
func (c *Claims) Omitted() (names []string) {
	for i := range table {
		row := &table[i]
		if row.format.audit && row.value(&c.facts) != row.of(&c.facts) {
			names = append(names, row.name)
		}
	}
	return names
}

// MarshalJSON returns the claims as the payload of a token has them, in the
// same order.
func (c *Claims) MarshalJSON() ([]byte, error) {
	b := append([]byte(`{"iss":"`), c.issuer...)
	b = append(append(b, `","sub":"`...), c.subject...)
	b = append(appendJSON(append(b, `","aud":"`...), c.audience), '"')
	b, err := c.facts.appendTable(b, c.nullUnknown)
	if err != nil {
		return nil, err
	}
	return append(append(b, c.beyond...), '}'), nil
}
