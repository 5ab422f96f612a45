package azure_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"log"
	"maps"
	"slices"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/azure"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

// newIssuer replaces the platform's issuer. It has a key of the one algorithm
// that Entra accepts.
func newIssuer() *oidctoken.Issuer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		log.Fatal(err)
	}
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{URL: "https://ci.example.com/oidc", Keys: oidctoken.StaticKeys{{Signer: signer}}})
	if err != nil {
		log.Fatal(err)
	}
	return issuer
}

// subjectOf mints JWTs for one execution, with e's audience and profile.
func subjectOf(issuer *oidctoken.Issuer, e *azure.Exchanger) exchange.SubjectToken {
	profile := e.Profile()
	return func(ctx context.Context, audience string) (string, error) {
		token, err := issuer.Mint(ctx, oidctoken.Scope{Audience: audience, Profile: &profile, Account: oidctoken.Entity{ID: "acme"}})
		if err != nil {
			return "", err
		}
		return token.JWT(), nil
	}
}

// newExample returns an Exchanger whose requests answers serve in this
// process, in place of Entra.
func newExample(c azure.Config, answers ...answer) *azure.Exchanger {
	c.TenantID, c.ClientID = "11111111-2222-3333-4444-555555555555", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
	c.Transport = cloudtest.InProcess{Handler: &entra{answers: answers}}
	e, err := azure.New(c)
	if err != nil {
		log.Fatal(err)
	}
	return e
}

func ExampleNew() {
	_, err := azure.New(azure.Config{TenantID: "common", ClientID: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"})
	var bad *oidctoken.ConfigError
	if errors.As(err, &bad) {
		fmt.Println(bad.Field)
	}
	fmt.Println(err)
	// Output:
	// TenantID
	// azure: TenantID is neither the GUID nor a verified domain of a tenant
}

func ExampleExchanger_Exchange() {
	e := newExample(azure.Config{}, granted("eyJ0.access.token"))
	credential, err := e.Exchange(context.Background(), exchange.Request{Subject: subjectOf(newIssuer(), e)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(slices.Sorted(maps.Keys(credential.Env())))
	fmt.Println(time.Until(credential.Expires()) > 59*time.Minute)
	// Output:
	// [AZURE_ACCESS_TOKEN]
	// true
}

// A refusal by Entra has a hint for the administrator of the connector.
func ExampleExchanger_Exchange_refused() {
	e := newExample(azure.Config{}, refused(400, "unauthorized_client", 700016, "Application was not found."))
	_, err := e.Exchange(context.Background(), exchange.Request{Subject: subjectOf(newIssuer(), e)})
	var refused *exchange.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Op, refused.Status, refused.Code, refused.Temporary())
		fmt.Println(refused.Hint)
	}
	// Output:
	// entra:token 400 unauthorized_client false
	// check that application aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee exists in tenant 11111111-2222-3333-4444-555555555555: ClientID is the application (client) id, not the object id
}

func ExampleExchanger_Profile() {
	profile := newExample(azure.Config{}).Profile()
	fmt.Println(profile.Algorithms, profile.Lifetime, profile.MaxSubject)
	// Output: [RS256] 30m0s 255
}

func ExampleExchanger_Audience() {
	fmt.Println(newExample(azure.Config{}).Audience())
	fmt.Println(newExample(azure.Config{AuthorityHost: "https://login.microsoftonline.us"}).Audience())
	// Output:
	// api://AzureADTokenExchange
	// api://AzureADTokenExchangeUSGov
}

func ExampleExchanger_Config() {
	c := newExample(azure.Config{}).Config()
	fmt.Println(c.AuthorityHost, c.Scopes)
	// Output: https://login.microsoftonline.com [https://management.azure.com/.default]
}

func ExampleExchanger_Cloud() {
	fmt.Println(newExample(azure.Config{}).Cloud())
	// Output: azure
}

func ExampleExchanger_Bundle() {
	bundle, err := newExample(azure.Config{}).Bundle("/run/step", "/run/step/jwt")
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(bundle.Env)) {
		fmt.Println(name + "=" + bundle.Env[name])
	}
	fmt.Println(bundle.Dirs)
	// Output:
	// ARM_CLIENT_ID=aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee
	// ARM_OIDC_TOKEN_FILE_PATH=/run/step/jwt
	// ARM_TENANT_ID=11111111-2222-3333-4444-555555555555
	// ARM_USE_OIDC=true
	// AZURE_AUTHORITY_HOST=https://login.microsoftonline.com
	// AZURE_CLIENT_ID=aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee
	// AZURE_CONFIG_DIR=/run/step/azure
	// AZURE_FEDERATED_TOKEN_FILE=/run/step/jwt
	// AZURE_TENANT_ID=11111111-2222-3333-4444-555555555555
	// [azure]
}

func ExampleConfigError_Error() {
	_, err := newExample(azure.Config{}).Bundle("/run/step", "jwt")
	fmt.Println(err)
	// Output: azure: tokenFile is not an absolute path
}
