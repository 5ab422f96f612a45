package gcp_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/internal/needs"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/oidctokentest/googletest"
)

const (
	ciPool     = "projects/123/locations/global/workloadIdentityPools/ci"
	ciProvider = ciPool + "/providers/acme"
	ciDeployer = "deployer@acme.iam.gserviceaccount.com"
	ciRobot    = "robot@acme.iam.gserviceaccount.com"
)

// standIn returns a Google that trusts an issuer, whose production pipelines may
// use the deployer, which may use the robot.
func standIn(t *testing.T) (*googletest.Server, *oidctokentest.Issuer, string) {
	t.Helper()
	issuer := oidctokentest.NewIssuer(t)
	google, err := googletest.New(googletest.Config{
		Providers: []googletest.Provider{{
			Name: ciProvider, Issuer: issuer.URL,
			AttributeMapping:   map[string]string{"attribute.project": "assertion.project_id"},
			AttributeCondition: "assertion.account_id == 'acme'",
		}},
		ServiceAccounts: []googletest.ServiceAccount{
			{Email: ciDeployer, Members: []string{"principalSet://iam.googleapis.com/" + ciPool + "/attribute.project/ledger"}},
			{Email: ciRobot, Members: []string{"serviceAccount:" + ciDeployer}, MaxLifetime: 2 * time.Hour},
		},
		Projects: []googletest.Project{{ID: "acme-prod", Number: "123"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(google)
	t.Cleanup(server.Close)
	return google, issuer, server.URL
}

// mints returns the source of JWTs of an execution in a project.
func mints(issuer *oidctokentest.Issuer, profile oidctoken.Profile, account, project string) exchange.SubjectToken {
	return func(ctx context.Context, audience string) (string, error) {
		token, err := issuer.Mint(ctx, oidctoken.Scope{
			Audience: audience, Profile: &profile,
			Account: oidctoken.Entity{ID: account}, Organization: oidctoken.Entity{ID: "payments"}, Project: oidctoken.Entity{ID: project},
		})
		if err != nil {
			return "", err
		}
		return token.JWT(), nil
	}
}

// From a Scope to an access token, with everything verified that Google
// verifies.
// X01
func TestGoogle(t *testing.T) {
	google, issuer, url := standIn(t)
	federated := func(g googletest.Identity) googletest.Identity {
		sub := "account/acme:org/payments:project/ledger"
		g.Principal = "principal://iam.googleapis.com/" + ciPool + "/subject/" + sub
		g.Attributes = map[string]string{"google.subject": sub, "attribute.project": "ledger"}
		return g
	}
	const cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"
	for _, tt := range []struct {
		name     string
		config   gcp.Config
		scopes   []string
		want     googletest.Identity
		lifetime time.Duration
	}{
		{"direct", gcp.Config{}, nil, federated(googletest.Identity{Scopes: []string{cloudPlatform}}), 15 * time.Minute},
		{"direct with scopes", gcp.Config{}, []string{"openid", cloudPlatform + ".read-only"},
			federated(googletest.Identity{Scopes: []string{"openid", cloudPlatform + ".read-only"}}), 15 * time.Minute},
		{"impersonation", gcp.Config{ServiceAccount: ciDeployer}, nil,
			federated(googletest.Identity{ServiceAccount: ciDeployer, Scopes: []string{cloudPlatform}}), time.Hour},
		{"delegation", gcp.Config{ServiceAccount: ciRobot, Delegates: []string{ciDeployer}, Lifetime: 2 * time.Hour}, nil,
			federated(googletest.Identity{ServiceAccount: ciRobot, Scopes: []string{cloudPlatform}}), 2 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := exchangerFor(t, tt.config, url)
			start := time.Now()
			credential, err := e.Exchange(t.Context(), exchange.Request{
				Subject: mints(issuer, e.Profile(), "acme", "ledger"), Scopes: tt.scopes,
			})
			if err != nil {
				t.Fatal(err)
			}
			grant, ok := google.Lookup(credential.Value("CLOUDSDK_AUTH_ACCESS_TOKEN"))
			if diff := cmp.Diff(tt.want, grant, cmpopts.IgnoreUnexported(grant), cmpopts.IgnoreFields(grant, "Expires")); diff != "" || !ok {
				t.Errorf("the grant %v (-want +got):\n%s", ok, diff)
			}
			if credential.Expires().After(grant.Expires.Add(time.Second)) || credential.Expires().Before(start.Add(tt.lifetime-time.Minute)) {
				t.Errorf("the credential ends at %v, and the token at %v", credential.Expires(), grant.Expires)
			}
		})
	}
}

func TestGoogleIDToken(t *testing.T) {
	_, issuer, url := standIn(t)
	e := exchangerFor(t, gcp.Config{ServiceAccount: ciDeployer}, url)
	credential, err := e.IDToken(t.Context(), gcp.IDTokenRequest{
		Subject: mints(issuer, e.Profile(), "acme", "ledger"), Audience: "https://service.example.com", IncludeEmail: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if credential.Value("GOOGLE_ID_TOKEN") == "" || !credential.Expires().After(time.Now()) {
		t.Errorf("IDToken returned %v without a live GOOGLE_ID_TOKEN", credential)
	}
}

func TestGoogleRefuses(t *testing.T) {
	_, issuer, url := standIn(t)
	other := oidctokentest.NewIssuer(t)
	for _, tt := range []struct {
		name             string
		config           gcp.Config
		issuer           *oidctokentest.Issuer
		account, project string
		want             exchange.Error
		hint             string // words of it
	}{
		{"another account", gcp.Config{}, issuer, "evil", "ledger", exchange.Error{
			Provider: "gcp", Op: "sts:token", Status: http.StatusBadRequest, Code: "unauthorized_client",
			Description: "The given credential is rejected by the attribute condition.",
		}, "attribute condition"},
		{"another issuer", gcp.Config{}, other, "acme", "ledger", exchange.Error{
			Provider: "gcp", Op: "sts:token", Status: http.StatusBadRequest, Code: "invalid_grant",
			Description: "The issuer in ID Token " + other.URL + " does not match the expected one in config: " + issuer.URL + ".",
		}, "byte for byte"},
		{"another provider", gcp.Config{Provider: ciPool + "/providers/other"}, issuer, "acme", "ledger", exchange.Error{
			Provider: "gcp", Op: "sts:token", Status: http.StatusBadRequest, Code: "invalid_target",
			Description: `The target service indicated by the "audience" parameters is invalid. This might either be because the pool or provider is disabled or deleted or because it doesn't exist.`,
		}, "check that " + ciPool + "/providers/other exists"},
		{"another audience", gcp.Config{Audience: "other"}, issuer, "acme", "ledger", exchange.Error{
			Provider: "gcp", Op: "sts:token", Status: http.StatusBadRequest, Code: "invalid_grant",
			Description: "The audience in ID Token [other] does not match the expected audience.",
		}, "allowed audiences must hold other"},
		{"another project", gcp.Config{ServiceAccount: ciDeployer}, issuer, "acme", "web", exchange.Error{
			Provider: "gcp", Op: "iamcredentials:generateAccessToken", Status: http.StatusForbidden, Code: "PERMISSION_DENIED",
			Description: "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).",
		}, "grant roles/iam.workloadIdentityUser on " + ciDeployer},
		{"long lifetime", gcp.Config{ServiceAccount: ciDeployer, Lifetime: 2 * time.Hour}, issuer, "acme", "ledger", exchange.Error{
			Provider: "gcp", Op: "iamcredentials:generateAccessToken", Status: http.StatusBadRequest, Code: "INVALID_ARGUMENT",
			Description: "can not have lifetimes of more than 1 hour. Use the Org Policy Constraint constraints/iam.allowServiceAccountCredentialLifetimeExtension to allow up to 12 hours.",
		}, "iam.allowServiceAccountCredentialLifetimeExtension"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := exchangerFor(t, tt.config, url)
			_, err := e.Exchange(t.Context(), exchange.Request{Subject: mints(tt.issuer, e.Profile(), tt.account, tt.project)})
			var got *exchange.Error
			if !errors.As(err, &got) {
				t.Fatalf("Exchange: %v, want an *exchange.Error", err)
			}
			if diff := cmp.Diff(tt.want, *got, cmpopts.IgnoreFields(*got, "Hint")); diff != "" {
				t.Errorf("Exchange (-want +got):\n%s", diff)
			}
			if !strings.Contains(got.Hint, tt.hint) {
				t.Errorf("the hint is %q, want one with %q", got.Hint, tt.hint)
			}
		})
	}
}

func exchangerFor(t *testing.T, c gcp.Config, url string) *gcp.Exchanger {
	t.Helper()
	if c.Provider == "" {
		c.Provider = ciProvider
	}
	c.TokenURL, c.ImpersonationURL = url+"/v1/token", url
	e, err := gcp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// gcloud itself, with the files of a Bundle: directly and as a service account.
func TestGcloudWithBundle(t *testing.T) {
	gcloud := needs.Program(t, "gcloud")
	for _, tt := range []struct {
		name, account, project string
		want                   string // in what gcloud prints
		fails                  bool
	}{
		{"direct", "", "ledger", "acme-prod", false},
		{"service account", ciDeployer, "ledger", "acme-prod", false},
		{"service account of another project", ciDeployer, "web", "iam.serviceAccounts.getAccessToken", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, issuer, url := standIn(t)
			e := exchangerFor(t, gcp.Config{ServiceAccount: tt.account}, url)
			env := writeBundle(t, e, mints(issuer, e.Profile(), "acme", tt.project))
			cmd := exec.CommandContext(t.Context(), gcloud, "projects", "list", "--format=value(projectId)")
			cmd.Env = append(env, "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir(), "CLOUDSDK_CORE_DISABLE_PROMPTS=1",
				"CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER="+url+"/")
			out, err := cmd.CombinedOutput()
			if tt.fails != (err != nil) || !strings.Contains(string(out), tt.want) {
				t.Errorf("gcloud: %v, want it to print %q:\n%s", err, tt.want, out)
			}
		})
	}
}

// writeBundle writes the files of a Bundle and a JWT, and returns the
// environment that leads to them.
func writeBundle(t *testing.T, e *gcp.Exchanger, subject exchange.SubjectToken) (env []string) {
	t.Helper()
	dir := t.TempDir()
	tokenFile := filepath.Join(dir, "jwt")
	bundle, err := e.Bundle(dir, tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := subject(t.Context(), e.Audience())
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"jwt": []byte(jwt)}
	maps.Copy(files, bundle.Files)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range bundle.Dirs {
		if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(name)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range bundle.Env {
		env = append(env, name+"="+value)
	}
	return env
}
