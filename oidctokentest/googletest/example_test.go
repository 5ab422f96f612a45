package googletest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest/googletest"
	"github.com/oidctoken/oidctoken/oidctokentest/internal/standintest"
)

// A program that serves the stand-in, and exchanges a JWT as a client of Google
// does.
func ExampleNew() {
	issuer, server := standintest.ServeIssuer()
	defer server.Close()
	const provider = "projects/123/locations/global/workloadIdentityPools/ci/providers/acme"
	google, err := googletest.New(googletest.Config{
		Providers: []googletest.Provider{{
			Name:               provider,
			Issuer:             server.URL,
			AttributeMapping:   map[string]string{"google.subject": "assertion.sub", "attribute.project": "assertion.project_id"},
			AttributeCondition: "assertion.account_id == 'acme'",
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	cloud := httptest.NewServer(google)
	defer cloud.Close()

	token, err := issuer.Mint(context.Background(), oidctoken.Scope{
		Audience: "https://iam.googleapis.com/" + provider,
		Account:  oidctoken.Entity{ID: "acme"}, Organization: oidctoken.Entity{ID: "payments"}, Project: oidctoken.Entity{ID: "ledger"},
	})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := cloud.Client().PostForm(cloud.URL+"/v1/token", url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"audience":             {"//iam.googleapis.com/" + provider},
		"scope":                {"https://www.googleapis.com/auth/cloud-platform"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"subject_token":        {token.JWT()},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:jwt"},
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
	grant, _ := google.Lookup(got.AccessToken)
	fmt.Println(grant.Principal)
	fmt.Println(grant.Attributes["attribute.project"])
	// Output:
	// principal://iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/ci/subject/account/acme:org/payments:project/ledger
	// ledger
}

func exampleGoogle() *googletest.Server {
	google, err := googletest.New(googletest.Config{
		Providers: []googletest.Provider{{
			Name:   "projects/123/locations/global/workloadIdentityPools/ci/providers/acme",
			Issuer: "https://issuer.example.com",
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return google
}

// An additional API of Google for a test.
func ExampleServer_Require() {
	google := exampleGoogle()
	buckets := google.Require(func(w http.ResponseWriter, _ *http.Request, grant googletest.Identity) {
		fmt.Fprintln(w, "the buckets of", grant.Principal)
	})
	w := httptest.NewRecorder()
	buckets.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/storage/v1/b", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output: 401 Bearer realm="https://accounts.google.com/"
}

func ExampleServer_Lookup() {
	_, live := exampleGoogle().Lookup("ya29.unknown")
	fmt.Println(live)
	// Output: false
}

func ExampleServer_Requests() {
	google := exampleGoogle()
	w := httptest.NewRecorder()
	google.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/token", nil))
	fmt.Println(w.Code, google.Requests("/v1/token"))
	// Output: 400 1
}
