package aws

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken/internal/jws"
)

// jwt holds the claims of a JWT that can be read without a key.
type jwt struct {
	header struct {
		Alg string `json:"alg"`
	}
	claims struct {
		Iss   string          `json:"iss"`
		Sub   string          `json:"sub"`
		Aud   string          `json:"aud"`
		Iat   int64           `json:"iat"`
		Nbf   int64           `json:"nbf"`
		Exp   int64           `json:"exp"`
		Roles json.RawMessage `json:"https://aws.amazon.com/roles"`
	}
}

const (
	minJWT = 4 // bytes
	maxJWT = 20000
)

func decodeJWT(s string) (j jwt, ok bool) {
	ok = jws.Decode(s, maxJWT, &j.header, &j.claims)
	return j, ok
}

// checkJWT returns why AWS would refuse the JWT, or why it is not the requested
// one, as a text that continues "Request.Subject". It returns "" if only AWS
// can tell. The text holds no part of the JWT.
func (e *Exchanger) checkJWT(s string) (j jwt, reason string) {
	if len(s) < minJWT || len(s) > maxJWT {
		return jwt{}, "returned a JWT that is not of 4 to 20000 bytes"
	}
	j, ok := decodeJWT(s)
	switch {
	case !ok:
		return jwt{}, "did not return a compact JWT with a string for iss, sub and aud and an integer for iat, nbf and exp"
	case !slices.Contains(algorithms, j.header.Alg):
		return jwt{}, "returned a JWT that is not signed with one of " + strings.Join(algorithms, ", ")
	case j.claims.Iss == "" || j.claims.Sub == "" || j.claims.Iat <= 0 || j.claims.Exp <= 0:
		return jwt{}, "returned a JWT without iss, sub, iat or exp"
	case j.claims.Exp <= j.claims.Iat:
		return jwt{}, "returned a JWT that ends before it begins"
	case j.claims.Aud != e.config.Audience:
		return jwt{}, "returned a JWT for another audience than the requested one"
	}
	return j, e.checkRoles(j.claims.Roles)
}

// checkRoles requires the JWT to name the role. A host that mints without the
// Exchanger's Profile must notice that the claim is missing.
func (e *Exchanger) checkRoles(raw json.RawMessage) (reason string) {
	if raw == nil {
		if e.config.InsecureAnyRole {
			return ""
		}
		return "returned a JWT that is not pinned to RoleARN: mint it with the Claims of Exchanger.Profile"
	}
	var roles []string
	var role string
	switch {
	case json.Unmarshal(raw, &role) == nil && role != "":
		roles = []string{role}
	case json.Unmarshal(raw, &roles) != nil:
		return "returned a JWT whose roles claim is neither a string nor a list of strings"
	}
	if !slices.Contains(roles, e.config.RoleARN) {
		return "returned a JWT that is pinned to another role than RoleARN"
	}
	return ""
}
