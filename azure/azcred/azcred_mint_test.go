package azcred_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"

	"github.com/oidctoken/oidctoken"
)

// mint replaces a host's call of its issuer.
func mint(ctx context.Context, audience string) (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		return "", err
	}
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{URL: "https://ci.example.com", Keys: oidctoken.StaticKeys{{Signer: signer}}})
	if err != nil {
		return "", err
	}
	token, err := issuer.Mint(ctx, oidctoken.Scope{Audience: audience, Account: oidctoken.Entity{ID: "acme"}})
	if err != nil {
		return "", err
	}
	return token.JWT(), nil
}
