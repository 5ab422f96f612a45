package oidctoken

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Token holds a signed JWT. A JWT is a secret until it expires, so a Token does not
// print it: every verb, log/slog and the text encodings show "jwt:" and the "jti".
// Only the method JWT reveals it.
type Token struct {
	jwt     *string // a pointer prints as an address, wherever it is embedded
	id      [16]byte
	keyID   string
	expires int64 // seconds since 1970
}

// JWT returns the token in its compact serialization (RFC 7515, section 7.1).
func (t *Token) JWT() string { return *t.jwt }

// ID returns the token's "jti", which identifies it in an audit log.
func (t *Token) ID() string { return base64.RawURLEncoding.EncodeToString(t.id[:]) }

// KeyID returns the "kid" of the key that signed the token.
func (t *Token) KeyID() string { return t.keyID }

// Expires returns the token's "exp". It may be earlier than the profile's lifetime
// suggests, since no token outlives its key.
func (t *Token) Expires() time.Time { return time.Unix(t.expires, 0) }

// String returns "jwt:" and the "jti".
func (t Token) String() string { return "jwt:" + t.ID() }

// Format writes the result of String, for every verb and flag.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// LogValue returns the result of String as a value of log/slog.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText returns the result of String, so that no encoder reveals the token.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// newToken returns a token whose Token and text are one allocation.
func newToken(jwt []byte, jti *[16]byte, keyID string, expires int64) *Token {
	minted := &struct {
		Token
		text string
	}{text: string(jwt)}
	minted.Token = Token{jwt: &minted.text, id: *jti, keyID: keyID, expires: expires}
	return &minted.Token
}
