// Quickstart mints a token for a step of a CI stage and prints its JWT.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log"

	"github.com/oidctoken/oidctoken"
)

func main() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	signer, err := oidctoken.NewSigner(key)
	check(err)
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL:     "https://ci.example.com/oidc", // http.Handle("/oidc/", issuer) serves what verifies the tokens
		Keys:    oidctoken.StaticKeys{{Signer: signer}},
		Profile: oidctoken.Profile{Algorithms: []string{"ES256"}},
	})
	check(err)
	token, err := issuer.Mint(context.Background(), oidctoken.Scope{
		Audience: "https://vault.example.com",
		Account:  oidctoken.Entity{ID: "acme"},
		Pipeline: &oidctoken.Pipeline{ID: "release"},
		Stage:    oidctoken.CI{ID: "build"},
	})
	check(err)
	fmt.Println(token.JWT())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
