package entratest_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest/entratest"
)

// A program that serves the stand-in, and exchanges a JWT as a client of Entra
// does.
func ExampleNew() {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL: "http://" + server.Listener.Addr().String(), Keys: oidctoken.StaticKeys{{Signer: signer}},
	})
	if err != nil {
		log.Fatal(err)
	}
	server.Config.Handler = issuer
	server.Start()
	defer server.Close()

	entra, err := entratest.New(entratest.Config{
		TenantID: "11111111-2222-3333-4444-555555555555",
		Applications: []entratest.Application{{
			ClientID:             "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
			FederatedCredentials: []entratest.FederatedCredential{{Issuer: server.URL, Subject: "account/acme"}},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	cloud := httptest.NewServer(entra)
	defer cloud.Close()

	token, err := issuer.Mint(context.Background(), oidctoken.Scope{
		Audience: "api://AzureADTokenExchange", Account: oidctoken.Entity{ID: "acme"},
	})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := cloud.Client().PostForm(cloud.URL+"/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token", url.Values{
		"grant_type":            {"client_credentials"},
		"client_id":             {"aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"},
		"scope":                 {"https://management.azure.com/.default"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {token.JWT()},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
		log.Fatal(err)
	}
	grant, _ := entra.Lookup(got.AccessToken)
	fmt.Println(grant.ClientID, grant.Subject, grant.Resource)
	// Output: aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee account/acme https://management.azure.com
}

func exampleEntra() *entratest.Server {
	entra, err := entratest.New(entratest.Config{
		TenantID:     "11111111-2222-3333-4444-555555555555",
		Applications: []entratest.Application{{ClientID: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return entra
}

// An additional API of Azure for a test.
func ExampleServer_Require() {
	subscriptions := exampleEntra().Require("https://management.azure.com", func(w http.ResponseWriter, _ *http.Request, grant entratest.Identity) {
		fmt.Fprintln(w, "the subscriptions of", grant.ClientID)
	})
	w := httptest.NewRecorder()
	subscriptions.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/subscriptions", nil))
	fmt.Println(w.Code, w.Body)
	// Output: 401 {"error":{"code":"AuthenticationFailed","message":"Authentication failed. The 'Authorization' header is missing."}}
}

func ExampleServer_Lookup() {
	_, live := exampleEntra().Lookup("eyJ0.unknown")
	fmt.Println(live)
	// Output: false
}

func ExampleServer_Requests() {
	entra := exampleEntra()
	w := httptest.NewRecorder()
	entra.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/common/oauth2/v2.0/token", nil))
	fmt.Println(w.Code, entra.Requests("/common/oauth2/v2.0/token"))
	// Output: 400 1
}
