package jws

import (
	"encoding/base64"
	"strings"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// Decode reads a JWS whose payload is JSON, in compact serialization (RFC 7515,
// section 7.1), into header and payload. It needs no key and verifies nothing:
// callers look at a token before they send it on, or before they know whose key
// to fetch.
//
// Decode returns false if compact is longer than maxBytes, has padding, line
// breaks, stray bits or an empty part, or has JSON that tokenhttp.DecodeJSON
// refuses. So no two texts decode to the same bytes.
func Decode(compact string, maxBytes int, header, payload any) bool {
	parts := strings.Split(compact, ".")
	if len(compact) > maxBytes || len(parts) != 3 || strings.ContainsAny(compact, "\r\n") { // base64 skips line breaks
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
