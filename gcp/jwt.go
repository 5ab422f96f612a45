package gcp

import (
	"time"

	"github.com/oidctoken/oidctoken/internal/jws"
)

// jwt holds the claims of a JWT that can be read without a key.
type jwt struct {
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
	ok = jws.Decode(s, maxJWT, &j.header, &j.claims)
	return j, ok
}

// checkJWT returns why Google would refuse the JWT, as a text that continues
// "SubjectToken". It returns "" if only Google can tell. The text holds no part
// of the JWT.
func checkJWT(s, audience string) (j jwt, reason string) {
	j, ok := decodeJWT(s)
	lifetime := j.claims.Exp - j.claims.Iat
	switch {
	case !ok:
		return jwt{}, "did not return a compact JWT with a string for iss, sub and aud and an integer for iat and exp"
	case j.header.Alg != "ES256" && j.header.Alg != "RS256":
		return jwt{}, "returned a JWT that is signed with neither ES256 nor RS256"
	case j.header.Kid == "":
		return jwt{}, "returned a JWT without kid"
	case j.claims.Iss == "" || j.claims.Sub == "" || j.claims.Iat <= 0 || j.claims.Exp <= 0:
		return jwt{}, "returned a JWT without iss, sub, iat or exp"
	case j.claims.Aud != audience:
		return jwt{}, "returned a JWT for another audience than the requested one"
	case lifetime <= 0 || lifetime > int64(24*time.Hour/time.Second):
		return jwt{}, "returned a JWT that does not live for up to 24 hours"
	}
	return j, ""
}
