package gcp_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// T13: without a service account the JWT lives for an hour, since Google's token
// never outlives it. An issuer with a shorter MaxLifetime still mints.
func TestJWTLifetime(t *testing.T) {
	for _, tt := range []struct {
		name    string
		config  gcp.Config
		longest time.Duration // the issuer's MaxLifetime; 0: its default
		want    time.Duration
	}{
		{"direct", gcp.Config{}, 0, time.Hour},
		{"direct, issuer of 20 minutes", gcp.Config{}, 20 * time.Minute, 20 * time.Minute},
		{"direct, issuer of 90.5 seconds", gcp.Config{}, 90*time.Second + 500*time.Millisecond, 90 * time.Second},
		{"direct, issuer of a day", gcp.Config{}, 24 * time.Hour, time.Hour},
		{"direct, 10 minutes", gcp.Config{Lifetime: 10 * time.Minute}, 0, 10 * time.Minute},
		{"direct, 12 hours", gcp.Config{Lifetime: 12 * time.Hour}, 24 * time.Hour, 12 * time.Hour},
		{"direct, 12 hours of an issuer of one", gcp.Config{Lifetime: 12 * time.Hour}, 0, time.Hour},
		{"impersonated", gcp.Config{ServiceAccount: serviceAccount}, 0, 15 * time.Minute},
		{"impersonated for 12 hours", gcp.Config{ServiceAccount: serviceAccount, Lifetime: 12 * time.Hour}, 24 * time.Hour, 15 * time.Minute},
		{"impersonated, issuer of 10 minutes", gcp.Config{ServiceAccount: serviceAccount}, 10 * time.Minute, 10 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.Provider = provider
			e, err := gcp.New(tt.config)
			if err != nil {
				t.Fatal(err)
			}
			issuer, err := oidctoken.NewIssuer(oidctoken.Config{
				URL: "https://ci.example.com", MaxLifetime: tt.longest,
				Keys: oidctoken.StaticKeys{oidctokentest.NewKey(t, "ES256")},
			})
			if err != nil {
				t.Fatal(err)
			}
			profile := e.Profile()
			token, err := issuer.Mint(t.Context(), oidctoken.Scope{Audience: e.Audience(), Profile: &profile, Account: oidctoken.Entity{ID: "acme"}})
			if err != nil {
				t.Fatal(err)
			}
			payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token.JWT(), ".")[1])
			if err != nil {
				t.Fatal(err)
			}
			var claims struct{ Iat, Exp int64 }
			if err := json.Unmarshal(payload, &claims); err != nil {
				t.Fatal(err)
			}
			if got := time.Duration(claims.Exp-claims.Iat) * time.Second; got != tt.want {
				t.Errorf("exp - iat = %v, want %v", got, tt.want)
			}
		})
	}
}

