package azcred_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/azure"
	"github.com/oidctoken/oidctoken/azure/azcred"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/oidctokentest/entratest"
)

const (
	tenant   = "11111111-2222-3333-4444-555555555555"
	client   = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
	arm      = "https://management.azure.com"
	armScope = arm + "/.default"
	ledger   = "account/acme:org/payments:project/ledger"
)

// standIn is an Entra and an API, behind TLS, that admit the project ledger of an
// issuer.
type standIn struct {
	entra  *entratest.Server
	issuer *oidctokentest.Issuer
	server *httptest.Server
}

func newStandIn(t *testing.T) *standIn {
	t.Helper()
	c := &standIn{issuer: oidctokentest.NewIssuer(t)}
	var err error
	if c.entra, err = entratest.New(entratest.Config{
		TenantID: tenant,
		Applications: []entratest.Application{{
			ClientID:             client,
			FederatedCredentials: []entratest.FederatedCredential{{Issuer: c.issuer.URL, Subject: ledger}},
		}},
	}); err != nil {
		t.Fatal(err)
	}
	api := c.entra.Require(arm, func(w http.ResponseWriter, _ *http.Request, grant entratest.Identity) {
		fmt.Fprint(w, grant.Subject)
	})
	c.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/subscriptions" {
			api.ServeHTTP(w, r)
			return
		}
		c.entra.ServeHTTP(w, r)
	}))
	t.Cleanup(c.server.Close)
	return c
}

