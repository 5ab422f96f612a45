//go:build unix

package main

import (
	"crypto"
	"fmt"
	"maps"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"
)

// sameJob checks that two libraries verify a token of each minter, and that all tokens
// have the same claims, except "jti" and the times.
func sameJob(public crypto.PublicKey, alg, kid string, minters []minter) error {
	var want map[string]any
	for _, m := range minters {
		token, err := m.mint()
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		claims, err := verified(token, public, alg, kid)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if err := removeVarying(claims); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if want == nil {
			want = claims
		}
		if !maps.Equal(want, claims) {
			return fmt.Errorf("%s has the claims %v, but %s has %v", minters[0].name, want, m.name, claims)
		}
	}
	return nil
}

// verified verifies a token and returns its claims.
func verified(token string, public crypto.PublicKey, alg, kid string) (map[string]any, error) {
	parsed, err := josejwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
	if err != nil {
		return nil, err
	}
	claims := map[string]any{}
	if err := parsed.Claims(public, &claims); err != nil {
		return nil, err
	}
	header := parsed.Headers[0]
	if header.KeyID != kid || header.ExtraHeaders[jose.HeaderType] != "JWT" {
		return nil, fmt.Errorf("the header has kid %q and typ %v", header.KeyID, header.ExtraHeaders[jose.HeaderType])
	}
	_, err = jwt.Parse(token, func(*jwt.Token) (any, error) { return public, nil },
		jwt.WithValidMethods([]string{alg}), jwt.WithIssuer(issuerURL), jwt.WithIssuedAt(), jwt.WithExpirationRequired())
	return claims, err
}

// removeVarying checks the claims that differ from one token to the next, and removes them.
func removeVarying(claims map[string]any) error {
	issued, _ := claims["iat"].(float64)
	before, _ := claims["nbf"].(float64)
	expires, _ := claims["exp"].(float64)
	if issued-before != backdating.Seconds() || expires-issued != lifetime.Seconds() {
		return fmt.Errorf("the times are nbf %v, iat %v, exp %v", claims["nbf"], claims["iat"], claims["exp"])
	}
	if id, _ := claims["jti"].(string); len(id) != 22 {
		return fmt.Errorf("the jti is %v, not 16 bytes in base64url", claims["jti"])
	}
	for _, name := range []string{"iat", "nbf", "exp", "jti"} {
		delete(claims, name)
	}
	return nil
}
