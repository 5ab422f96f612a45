package oidctokentest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// serveIssuer is a host's issuer.
func serveIssuer() (*oidctoken.Issuer, *httptest.Server) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL:     "http://" + server.Listener.Addr().String(),
		Keys:    oidctoken.StaticKeys{{Signer: signer}},
		Profile: oidctoken.Profile{Algorithms: []string{"ES256"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	server.Config.Handler = issuer
	server.Start()
	return issuer, server
}

// A program that serves the stand-in, and exchanges a JWT as a client of Google
// does.
func ExampleNewGoogle() {
	issuer, server := serveIssuer()
	defer server.Close()
	const provider = "projects/123/locations/global/workloadIdentityPools/ci/providers/acme"
	google, err := oidctokentest.NewGoogle(oidctokentest.GoogleConfig{
		Providers: []oidctokentest.GoogleProvider{{
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

func exampleGoogle() *oidctokentest.Google {
	google, err := oidctokentest.NewGoogle(oidctokentest.GoogleConfig{
		Providers: []oidctokentest.GoogleProvider{{
			Name:   "projects/123/locations/global/workloadIdentityPools/ci/providers/acme",
			Issuer: "https://issuer.example.com",
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return google
}

// An API of Google that a test needs besides.
func ExampleGoogle_Require() {
	google := exampleGoogle()
	buckets := google.Require(func(w http.ResponseWriter, _ *http.Request, grant oidctokentest.GoogleGrant) {
		fmt.Fprintln(w, "the buckets of", grant.Principal)
	})
	w := httptest.NewRecorder()
	buckets.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/storage/v1/b", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output: 401 Bearer realm="https://accounts.google.com/"
}

func ExampleGoogle_Lookup() {
	_, live := exampleGoogle().Lookup("ya29.unknown")
	fmt.Println(live)
	// Output: false
}

func ExampleGoogle_Requests() {
	google := exampleGoogle()
	w := httptest.NewRecorder()
	google.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/token", nil))
	fmt.Println(w.Code, google.Requests("/v1/token"))
	// Output: 400 1
}

func ExampleNewIssuer() {
	// As a func TestX(t *testing.T) of its own.
	_ = func(t *testing.T) {
		issuer := oidctokentest.NewIssuer(t, func(c *oidctoken.Config) {
			c.Keys = append(c.Keys.(oidctoken.StaticKeys), oidctokentest.NewKey(t, "EdDSA"))
		})
		answer, err := issuer.Client.Get(issuer.URL + "/.well-known/openid-configuration")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if _, err := io.ReadAll(answer.Body); err != nil {
			t.Fatal(err)
		}
	}
	// Output:
}

func ExampleNewKey() {
	_ = func(t *testing.T) {
		// A key that has left the issuer, as a rotation makes it.
		key := oidctokentest.NewKey(t, "ES384")
		key.Expires = time.Now()
	}
	// Output:
}

func ExampleTestSigner() {
	_ = func(t *testing.T) {
		oidctokentest.TestSigner(t, func(t *testing.T) oidctoken.Signer {
			return oidctokentest.NewKey(t, "ES256").Signer // in place of the Signer under test
		})
	}
	// Output:
}

func ExampleTestExchanger() {
	_ = func(t *testing.T) {
		oidctokentest.TestExchanger(t, oidctokentest.ExchangerTest{
			New: func(_ *testing.T, endpoint string, transport http.RoundTripper) exchange.Exchanger {
				return &sample{endpoint: endpoint, transport: transport} // in place of the Exchanger under test
			},
			Answer: func(_ *http.Request, value string, lifetime time.Duration) oidctokentest.CloudAnswer {
				body, err := json.Marshal(map[string]any{"token": value, "expires_in": int64(lifetime / time.Second)})
				if err != nil {
					t.Fatal(err)
				}
				return oidctokentest.CloudAnswer{Status: http.StatusOK, ContentType: "application/json", Body: string(body)}
			},
			Refusal: func(words string) oidctokentest.CloudAnswer {
				return oidctokentest.CloudAnswer{
					Status: http.StatusForbidden, ContentType: "application/json",
					Body: fmt.Sprintf(`{"words":%q}`, words),
				}
			},
		})
	}
	// Output:
}
