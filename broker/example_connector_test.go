package broker_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
)

func ExampleParseRef() {
	for _, text := range []string{"gcp_mine", "org.gcp_shared", "account.gcp_prod", "rival.gcp_prod"} {
		ref, err := broker.ParseRef(text)
		fmt.Printf("%q %q %v\n", ref.Level, ref.ID, err)
	}
	// Output:
	// "project" "gcp_mine" <nil>
	// "org" "gcp_shared" <nil>
	// "account" "gcp_prod" <nil>
	// "" "" broker: the connector reference begins with something other than account. or org.
}

func ExampleRef_String() {
	fmt.Println(broker.Ref{Level: oidctoken.OrganizationLevel, ID: "gcp_shared"})
	fmt.Println(broker.Ref{Level: oidctoken.ProjectLevel, ID: "gcp_mine"})
	// Output:
	// org.gcp_shared
	// gcp_mine
}

// A connector is found only at its own level: a project does not see a connector of the account
// without "account.", and an account never sees one of a project.
func ExampleConnectorMap_Connector() {
	connectors := broker.ConnectorMap{
		{Account: "acme", ID: "vault"}: {Audiences: []string{"https://vault.example.com"}},
	}
	for _, key := range []broker.ConnectorKey{
		{Account: "acme", ID: "vault"},
		{Account: "acme", Organization: "payments", Project: "ledger", ID: "vault"},
	} {
		c, err := connectors.Connector(context.Background(), key)
		fmt.Println(c != nil, err)
	}
	// Output:
	// true <nil>
	// false no such connector
}

// The error names the rule that denies the step.
func ExampleDeniedError() {
	b, err := broker.New(broker.Config{Issuer: exampleIssuer(), Connectors: broker.ConnectorMap{
		{Account: "acme", ID: "prod"}: {Audiences: []string{"https://prod.example.com"}, Rules: broker.Rules{StageTypes: []string{"Deployment"}}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	step, err := b.NewStep(broker.StepConfig{Scope: oidctoken.Scope{Account: oidctoken.Entity{ID: "acme"}, Stage: oidctoken.CI{ID: "build"}}})
	if err != nil {
		log.Fatal(err)
	}
	defer step.Close()
	_, err = step.Expand(context.Background(), `<+secrets.getJWT("account.prod")>`)
	var denied *broker.DeniedError
	fmt.Println(errors.As(err, &denied), denied.Rule)
	// Output: true StageTypes
}

// Rules that would admit a project of the same name in another organization are refused.
func ExampleConnectorError() {
	_, err := broker.New(broker.Config{Issuer: exampleIssuer(), Connectors: broker.ConnectorMap{
		{Account: "acme", ID: "prod"}: {Audiences: []string{"https://prod.example.com"}, Rules: broker.Rules{Projects: []string{"ledger"}}},
	}})
	var wrong *broker.ConnectorError
	fmt.Println(errors.As(err, &wrong), wrong.Field)
	// Output: true Rules.Projects
}

// A host can check a connector's rules before it offers the connector to a pipeline.
func ExampleRules_Admit() {
	ctx := context.Background()
	issuer := exampleIssuer()
	scope := oidctoken.Scope{
		Audience: "https://vault.example.com",
		Account:  oidctoken.Entity{ID: "acme"},
		Stage:    oidctoken.CI{ID: "build"},
	}
	claims, err := issuer.Preview(ctx, scope)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(broker.Rules{StageTypes: []string{"Deployment"}}.Admit(scope, claims))
	fmt.Println(broker.Rules{StageTypes: []string{"CI"}}.Admit(scope, claims))
	// Output:
	// denied by policy: the connector's Rules.StageTypes does not admit the step
	// <nil>
}
