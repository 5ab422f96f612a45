package oidctoken_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/oidctoken/oidctoken"
)

// exampleToken returns a token for exampleScope.
func exampleToken() *oidctoken.Token {
	token, err := exampleIssuer().Mint(context.Background(), exampleScope())
	if err != nil {
		log.Fatal(err)
	}
	return token
}

func ExampleToken_ID() {
	id, err := base64.RawURLEncoding.DecodeString(exampleToken().ID())
	fmt.Println(len(id)*8, "random bits", err)
	// Output: 128 random bits <nil>
}

func ExampleToken_KeyID() {
	fmt.Println(exampleToken().KeyID())
	// Output: 2026-03
}

func ExampleToken_Expires() {
	fmt.Println(time.Until(exampleToken().Expires()).Round(time.Minute))
	// Output: 15m0s
}

func ExampleToken_String() {
	token := exampleToken()
	fmt.Println(token.String() == "jwt:"+token.ID())
	// Output: true
}

func ExampleToken_Format() {
	token := exampleToken()
	fmt.Println(fmt.Sprintf("%#v %q", token, *token) == "jwt:"+token.ID()+" jwt:"+token.ID())
	// Output: true
}

func ExampleToken_MarshalText() {
	token := exampleToken()
	text, err := json.Marshal(map[string]any{"token": token})
	fmt.Println(string(text) == `{"token":"jwt:`+token.ID()+`"}`, err)
	// Output: true <nil>
}

// A step that runs for hours gets a new token before the last one expires. The claims are
// checked once.
func ExamplePrepared_Mint() {
	prepared, err := exampleIssuer().Prepare(context.Background(), exampleScope())
	if err != nil {
		log.Fatal(err)
	}
	ids := map[string]bool{}
	for range 3 {
		token, err := prepared.Mint(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		ids[token.ID()] = true
	}
	fmt.Println(len(ids), "tokens")
	// Output: 3 tokens
}

func ExamplePrepared_Claims() {
	prepared, err := exampleIssuer().Prepare(context.Background(), exampleScope())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(prepared.Claims().Get("project_uid"))
	// Output: 9f1c2ab0 true
}

func ExampleClaims_MarshalJSON() {
	claims, err := exampleIssuer().Preview(context.Background(), oidctoken.Scope{
		Audience: "sts.example.com",
		Account:  oidctoken.Entity{ID: "acme"},
	})
	if err != nil {
		log.Fatal(err)
	}
	text, err := json.MarshalIndent(claims, "", "  ")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
	// Output:
	// {
	//   "iss": "https://ci.example.com/oidc",
	//   "sub": "account/acme",
	//   "aud": "sts.example.com",
	//   "account_id": "acme",
	//   "context": "CONNECTOR_VALIDATION"
	// }
}

func ExampleScopeError_Error() {
	err := &oidctoken.ScopeError{Field: "Stage.Environment.ID", Reason: "is required"}
	fmt.Println(err)
	// Output: oidctoken: scope: Stage.Environment.ID is required
}

func ExampleConfigError_Error() {
	_, err := oidctoken.NewIssuer(oidctoken.Config{URL: "http://ci.example.com"})
	var configErr *oidctoken.ConfigError
	if errors.As(err, &configErr) {
		fmt.Println(configErr.Field)
		fmt.Println(err)
	}
	// Output:
	// URL
	// oidctoken: URL is neither https nor http for a loopback host
}
