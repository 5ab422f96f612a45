package oidctoken_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log"

	"github.com/oidctoken/oidctoken"
)

func Example() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		log.Fatal(err)
	}
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{URL: "https://ci.example.com", Keys: oidctoken.StaticKeys{{Signer: signer}},
		Profile: oidctoken.Profile{Algorithms: []string{"ES256"}}})
	if err != nil {
		log.Fatal(err)
	}
	token, err := issuer.Mint(context.Background(), oidctoken.Scope{Audience: "vault", Account: oidctoken.Entity{ID: "acme"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(token.JWT()) > 0, token.KeyID() != "")
	// Output: true true
}

// exampleIssuer returns the issuer of the examples.
func exampleIssuer() *oidctoken.Issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		log.Fatal(err)
	}
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL:     "https://ci.example.com/oidc",
		Keys:    oidctoken.StaticKeys{{Signer: signer, ID: "2026-03"}},
		Profile: oidctoken.Profile{Algorithms: []string{"ES256"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return issuer
}

// exampleScope returns the scope of a deployment to production.
func exampleScope() oidctoken.Scope {
	return oidctoken.Scope{
		Audience:     "https://vault.example.com",
		Account:      oidctoken.Entity{ID: "acme"},
		Organization: oidctoken.Entity{ID: "payments"},
		Project:      oidctoken.Entity{ID: "ledger", UID: "9f1c2ab0"},
		Pipeline:     &oidctoken.Pipeline{ID: "release"},
		Stage: oidctoken.Deployment{
			ID:          "deploy",
			Environment: &oidctoken.Environment{ID: "prod", Type: oidctoken.Production},
		},
	}
}

func ExampleNewIssuer() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		log.Fatal(err)
	}
	config := oidctoken.Config{URL: "https://ci.example.com/oidc/", Keys: oidctoken.StaticKeys{{Signer: signer}}}
	_, err = oidctoken.NewIssuer(config)
	fmt.Println(err)

	config.URL = "https://ci.example.com/oidc"
	_, err = oidctoken.NewIssuer(config)
	fmt.Println(err)
	// Output:
	// oidctoken: URL has a trailing slash
	// <nil>
}

func ExampleIssuer_Mint() {
	issuer := exampleIssuer()
	token, err := issuer.Mint(context.Background(), exampleScope())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("signed by", token.KeyID())
	// Output: signed by 2026-03
}

// This policy refuses deployments of pull requests, and permits forks in other stages.
func ExampleConfig_allow() {
	errPullRequest := errors.New("a pull request does not deploy")
	allow := func(_ context.Context, s oidctoken.Scope) error {
		if _, deploys := s.Stage.(oidctoken.Deployment); deploys && s.Source != nil && s.Source.BaseRef != "" {
			return errPullRequest
		}
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		log.Fatal(err)
	}
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL: "https://ci.example.com", Keys: oidctoken.StaticKeys{{Signer: signer}}, Allow: allow,
	})
	if err != nil {
		log.Fatal(err)
	}
	scope := exampleScope()
	scope.Source = &oidctoken.Source{BaseRef: "main"}
	_, err = issuer.Mint(context.Background(), scope)
	fmt.Println(errors.Is(err, oidctoken.ErrDenied), errors.Is(err, errPullRequest))
	fmt.Println(err)
	// Output:
	// true true
	// oidctoken: mint: denied by policy: a pull request does not deploy
}

func ExampleIssuer_Preview() {
	claims, err := exampleIssuer().Preview(context.Background(), exampleScope())
	if err != nil {
		log.Fatal(err)
	}
	payload, err := claims.MarshalJSON()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", payload)
	// Output:
	// {"iss":"https://ci.example.com/oidc","sub":"account/acme:org/payments:project/ledger","aud":"https://vault.example.com","account_id":"acme","organization_id":"payments","project_id":"ledger","project_uid":"9f1c2ab0","pipeline_id":"release","context":"PIPELINE_EXECUTION","stage_type":"Deployment","stage_id":"deploy","environment_id":"prod","environment_type":"Production"}
}

// A cache of credentials calls Allow before it returns a cached credential.
func ExampleIssuer_Allow() {
	fork := exampleScope()
	fork.Untrusted = true
	fmt.Println(errors.Is(exampleIssuer().Allow(context.Background(), fork), oidctoken.ErrDenied))
	// Output: true
}

// A policy of the host applies the same rule to untrusted executions.
func ExampleScope_IsUntrusted() {
	fork := true
	s := oidctoken.Scope{Source: &oidctoken.Source{IsFork: &fork}}
	fmt.Println(s.IsUntrusted())
	// Output: true
}

func ExampleIssuer_Prepare() {
	issuer := exampleIssuer()
	prepared, err := issuer.Prepare(context.Background(), exampleScope())
	if err != nil {
		log.Fatal(err)
	}
	first, err := prepared.Mint(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	second, err := prepared.Mint(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	subject, _ := prepared.Claims().Get("sub")
	fmt.Println(first.ID() != second.ID(), "both of", subject)
	// Output: true both of account/acme:org/payments:project/ledger
}

func ExampleScopeError() {
	scope := exampleScope()
	scope.Organization.ID = "payments:project/ledger" // imitates the structure of a subject
	_, err := exampleIssuer().Mint(context.Background(), scope)
	var scopeErr *oidctoken.ScopeError
	if errors.As(err, &scopeErr) {
		fmt.Println("field: ", scopeErr.Field)
		fmt.Println("reason:", scopeErr.Reason)
	}
	// Output:
	// field:  Organization.ID
	// reason: is not an identifier: 1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or ..
}

// This relying party accepts only short subjects, and matches the project by its immutable
// id.
func ExampleProfile() {
	scope := exampleScope()
	scope.Profile = &oidctoken.Profile{
		Subject:    "{account_id}:{project_uid}[:env/{environment_id}]",
		MaxSubject: 127,
		Algorithms: []string{"ES256", "RS256"},
	}
	claims, err := exampleIssuer().Preview(context.Background(), scope)
	if err != nil {
		log.Fatal(err)
	}
	subject, _ := claims.Get("sub")
	fmt.Println(subject)
	// Output: acme:9f1c2ab0:env/prod
}

func ExampleClaims_Get() {
	claims, err := exampleIssuer().Preview(context.Background(), exampleScope())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(claims.Get("environment_id"))
	fmt.Println(claims.Get("workspace_id"))
	// Output:
	// prod true
	//  false
}

func ExampleClaimNames() {
	names := oidctoken.ClaimNames()
	fmt.Println(names[0], names[len(names)-1])
	// Output: account_id run_phase
}