func (c *standIn) exchanger(t *testing.T) *azure.Exchanger {
	t.Helper()
	e, err := azure.New(azure.Config{
		TenantID: tenant, ClientID: client, AuthorityHost: c.server.URL, Transport: c.server.Client().Transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// mints returns the source of JWTs of an execution in a project.
func (c *standIn) mints(t *testing.T, project string) exchange.SubjectToken {
	profile := c.exchanger(t).Profile()
	return func(ctx context.Context, audience string) (string, error) {
		token, err := c.issuer.Mint(ctx, oidctoken.Scope{
			Audience: audience, Profile: &profile,
			Account: oidctoken.Entity{ID: "acme"}, Organization: oidctoken.Entity{ID: "payments"}, Project: oidctoken.Entity{ID: project},
		})
		if err != nil {
			return "", err
		}
		return token.JWT(), nil
	}
}

// checkToken requires an access token of the stand-in, for the Azure Resource
// Manager.
func (c *standIn) checkToken(t *testing.T, token string) {
	t.Helper()
	grant, ok := c.entra.Lookup(token)
	want := entratest.Identity{
		TenantID: tenant, ClientID: client, Issuer: c.issuer.URL, Subject: ledger, Resource: arm, Expires: grant.Expires,
	}
	if diff := cmp.Diff(want, grant); diff != "" || !ok {
		t.Errorf("the grant %v (-want +got):\n%s", ok, diff)
	}
}

func TestGetToken(t *testing.T) {
	c := newStandIn(t)
	begin := time.Now()
	got, err := azcred.New(c.exchanger(t), exchange.Request{Subject: c.mints(t, "ledger")}).GetToken(t.Context(), policy.TokenRequestOptions{
		Scopes: []string{armScope}, TenantID: strings.ToUpper(tenant), EnableCAE: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.checkToken(t, got.Token)
	grant, _ := c.entra.Lookup(got.Token)
	if got.ExpiresOn.After(grant.Expires) || got.ExpiresOn.Before(begin.Add(59*time.Minute)) || !got.RefreshOn.IsZero() {
		t.Errorf("ExpiresOn = %s, RefreshOn = %s; the grant ends at %s", got.ExpiresOn, got.RefreshOn, grant.Expires)
	}
}

// The unchanged pipeline of the SDK's clients authenticates with the
// credential, and requests one token only.
func TestClientOfTheSDK(t *testing.T) {
	c := newStandIn(t)
	credential := azcred.New(c.exchanger(t), exchange.Request{Subject: c.mints(t, "ledger")})
	pipeline := runtime.NewPipeline("test", "v1", runtime.PipelineOptions{
		PerRetry: []policy.Policy{runtime.NewBearerTokenPolicy(credential, []string{armScope}, nil)},
	}, &policy.ClientOptions{Transport: c.server.Client()})
	for range 2 {
		r, err := runtime.NewRequest(t.Context(), http.MethodGet, c.server.URL+"/subscriptions")
		if err != nil {
			t.Fatal(err)
		}
		answer, err := pipeline.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK || string(body) != ledger {
			t.Errorf("the API answered %d, %s (%v)", answer.StatusCode, body, err)
		}
	}
	if n := c.entra.Requests("/" + tenant + "/oauth2/v2.0/token"); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

func TestGetTokenRefuses(t *testing.T) {
	c := newStandIn(t)
	good := exchange.Request{Subject: c.mints(t, "ledger")}
	scopes := []string{armScope}
	for _, tt := range []struct {
		name    string
		request exchange.Request
		options policy.TokenRequestOptions
		want    oidctoken.ConfigError
	}{
		{"no scope", good, policy.TokenRequestOptions{}, oidctoken.ConfigError{Package: "azure", Field: "TokenRequestOptions.Scopes", Reason: "is required"}},
		{"two scopes", good, policy.TokenRequestOptions{Scopes: []string{armScope, "https://vault.azure.net/.default"}},
			oidctoken.ConfigError{Package: "azure", Field: "Request.Scopes", Reason: "has more than one: a token is for one resource"}},
		{"claims challenge", good, policy.TokenRequestOptions{Scopes: scopes, Claims: `{"access_token":{"nbf":{"essential":true}}}`},
			oidctoken.ConfigError{Package: "azure", Field: "TokenRequestOptions.Claims", Reason: "holds a claims challenge, which this credential does not answer:" +
				" look for a conditional access policy or a revocation that concerns the application"}},
		{"other tenant", good, policy.TokenRequestOptions{Scopes: scopes, TenantID: client},
			oidctoken.ConfigError{Package: "azure", Field: "TokenRequestOptions.TenantID", Reason: "differs from the Exchanger's: make another Exchanger for it"}},
		{"scopes in the request", exchange.Request{Subject: good.Subject, Scopes: scopes}, policy.TokenRequestOptions{Scopes: scopes},
			oidctoken.ConfigError{Package: "azure", Field: "Request.Scopes", Reason: "is not nil: each client of the SDK names its own"}},
		{"no subject", exchange.Request{}, policy.TokenRequestOptions{Scopes: scopes}, oidctoken.ConfigError{Package: "azure", Field: "Request.Subject", Reason: "is required"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token, err := azcred.New(c.exchanger(t), tt.request).GetToken(t.Context(), tt.options)
			var got *oidctoken.ConfigError
			errors.As(err, &got)
			if diff := cmp.Diff(&tt.want, got); diff != "" || token != (azcore.AccessToken{}) {
				t.Errorf("GetToken = %v (-want +got):\n%s", token.ExpiresOn, diff)
			}
		})
	}
	if n := c.entra.Requests("/" + tenant + "/oauth2/v2.0/token"); n != 0 {
		t.Errorf("%d token requests, want none", n)
	}
}

// A refusal by Entra is an *exchange.Error, as without the SDK.
func TestGetTokenFails(t *testing.T) {
	c := newStandIn(t)
	e, err := azure.New(azure.Config{TenantID: tenant, ClientID: tenant, AuthorityHost: c.server.URL, Transport: c.server.Client().Transport})
	if err != nil {
		t.Fatal(err)
	}
	_, err = azcred.New(e, exchange.Request{Subject: c.mints(t, "ledger")}).GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{armScope}})
	var got *exchange.Error
	if !errors.As(err, &got) || got.Status != http.StatusBadRequest || !strings.HasPrefix(got.Description, "AADSTS700016: ") {
		t.Errorf("GetToken: %v, want an *exchange.Error with AADSTS700016", err)
	}
}

// respond is a transport that gives one answer, in place of Entra.
type respond string

func (body respond) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	_, err := io.WriteString(w, string(body))
	return w.Result(), err
}

func ExampleNew() {
	e, err := azure.New(azure.Config{
		TenantID: "11111111-2222-3333-4444-555555555555", ClientID: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
		Transport: respond(`{"token_type":"Bearer","expires_in":3599,"access_token":"eyJ0.access.token"}`),
	})
	if err != nil {
		log.Fatal(err)
	}
	credential := azcred.New(e, exchange.Request{Subject: mint}) // mint asks the platform's issuer
	// Pass it to clients of the SDK: armsubscriptions.NewClient(credential, nil).
	token, err := credential.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{"https://management.azure.com/.default"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Token, time.Until(token.ExpiresOn) > 59*time.Minute)
	// Output: eyJ0.access.token true
}
