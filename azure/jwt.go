package azure

import (
	"github.com/oidctoken/oidctoken/internal/jws"
)

// jwt holds the claims of a JWT that can be read without a key.
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

func decodeJWT(s string) (j jwt, ok bool) {
	j.text = s
	ok = jws.Decode(s, maxJWT, &j.header, &j.claims)
	return j, ok
}

// check returns why Entra would refuse the JWT, as a text that continues
// "Request.Subject". It returns "" if only Entra can tell. The text holds no
// part of the JWT.
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
		return "returned a JWT for another audience than the requested one"
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
