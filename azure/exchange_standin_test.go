package azure_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/azure"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/oidctokentest/entratest"
)

const ledger = "account/acme:org/payments:project/ledger"

// standIn returns an Entra that admits the project ledger of an issuer.
func standIn(t *testing.T) (*entratest.Server, *oidctokentest.Issuer, string) {
	t.Helper()
	issuer := oidctokentest.NewIssuer(t)
	entra, err := entratest.New(entratest.Config{
		TenantID: tenant,
		Domain:   "acme.onmicrosoft.com",
		Applications: []entratest.Application{{
			ClientID:             client,
			FederatedCredentials: []entratest.FederatedCredential{{Issuer: issuer.URL, Subject: ledger}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(entra)
	t.Cleanup(server.Close)
	return entra, issuer, server.URL
}

// mints returns the source of JWTs of an execution in a project.
func mints(issuer *oidctoken.Issuer, profile oidctoken.Profile, project string) exchange.SubjectToken {
	return func(ctx context.Context, audience string) (string, error) {
		token, err := issuer.Mint(ctx, oidctoken.Scope{
			Audience: audience, Profile: &profile,
			Account: oidctoken.Entity{ID: "acme"}, Organization: oidctoken.Entity{ID: "payments"}, Project: oidctoken.Entity{ID: project},
		})
		if err != nil {
			return "", err
		}
		return token.JWT(), nil
	}
}

// From a Scope to an access token, with everything verified that Entra
// verifies: X11
func TestEntra(t *testing.T) {
	entra, issuer, url := standIn(t)
	for _, tt := range []struct {
		name     string
		config   azure.Config
		scopes   []string
		resource string
	}{
		{"default", azure.Config{}, nil, "https://management.azure.com"},
		{"domain", azure.Config{TenantID: "acme.onmicrosoft.com"}, nil, "https://management.azure.com"},
		{"configured scope", azure.Config{Scopes: []string{"https://vault.azure.net/.default"}}, nil, "https://vault.azure.net"},
		{"requested scope", azure.Config{}, []string{"https://storage.azure.com//.default"}, "https://storage.azure.com/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := exchangerFor(t, tt.config, url)
			start := time.Now()
			credential, err := e.Exchange(t.Context(), exchange.Request{Subject: mints(issuer.Issuer, e.Profile(), "ledger"), Scopes: tt.scopes})
			if err != nil {
				t.Fatal(err)
			}
			grant, ok := entra.Lookup(credential.Value("AZURE_ACCESS_TOKEN"))
			want := entratest.Identity{TenantID: tenant, ClientID: client, Issuer: issuer.URL, Subject: ledger, Resource: tt.resource}
			if diff := cmp.Diff(want, grant, cmpopts.IgnoreFields(grant, "Expires")); diff != "" || !ok {
				t.Errorf("the grant %v (-want +got):\n%s", ok, diff)
			}
			if credential.Expires().After(grant.Expires) || credential.Expires().Before(start.Add(3590*time.Second)) {
				t.Errorf("the credential ends at %v, and the token at %v", credential.Expires(), grant.Expires)
			}
		})
	}
}

func exchangerFor(t *testing.T, c azure.Config, url string) *azure.Exchanger {
	t.Helper()
	if c.TenantID == "" {
		c.TenantID = tenant
	}
	if c.ClientID == "" {
		c.ClientID = client
	}
	c.AuthorityHost = url
	e, err := azure.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A refusal by Entra has its code and a hint.
func TestEntraRefuses(t *testing.T) {
	_, issuer, url := standIn(t)
	other := oidctokentest.NewIssuer(t)
	const another = "99999999-9999-9999-9999-999999999999"
	for _, tt := range []struct {
		name        string
		config      azure.Config
		issuer      *oidctokentest.Issuer
		project     string
		scopes      []string
		status      int
		code        string
		description string // its beginning
		hint        string // words of it
	}{
		{"another tenant", azure.Config{TenantID: another}, issuer, "ledger", nil, http.StatusBadRequest, "invalid_request",
			"AADSTS90002: Tenant '" + another + "' not found.", "check that tenant " + another + " exists"},
		{"another application", azure.Config{ClientID: another}, issuer, "ledger", nil, http.StatusBadRequest, "unauthorized_client",
			"AADSTS700016: Application with identifier '" + another + "' was not found in the directory '" + tenant + "'.", "not the object id"},
		{"another resource", azure.Config{}, issuer, "ledger", []string{"https://other.example.com/.default"}, http.StatusBadRequest, "invalid_resource",
			"AADSTS500011: The resource principal named https://other.example.com was not found", "names a resource"},
		{"another issuer", azure.Config{}, other, "ledger", nil, http.StatusUnauthorized, "invalid_client",
			"AADSTS700211: No matching federated identity record found for presented assertion issuer '" + other.URL + "'.", "issuer is " + other.URL},
		{"another audience", azure.Config{Audience: "other"}, issuer, "ledger", nil, http.StatusUnauthorized, "invalid_client",
			"AADSTS700212: No matching federated identity record found for presented assertion audience 'other'.", "audience is other"},
		{"another project", azure.Config{}, issuer, "web", nil, http.StatusUnauthorized, "invalid_client",
			"AADSTS700213: No matching federated identity record found for presented assertion subject 'account/acme:org/payments:project/web'.", "no wildcards"},
		{"letter case", azure.Config{}, issuer, "Ledger", nil, http.StatusUnauthorized, "invalid_client",
			"AADSTS7002138: No matching federated identity record found for presented assertion subject 'account/acme:org/payments:project/Ledger'.", "differs only by letter case"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := exchangerFor(t, tt.config, url)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // the test does not wait for a retry that allows for propagation
			defer cancel()
			_, err := e.Exchange(ctx, exchange.Request{Subject: mints(tt.issuer.Issuer, e.Profile(), tt.project), Scopes: tt.scopes})
			var got *exchange.Error
			if !errors.As(err, &got) {
				t.Fatalf("Exchange: %v, want an *exchange.Error", err)
			}
			if got.Status != tt.status || got.Code != tt.code || !strings.HasPrefix(got.Description, tt.description) {
				t.Errorf("Exchange: %v\nwant %s (%d): %s", err, tt.code, tt.status, tt.description)
			}
			if !strings.Contains(got.Hint, tt.hint) {
				t.Errorf("the hint is %q, want one with %q", got.Hint, tt.hint)
			}
		})
	}
}

// A federated credential that Entra does not know everywhere yet is waited for.
func TestEntraPropagation(t *testing.T) {
	shared := oidctokentest.NewKey(t, "RS256")
	synctest.Test(t, func(t *testing.T) {
		issuer, err := oidctoken.NewIssuer(oidctoken.Config{URL: "https://ci.example.com", Keys: oidctoken.StaticKeys{shared}})
		if err != nil {
			t.Fatal(err)
		}
		entra, err := entratest.New(entratest.Config{
			TenantID: tenant,
			Applications: []entratest.Application{{ClientID: client, FederatedCredentials: []entratest.FederatedCredential{
				{Issuer: "https://ci.example.com", Subject: ledger, VisibleAfter: 3},
			}}},
			Transport: cloudtest.InProcess{Handler: issuer},
		})
		if err != nil {
			t.Fatal(err)
		}
		e := newExchanger(t, entra, azure.Config{})
		begin := time.Now()
		if _, err := e.Exchange(t.Context(), exchange.Request{Subject: mints(issuer, e.Profile(), "ledger")}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 15*time.Second || took > 20*time.Second {
			t.Errorf("took %s, want three waits of 5 s", took)
		}
		if n := entra.Requests("/" + tenant + "/oauth2/v2.0/token"); n != 4 {
			t.Errorf("%d requests, want 4", n)
		}
	})
}
