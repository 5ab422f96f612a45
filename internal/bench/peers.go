//go:build unix

package main

import (
	"crypto"
	"encoding/json"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"

	"github.com/oidctoken/oidctoken"
)

// minter mints tokens for typical().
type minter struct {
	name string
	mint func() (string, error)
}

// ticket holds the input of the minters that do not use this library.
type ticket struct {
	scope *oidctoken.Scope
	stage *oidctoken.Deployment
	key   crypto.Signer
	kid   string
	alg   string
}

// golangJWT mints with golang-jwt and claims in a struct, as in its documentation.
func golangJWT(t ticket) minter {
	type claims struct {
		jwt.RegisteredClaims
		hostClaims
	}
	jwt.MarshalSingleStringAsArray = false // golang-jwt has no other way to write an "aud" that is not a list
	method := jwt.GetSigningMethod(t.alg)
	return minter{"golang-jwt v5, struct", func() (string, error) {
		now := time.Now()
		token := jwt.NewWithClaims(method, claims{
			RegisteredClaims: jwt.RegisteredClaims{
				Issuer:    issuerURL,
				Subject:   subjectOf(t.scope),
				Audience:  jwt.ClaimStrings{t.scope.Audience},
				IssuedAt:  jwt.NewNumericDate(now),
				NotBefore: jwt.NewNumericDate(now.Add(-backdating)),
				ExpiresAt: jwt.NewNumericDate(now.Add(lifetime)),
				ID:        newID(),
			},
			hostClaims: hostClaimsOf(t.scope, t.stage),
		})
		token.Header["kid"] = t.kid
		return token.SignedString(t.key)
	}}
}

// joseSigner returns a signer of go-jose, which is made once.
func joseSigner(t ticket) (jose.Signer, error) {
	return jose.NewSigner(jose.SigningKey{
		Algorithm: jose.SignatureAlgorithm(t.alg),
		Key:       jose.JSONWebKey{Key: t.key, KeyID: t.kid},
	}, new(jose.SignerOptions).WithType("JWT"))
}

// joseMap mints with go-jose's JWT builder and claims in a map.
func joseMap(t ticket) (minter, error) {
	signer, err := joseSigner(t)
	return minter{"go-jose v4 jwt, map", func() (string, error) {
		now := time.Now()
		claims := hostMapOf(t.scope, t.stage)
		claims["iss"] = issuerURL
		claims["sub"] = subjectOf(t.scope)
		claims["aud"] = t.scope.Audience
		claims["iat"] = now.Unix()
		claims["nbf"] = now.Add(-backdating).Unix()
		claims["exp"] = now.Add(lifetime).Unix()
		claims["jti"] = newID()
		return josejwt.Signed(signer).Claims(claims).Serialize()
	}}, err
}

// joseJWS mints with go-jose's JWS and encoding/json.
func joseJWS(t ticket) (minter, error) {
	type claims struct {
		Issuer    string `json:"iss"`
		Subject   string `json:"sub"`
		Audience  string `json:"aud"`
		IssuedAt  int64  `json:"iat"`
		NotBefore int64  `json:"nbf"`
		Expires   int64  `json:"exp"`
		ID        string `json:"jti"`
		hostClaims
	}
	signer, err := joseSigner(t)
	return minter{"go-jose v4 JWS, json.Marshal", func() (string, error) {
		now := time.Now()
		payload, err := json.Marshal(claims{
			Issuer:     issuerURL,
			Subject:    subjectOf(t.scope),
			Audience:   t.scope.Audience,
			IssuedAt:   now.Unix(),
			NotBefore:  now.Add(-backdating).Unix(),
			Expires:    now.Add(lifetime).Unix(),
			ID:         newID(),
			hostClaims: hostClaimsOf(t.scope, t.stage),
		})
		if err != nil {
			return "", err
		}
		signed, err := signer.Sign(payload)
		if err != nil {
			return "", err
		}
		return signed.CompactSerialize()
	}}, err
}