// X12: the file and the variables name the universe of the STS.
func TestUniverseDomain(t *testing.T) {
	const other = "apis-acme.example"
	for _, tt := range []struct {
		name          string
		config        gcp.Config
		universe      string
		tokenURL      string
		impersonation string // base
	}{
		{"default", gcp.Config{}, "googleapis.com", "https://sts.googleapis.com/v1/token", "https://iamcredentials.googleapis.com"},
		{"by token URL", gcp.Config{TokenURL: "https://sts." + other + "/v1/token"}, other, "https://sts." + other + "/v1/token", "https://iamcredentials." + other},
		{"by token URL, capitals and a port", gcp.Config{TokenURL: "https://STS." + strings.ToUpper(other) + ":8443/v1/token"}, other, "https://STS." + strings.ToUpper(other) + ":8443/v1/token", "https://iamcredentials." + other},
		{"by name", gcp.Config{UniverseDomain: other}, other, "https://sts." + other + "/v1/token", "https://iamcredentials." + other},
		{"by name, behind a proxy", gcp.Config{UniverseDomain: other, TokenURL: "https://sts.proxy.example/v1/token"}, other, "https://sts.proxy.example/v1/token", "https://iamcredentials." + other},
		{"a proxy that is called sts", gcp.Config{UniverseDomain: "googleapis.com", TokenURL: "https://sts.proxy.example/v1/token"}, "googleapis.com", "https://sts.proxy.example/v1/token", "https://iamcredentials.googleapis.com"},
		{"another host", gcp.Config{TokenURL: "https://proxy.example/sts.apis-acme.example/v1/token"}, "googleapis.com", "https://proxy.example/sts.apis-acme.example/v1/token", "https://iamcredentials.googleapis.com"},
		{"mutual TLS", gcp.Config{TokenURL: "https://sts.mtls.googleapis.com/v1/token"}, "googleapis.com", "https://sts.mtls.googleapis.com/v1/token", "https://iamcredentials.googleapis.com"},
		{"Private Service Connect", gcp.Config{TokenURL: "https://sts-acme.p.googleapis.com/v1/token"}, "googleapis.com", "https://sts-acme.p.googleapis.com/v1/token", "https://iamcredentials.googleapis.com"},
		{"a host of one label", gcp.Config{TokenURL: "https://sts.corp/v1/token"}, "googleapis.com", "https://sts.corp/v1/token", "https://iamcredentials.googleapis.com"},
		{"loopback by name", gcp.Config{TokenURL: "https://sts.acme.localhost/v1/token"}, "googleapis.com", "https://sts.acme.localhost/v1/token", "https://iamcredentials.googleapis.com"},
		{"loopback", gcp.Config{TokenURL: "http://127.0.0.1:8080/v1/token"}, "googleapis.com", "http://127.0.0.1:8080/v1/token", "https://iamcredentials.googleapis.com"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.Provider, tt.config.ServiceAccount = provider, serviceAccount
			e, err := gcp.New(tt.config)
			if err != nil {
				t.Fatal(err)
			}
			b, err := e.Bundle("/run/step/gcp", "/run/step/jwt")
			if err != nil {
				t.Fatal(err)
			}
			var file struct {
				Universe      string `json:"universe_domain"`
				TokenURL      string `json:"token_url"`
				Impersonation string `json:"service_account_impersonation_url"`
			}
			if err := json.Unmarshal(b.Files["credentials.json"], &file); err != nil {
				t.Fatal(err)
			}
			base, _, _ := strings.Cut(file.Impersonation, "/v1/projects/")
			got := []string{file.Universe, file.TokenURL, base, b.Env["CLOUDSDK_CORE_UNIVERSE_DOMAIN"], b.Env["GOOGLE_CLOUD_UNIVERSE_DOMAIN"]}
			variable := tt.universe
			if variable == "googleapis.com" {
				variable = ""
			}
			if diff := cmp.Diff([]string{tt.universe, tt.tokenURL, tt.impersonation, variable, variable}, got); diff != "" {
				t.Errorf("universe, endpoints and variables (-want +got):\n%s", diff)
			}
		})
	}
}

