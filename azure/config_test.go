package azure_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/azure"
)

// X11 X13
func TestNewRefuses(t *testing.T) {
	const (
		notTenant   = "is neither the GUID nor a verified domain of a tenant"
		notClient   = "is not a GUID: it is the application (client) id, not a name or a URI"
		notDefault  = "is not RESOURCE/.default"
		withPath    = "has a path or a query: the tenant is TenantID"
		notASCII    = "is not printable ASCII without spaces"
		notLoopback = "is plain http to a host that is not loopback"
	)
	for _, tt := range []struct {
		name   string
		change func(*azure.Config)
		want   oidctoken.ConfigError
	}{
		{"no tenant", func(c *azure.Config) { c.TenantID = "" }, oidctoken.ConfigError{Package: "azure", Field: "TenantID", Reason: "is required"}},
		{"common", func(c *azure.Config) { c.TenantID = "common" }, oidctoken.ConfigError{Package: "azure", Field: "TenantID", Reason: notTenant}},
		{"organizations", func(c *azure.Config) { c.TenantID = "organizations" }, oidctoken.ConfigError{Package: "azure", Field: "TenantID", Reason: notTenant}},
		{"tenant in braces", func(c *azure.Config) { c.TenantID = "{" + tenant + "}" }, oidctoken.ConfigError{Package: "azure", Field: "TenantID", Reason: notTenant}},
		{"tenant without dashes", func(c *azure.Config) { c.TenantID = strings.ReplaceAll(tenant, "-", "") }, oidctoken.ConfigError{Package: "azure", Field: "TenantID", Reason: notTenant}},
		{"tenant with a path", func(c *azure.Config) { c.TenantID = "acme.com/x" }, oidctoken.ConfigError{Package: "azure", Field: "TenantID", Reason: notTenant}},
		{"tenant is dots", func(c *azure.Config) { c.TenantID = ".." }, oidctoken.ConfigError{Package: "azure", Field: "TenantID", Reason: notTenant}},
		{"tenant with a query", func(c *azure.Config) { c.TenantID = "acme.com?x" }, oidctoken.ConfigError{Package: "azure", Field: "TenantID", Reason: notTenant}},
		{"tenant with an escape", func(c *azure.Config) { c.TenantID = "acme%2ecom.x" }, oidctoken.ConfigError{Package: "azure", Field: "TenantID", Reason: notTenant}},
		{"tenant of dashes", func(c *azure.Config) { c.TenantID = "-acme.com" }, oidctoken.ConfigError{Package: "azure", Field: "TenantID", Reason: notTenant}},
		{"long label", func(c *azure.Config) { c.TenantID = strings.Repeat("a", 64) + ".com" }, oidctoken.ConfigError{Package: "azure", Field: "TenantID", Reason: notTenant}},
		{"long domain", func(c *azure.Config) { c.TenantID = strings.Repeat("abc.", 63) + "ab" }, oidctoken.ConfigError{Package: "azure", Field: "TenantID", Reason: notTenant}},
		{"no client", func(c *azure.Config) { c.ClientID = "" }, oidctoken.ConfigError{Package: "azure", Field: "ClientID", Reason: "is required"}},
		{"client is a URI", func(c *azure.Config) { c.ClientID = "api://" + client }, oidctoken.ConfigError{Package: "azure", Field: "ClientID", Reason: notClient}},
		{"client is no hex", func(c *azure.Config) { c.ClientID = strings.Replace(client, "a", "g", 1) }, oidctoken.ConfigError{Package: "azure", Field: "ClientID", Reason: notClient}},
		{"client with space", func(c *azure.Config) { c.ClientID = client + " " }, oidctoken.ConfigError{Package: "azure", Field: "ClientID", Reason: notClient}},
		{"client of other groups", func(c *azure.Config) { c.ClientID = "aaaaaaaaa-bbb-cccc-dddd-eeeeeeeeeeee" }, oidctoken.ConfigError{Package: "azure", Field: "ClientID", Reason: notClient}},

		{"plain http", func(c *azure.Config) { c.AuthorityHost = "http://login.example.com" }, oidctoken.ConfigError{Package: "azure", Field: "AuthorityHost", Reason: notLoopback}},
		{"like loopback", func(c *azure.Config) { c.AuthorityHost = "http://127.0.0.1.example.com" }, oidctoken.ConfigError{Package: "azure", Field: "AuthorityHost", Reason: notLoopback}},
		{"only a host", func(c *azure.Config) { c.AuthorityHost = "login.microsoftonline.com" }, oidctoken.ConfigError{Package: "azure", Field: "AuthorityHost", Reason: "is not https"}},
		{"user", func(c *azure.Config) { c.AuthorityHost = "https://a@login.example.com" }, oidctoken.ConfigError{Package: "azure", Field: "AuthorityHost", Reason: "holds user information"}},
		{"trailing dot", func(c *azure.Config) { c.AuthorityHost = "https://login.microsoftonline.com." },
			oidctoken.ConfigError{Package: "azure", Field: "AuthorityHost", Reason: "has a host that is neither a DNS name nor an address"}},
		{"path", func(c *azure.Config) { c.AuthorityHost = "https://login.microsoftonline.com/" + tenant }, oidctoken.ConfigError{Package: "azure", Field: "AuthorityHost", Reason: withPath}},
		{"two slashes", func(c *azure.Config) { c.AuthorityHost = "https://login.microsoftonline.com//" }, oidctoken.ConfigError{Package: "azure", Field: "AuthorityHost", Reason: withPath}},
		{"query", func(c *azure.Config) { c.AuthorityHost = "https://login.microsoftonline.com?x" }, oidctoken.ConfigError{Package: "azure", Field: "AuthorityHost", Reason: withPath}},
		{"fragment", func(c *azure.Config) { c.AuthorityHost = "https://login.microsoftonline.com#x" }, oidctoken.ConfigError{Package: "azure", Field: "AuthorityHost", Reason: "has a fragment"}},
		{"line break", func(c *azure.Config) { c.AuthorityHost = "https://login.microsoftonline.com\n" }, oidctoken.ConfigError{Package: "azure", Field: "AuthorityHost", Reason: "is not a URL"}},

		{"scope without .default", func(c *azure.Config) { c.Scopes = []string{"https://vault.azure.net"} }, oidctoken.ConfigError{Package: "azure", Field: "Scopes[0]", Reason: notDefault}},
		{"scope without resource", func(c *azure.Config) { c.Scopes = []string{"/.default"} }, oidctoken.ConfigError{Package: "azure", Field: "Scopes[0]", Reason: notDefault}},
		{"two in one scope", func(c *azure.Config) { c.Scopes = []string{"a b/.default"} }, oidctoken.ConfigError{Package: "azure", Field: "Scopes[0]", Reason: notDefault}},
		{"quoted scope", func(c *azure.Config) { c.Scopes = []string{`"/.default`} }, oidctoken.ConfigError{Package: "azure", Field: "Scopes[0]", Reason: notDefault}},
		{"bad second scope", func(c *azure.Config) { c.Scopes = []string{armScope, "openid"} }, oidctoken.ConfigError{Package: "azure", Field: "Scopes[1]", Reason: notDefault}},
		{"two scopes", func(c *azure.Config) { c.Scopes = []string{armScope, "https://vault.azure.net/.default"} },
			oidctoken.ConfigError{Package: "azure", Field: "Scopes", Reason: "has more than one: a token is for one resource"}},
		{"long audience", func(c *azure.Config) { c.Audience = strings.Repeat("a", 601) }, oidctoken.ConfigError{Package: "azure", Field: "Audience", Reason: "is longer than 600 characters"}},
		{"audience with space", func(c *azure.Config) { c.Audience = "a b" }, oidctoken.ConfigError{Package: "azure", Field: "Audience", Reason: notASCII}},
		{"audience with umlaut", func(c *azure.Config) { c.Audience = "ä" }, oidctoken.ConfigError{Package: "azure", Field: "Audience", Reason: notASCII}},
		{"negative timeout", func(c *azure.Config) { c.Timeout = -1 }, oidctoken.ConfigError{Package: "azure", Field: "Timeout", Reason: "is negative"}},
		{"negative budget", func(c *azure.Config) { c.Budget = -1 }, oidctoken.ConfigError{Package: "azure", Field: "Budget", Reason: "is negative"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := azure.Config{TenantID: tenant, ClientID: client}
			tt.change(&c)
			e, err := azure.New(c)
			var got *oidctoken.ConfigError
			if !errors.As(err, &got) || e != nil {
				t.Fatalf("New = %v, %v; want no Exchanger and a *ConfigError", e, err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("New (-want +got):\n%s", diff)
			}
			if want := "azure: " + tt.want.Field + " " + tt.want.Reason; got.Error() != want {
				t.Errorf("Error = %q, want %q", got.Error(), want)
			}
		})
	}
}

func TestConfigDefaults(t *testing.T) {
	given := func(c azure.Config) azure.Config {
		c.TenantID, c.ClientID = tenant, client
		return c
	}
	const (
		gov, govARM     = "https://login.microsoftonline.us", "https://management.usgovcloudapi.net/.default"
		china, chinaARM = "https://login.partner.microsoftonline.cn", "https://management.chinacloudapi.cn/.default"
	)
	for _, tt := range []struct {
		name       string
		give, want azure.Config
	}{
		{"public", azure.Config{}, azure.Config{AuthorityHost: "https://login.microsoftonline.com", Scopes: []string{armScope}, Audience: audience}},
		{"public with a slash", azure.Config{AuthorityHost: "https://login.microsoftonline.com/"},
			azure.Config{AuthorityHost: "https://login.microsoftonline.com", Scopes: []string{armScope}, Audience: audience}},
		{"US government", azure.Config{AuthorityHost: gov}, azure.Config{AuthorityHost: gov, Scopes: []string{govARM}, Audience: "api://AzureADTokenExchangeUSGov"}},
		{"China", azure.Config{AuthorityHost: china}, azure.Config{AuthorityHost: china, Scopes: []string{chinaARM}, Audience: "api://AzureADTokenExchangeChina"}},
		{"China's older host, in other case", azure.Config{AuthorityHost: "https://Login.ChinaCloudAPI.cn:443/"},
			azure.Config{AuthorityHost: "https://Login.ChinaCloudAPI.cn:443", Scopes: []string{chinaARM}, Audience: "api://AzureADTokenExchangeChina"}},
		{"a host that ends like one", azure.Config{AuthorityHost: "https://x.login.microsoftonline.us"},
			azure.Config{AuthorityHost: "https://x.login.microsoftonline.us", Scopes: []string{armScope}, Audience: audience}},
		{"stand-in", azure.Config{AuthorityHost: "http://127.0.0.1:8080"},
			azure.Config{AuthorityHost: "http://127.0.0.1:8080", Scopes: []string{armScope}, Audience: audience}},
		{"nothing left out", azure.Config{AuthorityHost: gov, Scopes: []string{"https://vault.azure.net//.default"}, Audience: "a", Timeout: time.Second, Subject: "{account_id}"},
			azure.Config{AuthorityHost: gov, Scopes: []string{"https://vault.azure.net//.default"}, Audience: "a", Timeout: time.Second, Subject: "{account_id}"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := azure.New(given(tt.give))
			if err != nil {
				t.Fatal(err)
			}
			got := e.Config()
			if diff := cmp.Diff(given(tt.want), got, cmpopts.IgnoreFields(got, "Now")); diff != "" {
				t.Errorf("Config (-want +got):\n%s", diff)
			}
			if got.Now == nil || e.Audience() != tt.want.Audience || e.Cloud() != "azure" {
				t.Errorf("Now is nil: %t; Audience = %q, Cloud = %q", got.Now == nil, e.Audience(), e.Cloud())
			}
			got.Scopes[0] = "changed" // by the caller
			if e.Config().Scopes[0] == "changed" {
				t.Error("Config shares its slice")
			}
		})
	}
}

func TestNewAccepts(t *testing.T) {
	for _, tt := range []struct{ name, tenant, audience string }{
		{"upper case", strings.ToUpper(client), ""},
		{"domain", "acme.onmicrosoft.com", ""},
		{"longest audience", tenant, strings.Repeat("a", 600)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := azure.New(azure.Config{TenantID: tt.tenant, ClientID: client, Audience: tt.audience}); err != nil {
				t.Error(err)
			}
		})
	}
}

// The configuration is copied.
func TestNewCopies(t *testing.T) {
	scopes := []string{armScope}
	e, err := azure.New(azure.Config{TenantID: tenant, ClientID: client, Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	scopes[0] = "changed"
	if got := e.Config().Scopes[0]; got != armScope {
		t.Errorf("Scopes = %q, want %q", got, armScope)
	}
}

// X11: nothing but RS256, and a JWT that outlives the 10 minutes for which the
// SDKs keep it.
func TestProfile(t *testing.T) {
	e := newExchanger(t, http.NotFoundHandler(), azure.Config{Subject: "account/{account_id}"})
	want := oidctoken.Profile{
		Subject: "account/{account_id}", MaxSubject: 255, Lifetime: 30 * time.Minute, Algorithms: []string{"RS256"},
	}
	if diff := cmp.Diff(want, e.Profile(), cmpopts.IgnoreFields(want, "Claims")); diff != "" {
		t.Errorf("Profile (-want +got):\n%s", diff)
	}
	if e.Profile().Claims != nil {
		t.Error("Profile adds claims")
	}
}
