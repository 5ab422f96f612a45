package conformance_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// Clients that read credential files fetch the JWT from a loopback endpoint if
// the file has a url source, with the header that the file names, and through
// no proxy: X12
func TestURLSource(t *testing.T) {
	for _, c := range clients() {
		if c.undelivered || c.name == "gcloud after auth login" {
			continue // they differ from gcloud only in how they get the file
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			version := c.version(t)
			for _, field := range []string{"", "value"} {
				t.Run("field "+strconv.Quote(field), func(t *testing.T) {
					t.Parallel()
					testURLSource(t, c, field)
					row(t, c.name, version, "JWT from a URL, field "+strconv.Quote(field)+": "+c.api)
				})
			}
		})
	}
}

func testURLSource(t *testing.T, c client, field string) {
	issuer := oidctokentest.NewIssuer(t)
	g := newGoogleFor(t, issuer.URL)
	exchanger, err := gcp.New(gcp.Config{Provider: provider, ServiceAccount: account})
	if err != nil {
		t.Fatal(err)
	}
	const secret = "Bearer only-this-step-knows"
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != secret {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		answer("%s", jwtAnswer(t, issuer, exchanger, field)).ServeHTTP(w, r)
	}))
	t.Cleanup(endpoint.Close)
	file, err := exchanger.CredentialFile(gcp.URLSource{
		URL: endpoint.URL + "/jwt", FieldName: field,
		Headers: func() map[string]string { return map[string]string{"Authorization": secret} },
	})
	if err != nil {
		t.Fatal(err)
	}
	out := runWithFile(t, g, c, exchanger, file)
	if countLines(out, c.want) != 1 {
		t.Errorf("want a line %q of %s", c.want, out)
	}
	if diff := cmp.Diff([]caller{{"judge", account}}, g.callers(c.api)); diff != "" {
		t.Errorf("callers of %s (-want +got):\n%s", c.api, diff)
	}
	g.checkNothingElse(t)
}

// jwtAnswer returns the endpoint's answer: a JWT, alone or in a field.
func jwtAnswer(t *testing.T, issuer *oidctokentest.Issuer, exchanger *gcp.Exchanger, field string) string {
	profile := exchanger.Profile()
	token, err := issuer.Mint(context.Background(), oidctoken.Scope{
		Audience: exchanger.Audience(), Profile: &profile,
		Account: oidctoken.Entity{ID: "acme"}, Organization: oidctoken.Entity{ID: "payments"}, Project: oidctoken.Entity{ID: "ledger"},
		Pipeline: &oidctoken.Pipeline{ID: "release"}, Stage: oidctoken.CI{ID: "build"},
		Step: &oidctoken.Step{ID: "judge"}, Connector: &oidctoken.Connector{ID: "gcp_prod", Level: oidctoken.AccountLevel},
	})
	switch {
	case err != nil:
		t.Error(err)
		return ""
	case field != "":
		return `{"` + field + `":"` + token.JWT() + `"}`
	}
	return token.JWT()
}

// runWithFile runs a client as a step with that credential file, and returns
// its output.
func runWithFile(t *testing.T, g *google, c client, exchanger *gcp.Exchanger, file []byte) string {
	t.Helper()
	dir := t.TempDir()
	bundle, err := exchanger.Bundle(dir, filepath.Join(dir, "jwt"))
	if err != nil {
		t.Fatal(err)
	}
	bundle.Files["credentials.json"] = file
	for name, content := range bundle.Files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range bundle.Dirs {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "sh", "-c", c.run)
	command.Dir, command.WaitDelay = dir, 10*time.Second
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "STEP_DIR=" + dir}
	env := c.steps(t, g, "judge")[0].Env
	for _, variables := range []map[string]string{bundle.Env, env} {
		for name, value := range variables {
			command.Env = append(command.Env, name+"="+value)
		}
	}
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Errorf("%s: %v\n%s", c.name, err, stderr.String())
	}
	return string(out)
}