// Tools find the project and the quota project in the file, in a delivery by
// file or endpoint, and in a credential. Neither is secret.
func TestProjects(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		project, quota        string
		want                  map[string]string // variables
		wantQuotaProjectInKey any
	}{
		{"none", "", "", map[string]string{}, nil},
		{"project", "acme-prod", "", map[string]string{"CLOUDSDK_CORE_PROJECT": "acme-prod", "GOOGLE_CLOUD_PROJECT": "acme-prod"}, nil},
		{"quota project", "", "acme-quota", map[string]string{"CLOUDSDK_BILLING_QUOTA_PROJECT": "acme-quota", "GOOGLE_CLOUD_QUOTA_PROJECT": "acme-quota"}, "acme-quota"},
		{"both", "example.com:acme", "123456789012", map[string]string{
			"CLOUDSDK_CORE_PROJECT": "example.com:acme", "GOOGLE_CLOUD_PROJECT": "example.com:acme",
			"CLOUDSDK_BILLING_QUOTA_PROJECT": "123456789012", "GOOGLE_CLOUD_QUOTA_PROJECT": "123456789012",
		}, "123456789012"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newExchanger(t, &google{answers: []answer{federated("ya29.federated", 3600)}}, gcp.Config{Project: tt.project, QuotaProject: tt.quota})
			projects := func(env map[string]string) map[string]string {
				maps.DeleteFunc(env, func(name, _ string) bool { return !strings.Contains(name, "PROJECT") })
				return env
			}
			file, err := e.Bundle("/run/step/gcp", "/run/step/jwt")
			if err != nil {
				t.Fatal(err)
			}
			endpoint, err := e.EndpointBundle("/run/step/gcp", exchange.Endpoint{TokenURL: "http://127.0.0.1:1/token", Authorization: func() string { return "Bearer x" }})
			if err != nil {
				t.Fatal(err)
			}
			credential, err := e.Exchange(t.Context(), exchange.Request{Subject: new(minter).subject})
			if err != nil {
				t.Fatal(err)
			}
			for name, env := range map[string]map[string]string{"Bundle": file.Env, "EndpointBundle": endpoint.Env, "Exchange": credential.Env()} {
				if diff := cmp.Diff(tt.want, projects(env)); diff != "" {
					t.Errorf("variables of %s (-want +got):\n%s", name, diff)
				}
			}
			for _, secret := range credential.Secrets() {
				if secret == tt.project || secret == tt.quota {
					t.Errorf("%s is a secret", secret)
				}
			}
			for _, b := range []*exchange.Bundle{file, endpoint} {
				var key map[string]any
				if err := json.Unmarshal(b.Files["credentials.json"], &key); err != nil {
					t.Fatal(err)
				}
				if key["quota_project_id"] != tt.wantQuotaProjectInKey {
					t.Errorf("quota_project_id = %v, want %v", key["quota_project_id"], tt.wantQuotaProjectInKey)
				}
			}
		})
	}
}

func TestProjectsRefused(t *testing.T) {
	const (
		noProject = "is not the id of a project, such as acme-prod"
		noDomain  = "is not a domain in lower case, such as googleapis.com"
	)
	for _, tt := range []struct {
		field, value string
		config       gcp.Config
		reason       string
	}{
		{"Project", "capitals", gcp.Config{Project: "Acme"}, noProject},
		{"Project", "line break", gcp.Config{Project: "acme\nX=1"}, noProject},
		{"Project", "resource name", gcp.Config{Project: "projects/acme"}, noProject},
		{"Project", "no id behind the domain", gcp.Config{Project: "example.com:"}, noProject},
		{"Project", "no domain before the colon", gcp.Config{Project: ":acme"}, noProject},
		{"Project", "64 bytes", gcp.Config{Project: strings.Repeat("a", 64)}, noProject},
		{"QuotaProject", "space", gcp.Config{QuotaProject: "acme quota"}, noProject},
		{"UniverseDomain", "capitals", gcp.Config{UniverseDomain: "GoogleAPIs.com"}, noDomain},
		{"UniverseDomain", "URL", gcp.Config{UniverseDomain: "https://googleapis.com"}, noDomain},
		{"UniverseDomain", "one label", gcp.Config{UniverseDomain: "localhost"}, noDomain},
		{"UniverseDomain", "address", gcp.Config{UniverseDomain: "127.0.0.1"}, noDomain},
		{"UniverseDomain", "port", gcp.Config{UniverseDomain: "apis.example:443"}, noDomain},
		{"UniverseDomain", "trailing dot", gcp.Config{UniverseDomain: "apis.example."}, noDomain},
		{"UniverseDomain", "254 bytes", gcp.Config{UniverseDomain: strings.Repeat("a.", 125) + "exam"}, noDomain},
	} {
		t.Run(tt.field+": "+tt.value, func(t *testing.T) {
			tt.config.Provider = provider
			_, err := gcp.New(tt.config)
			var got *oidctoken.ConfigError
			errors.As(err, &got)
			if diff := cmp.Diff(&oidctoken.ConfigError{Package: "gcp", Field: tt.field, Reason: tt.reason}, got); diff != "" {
				t.Errorf("New (-want +got):\n%s", diff)
			}
		})
	}
	for _, good := range []gcp.Config{
		{Project: strings.Repeat("a", 63)}, {UniverseDomain: strings.Repeat("a.", 124) + "examp"},
	} {
		good.Provider = provider
		if _, err := gcp.New(good); err != nil {
			t.Errorf("New: %v", err)
		}
	}
}
