// Package jws reads a JWS without a key, for those who have to look at a token
// before they send it on, or before they know whose key to ask for.
package jws

import (
	"encoding/base64"
	"strings"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// Decode reads a JWS of JSON in compact serialization (RFC 7515, section 7.1),
// of at most so many bytes, into header and payload. It takes only what has one
// encoding: no padding, no line breaks, no stray bits, no part that is empty,
// and JSON as tokenhttp.DecodeJSON wants it. Nothing is verified.
func Decode(compact string, most int, header, payload any) bool {
	parts := strings.Split(compact, ".")
	if len(compact) > most || len(parts) != 3 || strings.ContainsAny(compact, "\r\n") { // base64 skips line breaks
		return false
	}
	var raw [3][]byte
	for i, part := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || len(b) == 0 {
			return false
		}
		raw[i] = b
	}
	return tokenhttp.DecodeJSON(raw[0], header) == nil && tokenhttp.DecodeJSON(raw[1], payload) == nil
}
