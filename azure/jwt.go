package azure

import (
	"encoding/base64"
	"strings"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// jwt is what can be read of a JWT without a key.
type jwt struct {
	text   string
	header struct {
		Alg string `json:"alg"`
		Kid string `json:"kid"`
	}
	claims struct {
		Iss string `json:"iss"`
		Sub string `json:"sub"`
		Aud string `json:"aud"`
		Iat int64  `json:"iat"`
		Exp int64  `json:"exp"`
	}
}

const maxJWT = 16 << 10 // bytes

// decodeJWT reads a JWS in compact serialization (RFC 7515, section 7.1). It
// accepts only what has one encoding: no padding, no line breaks, no stray bits.
func decodeJWT(s string) (j jwt, ok bool) {
	parts := strings.Split(s, ".")
	if len(s) > maxJWT || len(parts) != 3 || strings.ContainsAny(s, "\r\n") { // base64 skips line breaks
		return jwt{}, false
	}
	var raw [3][]byte
	for i, part := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || len(b) == 0 {
			return jwt{}, false
		}
		raw[i] = b
	}
	if tokenhttp.DecodeJSON(raw[0], &j.header) != nil || tokenhttp.DecodeJSON(raw[1], &j.claims) != nil {
		return jwt{}, false
	}
	j.text = s
	return j, true
}

// check says why Entra would refuse the JWT, in words that continue
// "Request.Subject"; "" if that needs Entra to be known. The words hold nothing
// of the JWT.
func (j *jwt) check(audience string) (reason string) {
	c := j.claims
	switch {
	case j.header.Alg != "RS256":
		return "returned a JWT that is not signed with RS256, and Entra takes no other: mint it with Exchanger.Profile"
	case j.header.Kid == "" || !matchable(j.header.Kid):
		return "returned a JWT without kid, or with one that is not printable ASCII"
	case c.Iss == "" || c.Sub == "" || c.Iat <= 0 || c.Exp <= 0:
		return "returned a JWT without iss, sub, iat or exp"
	case c.Aud != audience:
		return "returned a JWT for another audience than it was asked for"
	case c.Exp <= c.Iat:
		return "returned a JWT that ends before it begins"
	case !matchable(c.Iss) || !matchable(c.Sub):
		return "returned a JWT whose iss or sub no federated credential can have: at most 600 printable ASCII characters without spaces"
	}
	return ""
}

// matchable reports whether a federated credential can hold s so that it is
// compared with nothing lost.
func matchable(s string) bool { return len(s) <= maxValue && consists(s, visible) }
