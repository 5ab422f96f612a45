package broker_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
)

// exampleIssuer returns an issuer with a key in memory.
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
		Keys:    oidctoken.StaticKeys{{Signer: signer}},
		Profile: oidctoken.Profile{Algorithms: []string{"ES256"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return issuer
}

// exampleStep returns a step of a broker with two connectors. The relying party of
// account.vault accepts the token itself. account.gcp_prod has an [exchange.Exchanger].
func exampleStep() (step *broker.Step, remove func()) {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	b, err := broker.New(broker.Config{
		Issuer: exampleIssuer(),
		Connectors: broker.ConnectorMap{
			{Account: "acme", ID: "vault"}:    {Audiences: []string{"https://vault.example.com"}},
			{Account: "acme", ID: "gcp_prod"}: {Exchanger: newCloud("gcp")},
		},
		Dir: filepath.Join(dir, "steps"),
	})
	if err != nil {
		log.Fatal(err)
	}
	step, err = b.NewStep(broker.StepConfig{Scope: oidctoken.Scope{
		Account:      oidctoken.Entity{ID: "acme"},
		Organization: oidctoken.Entity{ID: "payments"},
		Project:      oidctoken.Entity{ID: "ledger"},
		Stage:        oidctoken.CI{ID: "build"},
	}})
	if err != nil {
		log.Fatal(err)
	}
	return step, func() {
		err := errors.Join(step.Close(), os.RemoveAll(dir))
		b.Close()
		if err != nil {
			log.Fatal(err)
		}
	}
}

// A process has one Broker. Without a Dir, its steps get tokens but no files.
func ExampleNew() {
	b, err := broker.New(broker.Config{
		Issuer: exampleIssuer(),
		Connectors: broker.ConnectorMap{
			{Account: "acme", ID: "vault"}: {Audiences: []string{"https://vault.example.com"}},
		},
	})
	fmt.Println(b != nil, err)
	_, err = broker.New(broker.Config{Connectors: broker.ConnectorMap{}})
	fmt.Println(err)
	// Output:
	// true <nil>
	// broker: Config.Issuer is required
}

// The Scope describes where the step runs. It has no audience, profile or connector, because
// the broker sets them for each token.
func ExampleBroker_NewStep() {
	b, err := broker.New(broker.Config{Issuer: exampleIssuer(), Connectors: broker.ConnectorMap{}})
	if err != nil {
		log.Fatal(err)
	}
	variables := map[string]string{"variables.region": "eu"}
	step, err := b.NewStep(broker.StepConfig{
		Scope: oidctoken.Scope{Account: oidctoken.Entity{ID: "acme"}, Stage: oidctoken.CI{ID: "build"}},
		Variables: map[string]func(string) (string, bool){
			"stage": func(path string) (string, bool) { v, ok := variables[path]; return v, ok },
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer step.Close()
	fmt.Println(step.Expand(context.Background(), "deploy to <+stage.variables.region>"))

	_, err = b.NewStep(broker.StepConfig{Scope: oidctoken.Scope{Account: oidctoken.Entity{ID: "acme"}, Audience: "https://x.example.com"}})
	fmt.Println(err)
	// Output:
	// deploy to eu <nil>
	// broker: StepConfig.Scope has an Audience, a Profile or a Connector, which only connectors may set
}

func ExampleStep_Expand() {
	step, remove := exampleStep()
	defer remove()
	text, err := step.Expand(context.Background(), `Authorization: Bearer <+secrets.getJWT("account.vault")>`)
	if err != nil {
		log.Fatal(err)
	}
	claims := payload(strings.TrimPrefix(text, "Authorization: Bearer "))
	fmt.Println(claims["sub"], "to", claims["aud"])

	_, err = step.Expand(context.Background(), `<+secrets.getJWT("account.valut")>`)
	fmt.Println(err, errors.Is(err, broker.ErrNoConnector))
	// Output:
	// account/acme:org/payments:project/ledger to https://vault.example.com
	// expr: line 1, column 3: secrets.getJWT: failed: broker: connector account.valut: no such connector in account acme; did you mean account.vault? true
}

// A manager can show the claims and audiences of a step's tokens before the step runs.
func ExampleStep_Preview() {
	step, remove := exampleStep()
	defer remove()
	uses, err := step.Preview(context.Background(), `
		vault login token=<+secrets.getJWT("account.vault")>
		export CLOUDSDK_AUTH_ACCESS_TOKEN=<+secrets.getGCPAccessToken("account.gcp_prod")>`)
	if err != nil {
		log.Fatal(err)
	}
	for _, u := range uses {
		stage, _ := u.Claims.Get("stage_type")
		fmt.Println(u.Connector, u.Audience, stage)
	}
	// Output:
	// account.vault https://vault.example.com CI
	// account.gcp_prod https://gcp.example.com CI
}

func ExampleStep_PreviewConnector() {
	step, remove := exampleStep()
	defer remove()
	use, err := step.PreviewConnector(context.Background(), "account.gcp_prod")
	fmt.Println(use.Connector, use.Audience, err)
	// Output: account.gcp_prod https://gcp.example.com <nil>
}

// Deliver writes files in the step's directory and adds variables that point to them.
func ExampleStep_Deliver() {
	step, remove := exampleStep()
	defer remove()
	if err := step.Deliver(context.Background(), "account.gcp_prod"); err != nil {
		log.Fatal(err)
	}
	for _, v := range step.Environ() {
		name, value, _ := strings.Cut(v, "=")
		kind := "of the endpoint"
		if info, err := os.Stat(value); err == nil {
			kind = info.Mode().String()
		} else if filepath.IsAbs(value) {
			kind = "yet to be made"
		}
		fmt.Println(name, kind)
	}
	// Output:
	// ACTIONS_ID_TOKEN_REQUEST_TOKEN of the endpoint
	// ACTIONS_ID_TOKEN_REQUEST_URL of the endpoint
	// CLOUDSDK_CONFIG drwx------
	// DOCKER_CONFIG drwx------
	// GOOGLE_APPLICATION_CREDENTIALS -rw-------
	// HELM_CACHE_HOME drwx------
	// HELM_CONFIG_HOME drwx------
	// HELM_REGISTRY_CONFIG yet to be made
	// HELM_REPOSITORY_CACHE drwx------
	// HELM_REPOSITORY_CONFIG yet to be made
	// KUBECONFIG yet to be made
	// NO_PROXY of the endpoint
	// OIDCTOKEN_HEADER_FILE -rw-------
	// OIDCTOKEN_URL of the endpoint
	// REGISTRY_AUTH_FILE -rw-------
	// no_proxy of the endpoint
}

// Add Environ to the other variables of the step's command.
func ExampleStep_Environ() {
	step, remove := exampleStep()
	defer remove()
	fmt.Println(len(step.Environ()))
	if err := step.Deliver(context.Background(), "account.gcp_prod"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(step.Environ()))
	// Output:
	// 0
	// 16
}

// The step's own NO_PROXY stays and gets the endpoint's hosts in addition.
func ExampleStep_NoProxy() {
	step, remove := exampleStep()
	defer remove()
	if err := step.Deliver(context.Background(), "account.gcp_prod"); err != nil {
		log.Fatal(err)
	}
	env := []string{"HTTP_PROXY=http://proxy.example.com:3128", "NO_PROXY=.example.com"}
	for _, variable := range step.NoProxy(append(env, step.Environ()...)) {
		if strings.Contains(variable, "PROXY") || strings.Contains(variable, "proxy") {
			fmt.Println(variable)
		}
	}
	// Output:
	// HTTP_PROXY=http://proxy.example.com:3128
	// NO_PROXY=.example.com,127.0.0.1,localhost
	// no_proxy=.example.com,127.0.0.1,localhost
}

func ExampleStep_WriteFile() {
	step, remove := exampleStep()
	defer remove()
	path, err := step.WriteFile(context.Background(), "etc/vault.jwt", `<+secrets.getJWT("account.vault")>`)
	if err != nil {
		log.Fatal(err)
	}
	jwt, err := os.ReadFile(path) // fresh at every read while the step runs
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(payload(string(jwt))["connector_id"])

	_, err = step.WriteFile(context.Background(), "../etc/passwd", "root")
	fmt.Println(err)
	// Output:
	// vault
	// broker: the file name "../etc/passwd" is not a plain relative path outside .oidctoken
}

func ExampleStep_Dir() {
	step, remove := exampleStep()
	defer remove()
	dir, err := step.Dir()
	if err != nil {
		log.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(filepath.IsAbs(dir), info.Mode())
	// Output: true drwx------
}

func ExampleStep_Mask() {
	step, remove := exampleStep()
	defer remove()
	token, err := step.Expand(context.Background(), `<+secrets.getGCPAccessToken("account.gcp_prod")>`)
	if err != nil {
		log.Fatal(err)
	}
	w := step.Mask(os.Stdout)
	fmt.Fprintln(w, "the step prints", token)
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	// Output: the step prints ***
}

func ExampleStep_Close() {
	step, remove := exampleStep()
	defer remove()
	dir, err := step.Dir()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(step.Close())
	_, err = os.Stat(dir)
	fmt.Println(errors.Is(err, os.ErrNotExist))
	_, err = step.WriteFile(context.Background(), "late", "text")
	fmt.Println(err)
	// Output:
	// <nil>
	// true
	// broker: the step is closed
}

// A host purges a connector after it has revoked or changed it.
func ExampleBroker_Purge() {
	key := broker.ConnectorKey{Account: "acme", ID: "vault"}
	b, err := broker.New(broker.Config{
		Issuer:     exampleIssuer(),
		Connectors: broker.ConnectorMap{key: {Audiences: []string{"https://vault.example.com"}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	b.Purge(key)
	fmt.Printf("%+v\n", b.Stats())
	// Output: {Tokens:{Entries:0 Hits:0 Misses:0} Credentials:{Entries:0 Bytes:0 Hits:0 Misses:0}}
}

func ExampleBroker_Stats() {
	b, err := broker.New(broker.Config{Issuer: exampleIssuer(), Connectors: broker.ConnectorMap{}})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	fmt.Println(b.Stats().Tokens.Entries)
	// Output: 0
}

// Close the steps first, and then the broker.
func ExampleBroker_Close() {
	b, err := broker.New(broker.Config{Issuer: exampleIssuer(), Connectors: broker.ConnectorMap{}})
	if err != nil {
		log.Fatal(err)
	}
	b.Close()
	b.Close() // may be called more than once
	// Output:
}
