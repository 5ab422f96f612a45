package gcp_test

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/gcp"
)

func TestNewRefuses(t *testing.T) {
	const (
		notProvider = "is not projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"
		notPool     = "has a pool id that is not of 1 to 32 of a-z 0-9 -"
		notEmail    = "is not the e-mail address of a service account"
		notLifetime = "is not between 10 minutes and 12 hours"
	)
	for _, tt := range []struct {
		name   string
		change func(*gcp.Config)
		want   oidctoken.ConfigError
	}{
		{"no provider", func(c *gcp.Config) { c.Provider = "" }, oidctoken.ConfigError{Package: "gcp", Field: "Provider", Reason: "is required"}},
		{"provider with host", func(c *gcp.Config) { c.Provider = "//iam.googleapis.com/" + provider },
			oidctoken.ConfigError{Package: "gcp", Field: "Provider", Reason: `begins with a host: leave out what stands before "projects/"`}},
		{"provider with scheme", func(c *gcp.Config) { c.Provider = "https://iam.googleapis.com/" + provider },
			oidctoken.ConfigError{Package: "gcp", Field: "Provider", Reason: `begins with a host: leave out what stands before "projects/"`}},
		{"provider is a pool", func(c *gcp.Config) { c.Provider = pool }, oidctoken.ConfigError{Package: "gcp", Field: "Provider", Reason: notProvider}},
		{"provider with an end", func(c *gcp.Config) { c.Provider += "/" }, oidctoken.ConfigError{Package: "gcp", Field: "Provider", Reason: notProvider}},
		{"workforce provider", func(c *gcp.Config) { c.Provider = "locations/global/workforcePools/p/providers/x" }, oidctoken.ConfigError{Package: "gcp", Field: "Provider", Reason: notProvider}},
		{"other word for projects", func(c *gcp.Config) { c.Provider = strings.Replace(provider, "projects", "Projects", 1) }, oidctoken.ConfigError{Package: "gcp", Field: "Provider", Reason: notProvider}},
		{"project id", func(c *gcp.Config) { c.Provider = strings.Replace(provider, "123", "my-project", 1) },
			oidctoken.ConfigError{Package: "gcp", Field: "Provider", Reason: "does not name the project by its number"}},
		{"no project", func(c *gcp.Config) { c.Provider = strings.Replace(provider, "123", "", 1) },
			oidctoken.ConfigError{Package: "gcp", Field: "Provider", Reason: "does not name the project by its number"}},
		{"project with zero", func(c *gcp.Config) { c.Provider = strings.Replace(provider, "123", "0123", 1) },
			oidctoken.ConfigError{Package: "gcp", Field: "Provider", Reason: "does not name the project by its number"}},
		{"location", func(c *gcp.Config) { c.Provider = strings.Replace(provider, "global", "europe-west1", 1) },
			oidctoken.ConfigError{Package: "gcp", Field: "Provider", Reason: "is in another location than global"}},
		{"pool id", func(c *gcp.Config) { c.Provider = strings.Replace(provider, "/ci/", "/CI/", 1) }, oidctoken.ConfigError{Package: "gcp", Field: "Provider", Reason: notPool}},
		{"no pool id", func(c *gcp.Config) { c.Provider = strings.Replace(provider, "/ci/", "//", 1) }, oidctoken.ConfigError{Package: "gcp", Field: "Provider", Reason: notPool}},
		{"long pool id", func(c *gcp.Config) {
			c.Provider = strings.Replace(provider, "/ci/", "/"+strings.Repeat("p", 33)+"/", 1)
		},
			oidctoken.ConfigError{Package: "gcp", Field: "Provider", Reason: notPool}},
		{"provider id", func(c *gcp.Config) { c.Provider += "?x" },
			oidctoken.ConfigError{Package: "gcp", Field: "Provider", Reason: "has a provider id that is not of 1 to 32 of a-z 0-9 -"}},

		{"long audience", func(c *gcp.Config) { c.Audience = strings.Repeat("a", 257) }, oidctoken.ConfigError{Package: "gcp", Field: "Audience", Reason: "is longer than 256 characters"}},
		{"audience with space", func(c *gcp.Config) { c.Audience = "a b" }, oidctoken.ConfigError{Package: "gcp", Field: "Audience", Reason: "is not printable ASCII without spaces"}},
		{"audience with umlaut", func(c *gcp.Config) { c.Audience = "ä" }, oidctoken.ConfigError{Package: "gcp", Field: "Audience", Reason: "is not printable ASCII without spaces"}},

		{"account without domain", func(c *gcp.Config) { c.ServiceAccount = "deployer" }, oidctoken.ConfigError{Package: "gcp", Field: "ServiceAccount", Reason: notEmail}},
		{"account with path", func(c *gcp.Config) { c.ServiceAccount = "a@b/../c" }, oidctoken.ConfigError{Package: "gcp", Field: "ServiceAccount", Reason: notEmail}},
		{"account with method", func(c *gcp.Config) { c.ServiceAccount = "a@b:signJwt" }, oidctoken.ConfigError{Package: "gcp", Field: "ServiceAccount", Reason: notEmail}},
		{"account with query", func(c *gcp.Config) { c.ServiceAccount = "a@b?x" }, oidctoken.ConfigError{Package: "gcp", Field: "ServiceAccount", Reason: notEmail}},
		{"account is a resource", func(c *gcp.Config) { c.ServiceAccount = "projects/-/serviceAccounts/a@b" }, oidctoken.ConfigError{Package: "gcp", Field: "ServiceAccount", Reason: notEmail}},
		{"two accounts", func(c *gcp.Config) { c.ServiceAccount = "a@b@c" }, oidctoken.ConfigError{Package: "gcp", Field: "ServiceAccount", Reason: notEmail}},
		{"delegates for nobody", func(c *gcp.Config) { c.Delegates = []string{serviceAccount} }, oidctoken.ConfigError{Package: "gcp", Field: "Delegates", Reason: "lead to no ServiceAccount"}},
		{"bad delegate", func(c *gcp.Config) { c.ServiceAccount, c.Delegates = serviceAccount, []string{serviceAccount, "x"} },
			oidctoken.ConfigError{Package: "gcp", Field: "Delegates[1]", Reason: notEmail}},

		{"empty scope", func(c *gcp.Config) { c.Scopes = []string{"a", ""} }, oidctoken.ConfigError{Package: "gcp", Field: "Scopes[1]", Reason: "is not an OAuth scope"}},
		{"two scopes in one", func(c *gcp.Config) { c.Scopes = []string{"a b"} }, oidctoken.ConfigError{Package: "gcp", Field: "Scopes[0]", Reason: "is not an OAuth scope"}},
		{"quoted scope", func(c *gcp.Config) { c.Scopes = []string{`a"`} }, oidctoken.ConfigError{Package: "gcp", Field: "Scopes[0]", Reason: "is not an OAuth scope"}},

		{"short lifetime", func(c *gcp.Config) { c.Lifetime = 599 * time.Second }, oidctoken.ConfigError{Package: "gcp", Field: "Lifetime", Reason: notLifetime}},
		{"long lifetime", func(c *gcp.Config) { c.Lifetime = 43201 * time.Second }, oidctoken.ConfigError{Package: "gcp", Field: "Lifetime", Reason: notLifetime}},
		{"negative lifetime", func(c *gcp.Config) { c.Lifetime = -time.Hour }, oidctoken.ConfigError{Package: "gcp", Field: "Lifetime", Reason: notLifetime}},
		{"part of a second", func(c *gcp.Config) { c.Lifetime = time.Hour + 1 }, oidctoken.ConfigError{Package: "gcp", Field: "Lifetime", Reason: "is not in whole seconds"}},
		{"negative timeout", func(c *gcp.Config) { c.Timeout = -1 }, oidctoken.ConfigError{Package: "gcp", Field: "Timeout", Reason: "is negative"}},
		{"negative budget", func(c *gcp.Config) { c.Budget = -1 }, oidctoken.ConfigError{Package: "gcp", Field: "Budget", Reason: "is negative"}},

		{"plain http", func(c *gcp.Config) { c.TokenURL = "http://sts.example.com/v1/token" },
			oidctoken.ConfigError{Package: "gcp", Field: "TokenURL", Reason: "is plain http to a host that is not loopback"}},
		{"like loopback", func(c *gcp.Config) { c.TokenURL = "http://127.0.0.1.example.com/" },
			oidctoken.ConfigError{Package: "gcp", Field: "TokenURL", Reason: "is plain http to a host that is not loopback"}},
		{"other scheme", func(c *gcp.Config) { c.TokenURL = "file:///token" }, oidctoken.ConfigError{Package: "gcp", Field: "TokenURL", Reason: "is not https"}},
		{"user", func(c *gcp.Config) { c.TokenURL = "https://user@sts.example.com/" }, oidctoken.ConfigError{Package: "gcp", Field: "TokenURL", Reason: "holds user information"}},
		{"query", func(c *gcp.Config) { c.ImpersonationURL = "https://iam.example.com/?x" }, oidctoken.ConfigError{Package: "gcp", Field: "ImpersonationURL", Reason: "has a query"}},
		{"fragment", func(c *gcp.Config) { c.ImpersonationURL = "https://iam.example.com/#x" }, oidctoken.ConfigError{Package: "gcp", Field: "ImpersonationURL", Reason: "has a fragment"}},
		{"trailing dot", func(c *gcp.Config) { c.TokenInfoURL = "https://sts.example.com./" },
			oidctoken.ConfigError{Package: "gcp", Field: "TokenInfoURL", Reason: "has a host that is neither a DNS name nor an address"}},
		{"space", func(c *gcp.Config) { c.TokenInfoURL = "https://sts.example.com/ x" }, oidctoken.ConfigError{Package: "gcp", Field: "TokenInfoURL", Reason: "is not a URL"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := gcp.Config{Provider: provider}
			tt.change(&c)
			e, err := gcp.New(c)
			var got *oidctoken.ConfigError
			if !errors.As(err, &got) || e != nil {
				t.Fatalf("New = %v, %v; want no Exchanger and a *ConfigError", e, err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("New (-want +got):\n%s", diff)
			}
			if want := "gcp: " + tt.want.Field + " " + tt.want.Reason; got.Error() != want {
				t.Errorf("Error = %q, want %q", got.Error(), want)
			}
		})
	}
}

func TestNewAccepts(t *testing.T) {
	for _, tt := range []struct {
		name string
		give gcp.Config
	}{
		{"longest audience", gcp.Config{Provider: provider, Audience: strings.Repeat("a", 256)}},
		{"longest ids", gcp.Config{Provider: "projects/9999999999999999999/locations/global/workloadIdentityPools/" +
			strings.Repeat("p", 32) + "/providers/" + strings.Repeat("x", 32)}},
		{"shortest lifetime", gcp.Config{Provider: provider, ServiceAccount: serviceAccount, Lifetime: 10 * time.Minute}},
		{"longest lifetime", gcp.Config{Provider: provider, ServiceAccount: serviceAccount, Lifetime: 12 * time.Hour}},
		{"lifetime without account", gcp.Config{Provider: provider, Lifetime: time.Hour}},
		{"default account", gcp.Config{Provider: provider, ServiceAccount: "123-compute@developer.gserviceaccount.com"}},
		{"delegates", gcp.Config{Provider: provider, ServiceAccount: serviceAccount, Delegates: []string{"first@acme.iam.gserviceaccount.com"}}},
		{"loopback", gcp.Config{Provider: provider, TokenURL: "http://127.0.0.1:8080/v1/token", ImpersonationURL: "http://[::1]:8081", TokenInfoURL: "http://localhost/x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := gcp.New(tt.give); err != nil {
				t.Errorf("New: %v", err)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	cloudPlatform := []string{"https://www.googleapis.com/auth/cloud-platform"}
	for _, tt := range []struct {
		name       string
		give, want gcp.Config
	}{
		{
			"all", gcp.Config{Provider: provider},
			gcp.Config{
				Provider: provider, Audience: audience, Scopes: cloudPlatform, UniverseDomain: "googleapis.com",
				TokenURL: "https://sts.googleapis.com/v1/token", TokenInfoURL: "https://sts.googleapis.com/v1/introspect",
				ImpersonationURL: "https://iamcredentials.googleapis.com",
			},
		},
		{
			"endpoints", gcp.Config{Provider: provider, TokenURL: "http://127.0.0.1:8080/sts/v1/token", ImpersonationURL: "http://127.0.0.1:8081/iam/", Scopes: []string{}},
			gcp.Config{
				Provider: provider, Audience: audience, Scopes: cloudPlatform, UniverseDomain: "googleapis.com",
				TokenURL: "http://127.0.0.1:8080/sts/v1/token", TokenInfoURL: "http://127.0.0.1:8080/v1/introspect",
				ImpersonationURL: "http://127.0.0.1:8081/iam",
			},
		},
		{
			"nothing left", gcp.Config{
				Provider: provider, Audience: "a", ServiceAccount: serviceAccount, Delegates: []string{"d@acme"}, Scopes: []string{"s"}, Lifetime: time.Hour,
				TokenURL: "https://t.example/t", TokenInfoURL: "https://i.example/i", ImpersonationURL: "https://c.example", Subject: "{account_id}", Timeout: time.Second,
			},
			gcp.Config{
				Provider: provider, Audience: "a", ServiceAccount: serviceAccount, Delegates: []string{"d@acme"}, Scopes: []string{"s"}, Lifetime: time.Hour,
				UniverseDomain: "googleapis.com",
				TokenURL:       "https://t.example/t", TokenInfoURL: "https://i.example/i", ImpersonationURL: "https://c.example", Subject: "{account_id}", Timeout: time.Second,
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := gcp.New(tt.give)
			if err != nil {
				t.Fatal(err)
			}
			got := e.Config()
			if got.Now == nil {
				t.Error("Now is nil")
			}
			got.Now = nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Config (-want +got):\n%s", diff)
			}
			if e.Audience() != tt.want.Audience {
				t.Errorf("Audience = %q, want %q", e.Audience(), tt.want.Audience)
			}
		})
	}
}

// An Exchanger is not changed through what its caller still holds.
func TestConfigIsCopied(t *testing.T) {
	give := gcp.Config{Provider: provider, ServiceAccount: serviceAccount, Scopes: []string{"s"}, Delegates: []string{"d@acme"}}
	e, err := gcp.New(give)
	if err != nil {
		t.Fatal(err)
	}
	want := e.Config()
	give.Scopes[0], give.Delegates[0] = "x", "x"
	got := e.Config()
	got.Scopes[0], got.Delegates[0] = "y", "y"
	ignoreFuncs := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().Type().Kind() == reflect.Func }, cmp.Ignore())
	if diff := cmp.Diff(want, e.Config(), ignoreFuncs); diff != "" {
		t.Errorf("Config (-want +got):\n%s", diff)
	}
}

// T10
func TestProfile(t *testing.T) {
	e, err := gcp.New(gcp.Config{Provider: provider, Subject: "{account_id}", Transport: http.DefaultTransport})
	if err != nil {
		t.Fatal(err)
	}
	want := oidctoken.Profile{
		Subject: "{account_id}", MaxSubject: 127, Algorithms: []string{"ES256", "RS256"},
		Lifetime: time.Hour, ShortenLifetime: true,
	}
	if diff := cmp.Diff(want, e.Profile(), cmp.FilterPath(func(p cmp.Path) bool { return p.Last().Type().Kind() == reflect.Func }, cmp.Ignore())); diff != "" {
		t.Errorf("Profile (-want +got):\n%s", diff)
	}
	e.Profile().Algorithms[0] = "none"
	if got := e.Profile().Algorithms[0]; got != "ES256" {
		t.Errorf("a caller changed the algorithms to %s", got)
	}
}
