package oidctoken_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/oidctoken/oidctoken"
)

func ExampleMatrixText() {
	fmt.Println(oidctoken.MatrixText(map[string]string{"zone": "eu-west/1", "os": "linux"}))
	// Output: os=linux,zone=eu-west%2F1
}

// The branch of a pull request does not stop a token, even if its name is too long.
func ExampleClaims_Omitted() {
	claims, err := exampleIssuer().Preview(context.Background(), oidctoken.Scope{
		Audience: "vault",
		Account:  oidctoken.Entity{ID: "6_vXHzo9Qeu9fXvj-AabCQ"},
		Source:   &oidctoken.Source{Ref: "refs/pull/7/merge", HeadRef: strings.Repeat("x", 2000)},
	})
	if err != nil {
		log.Fatal(err)
	}
	_, known := claims.Get("head_ref")
	fmt.Println(known, claims.Omitted())
	// Output: false [head_ref]
}

// A platform whose stages have no fixed kinds sets Kind.
func ExampleOpenStage() {
	claims, err := exampleIssuer().Preview(context.Background(), oidctoken.Scope{
		Audience: "vault",
		Account:  oidctoken.Entity{ID: "acme"},
		Stage: oidctoken.OpenStage{
			Kind: "Rollout", ID: "eu",
			Service:     &oidctoken.Entity{ID: "checkout-service"},
			Environment: &oidctoken.Environment{ID: "prod-eu", Type: oidctoken.Production},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(claims.Get("stage_type"))
	fmt.Println(claims.Get("environment_id"))
	// Output:
	// Rollout true
	// prod-eu true
}
