package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/format"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/internal/needs"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/oidctokentest/googletest"
)

var setUpPages = []string{"gcp.md", "aws.md", "azure.md"}

// blocks returns the fenced blocks of a page that are in a language.
func blocks(t *testing.T, page, language string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for i, part := range strings.Split(string(b), "```") {
		if text, ok := strings.CutPrefix(part, language+"\n"); ok && i%2 == 1 {
			found = append(found, text)
		}
	}
	return found
}

// commands returns the commands of a page, each in one line.
func commands(t *testing.T, page string) []string {
	t.Helper()
	var found []string
	for _, block := range blocks(t, page, "sh") {
		for command := range strings.SplitSeq(strings.ReplaceAll(block, "\\\n", " "), "\n") {
			if command = strings.Join(strings.Fields(command), " "); command != "" {
				found = append(found, command)
			}
		}
	}
	if len(found) == 0 {
		t.Fatalf("%s has no commands", page)
	}
	return found
}

// gcloud's own parser knows every command of the pages.
func TestPageGcloudCommands(t *testing.T) {
	t.Parallel()
	needs.Program(t, "gcloud")
	for _, command := range append(append(commands(t, "gcp.md"), commands(t, "liquibase.md")...), "gcloud iam no-such-command --x") {
		lint := exec.CommandContext(t.Context(), "gcloud", "meta", "lint-gcloud-commands", "--command-string="+command)
		lint.Env = append(os.Environ(), "CLOUDSDK_CONFIG="+t.TempDir())
		out, err := lint.Output()
		if err != nil {
			t.Fatal(err)
		}
		var results []struct {
			Success bool   `json:"success"`
			Error   string `json:"error_message"`
		}
		if err := json.Unmarshal(out, &results); err != nil || len(results) != 1 {
			t.Fatalf("%s: %d results, %v", command, len(results), err)
		}
		bad := strings.Contains(command, "no-such-command") // the check can fail
		if results[0].Success == bad {
			t.Errorf("%s: %v %s", command, results[0].Success, results[0].Error)
		}
	}
}

// The aws CLI's own parser takes every command of the page, and its files: it
// sends each to IAM, where a listener looks at it.
func TestPageAWSCommands(t *testing.T) {
	t.Parallel()
	needs.Program(t, "aws")
	var action string
	iam := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		action = r.FormValue("Action")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<ErrorResponse><Error><Code>Seen</Code></Error></ErrorResponse>`)
	}))
	t.Cleanup(iam.Close)
	dir := t.TempDir()
	policy := blocks(t, "aws.md", "json")[0]
	if err := os.WriteFile(filepath.Join(dir, "trust.json"), []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, command := range append(commands(t, "aws.md"), "aws iam create-role --no-such-flag x") {
		action = ""
		words := strings.Fields(command)
		aws := exec.CommandContext(t.Context(), words[0], append(words[1:], "--endpoint-url", iam.URL)...)
		aws.Dir = dir
		aws.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "AWS_DEFAULT_REGION=eu-west-1",
			"AWS_ACCESS_KEY_ID=nobody", "AWS_SECRET_ACCESS_KEY=nothing", "AWS_EC2_METADATA_DISABLED=true"}
		if out, err := aws.CombinedOutput(); action == "" && !strings.Contains(command, "no-such-flag") {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
		actions = append(actions, action)
	}
	want := []string{"CreateOpenIDConnectProvider", "CreateRole", "AttachRolePolicy", ""}
	if diff := cmp.Diff(want, actions); diff != "" {
		t.Errorf("what IAM was asked (-want +got):\n%s", diff)
	}
}

// The az CLI's own parser accepts every command of the page. It gets as far as
// the check of the login, which is exit code 1. A command that it cannot parse
// is exit code 2.
func TestPageAzureCommands(t *testing.T) {
	t.Parallel()
	az := filepath.Join(installed(t, "azurecli"), "bin", "az")
	dir := t.TempDir()
	credential := blocks(t, "azure.md", "json")[0]
	if err := os.WriteFile(filepath.Join(dir, "credential.json"), []byte(credential), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range append(commands(t, "azure.md"), "az ad app create --no-such-flag x") {
		words := strings.Fields(command)
		parse := exec.CommandContext(t.Context(), az, words[1:]...)
		parse.Dir = dir
		parse.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "AZURE_CORE_COLLECT_TELEMETRY=false"}
		out, err := parse.CombinedOutput()
		if parse.ProcessState == nil {
			t.Fatal(err)
		}
		want := 1
		if strings.Contains(command, "no-such-flag") {
			want = 2
		}
		if code := parse.ProcessState.ExitCode(); code != want || want == 1 && !bytes.Contains(out, []byte("az login")) {
			t.Errorf("%s: exit code %d, want %d\n%s", command, code, want, out)
		}
	}
}

// Each block in another language parses as that language.
func TestPageBlocks(t *testing.T) {
	t.Parallel()
	for _, page := range setUpPages {
		for _, block := range blocks(t, page, "json") {
			if !json.Valid([]byte(block)) {
				t.Errorf("%s has JSON that is none:\n%s", page, block)
			}
		}
		for _, block := range blocks(t, page, "go") {
			if formatted, err := format.Source([]byte(block)); err != nil || string(formatted) != block {
				t.Errorf("%s has Go that gofmt would change (%v):\n%s", page, err, block)
			}
		}
	}
}

// Terraform's own parser takes the blocks, and where the machine ships a
// provider, so does the provider's schema.
func TestPageTerraform(t *testing.T) {
	t.Parallel()
	needs.Program(t, "terraform")
	for _, page := range setUpPages {
		block := strings.Join(blocks(t, page, "terraform"), "\n")
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(block), 0o600); err != nil {
			t.Fatal(err)
		}
		terraform(t, dir, "fmt", "-check", "-diff")
		plugins := os.Getenv("OIDCTOKEN_TERRAFORM_PLUGINS")
		if page != "aws.md" || plugins == "" {
			t.Logf("%s: parsed; no provider to validate it with", page)
			continue
		}
		terraform(t, dir, "init", "-backend=false", "-plugin-dir="+plugins)
		terraform(t, dir, "validate")
	}
}

func terraform(t *testing.T, dir string, args ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "terraform", args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1")
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("terraform %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// flag returns the value of a flag of one of the page's commands.
func flag(t *testing.T, page, name string) string {
	t.Helper()
	for _, command := range commands(t, page) {
		if _, rest, ok := strings.Cut(command, " --"+name+"="); ok {
			if quoted, ok := strings.CutPrefix(rest, `"`); ok {
				value, _, _ := strings.Cut(quoted, `"`)
				return value
			}
			value, _, _ := strings.Cut(rest, " ")
			return value
		}
	}
	t.Fatalf("%s has no --%s", page, name)
	return ""
}

// The page's mapping, condition and member admit the page's project and refuse
// its neighbours.
func TestPageGoogleTrust(t *testing.T) {
	t.Parallel()
	const (
		provider = "projects/123456789012/locations/global/workloadIdentityPools/ci/providers/acme"
		account  = "deployer@acme-prod.iam.gserviceaccount.com"
	)
	page, err := os.ReadFile(filepath.Join("..", "docs", "gcp.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{provider, account} {
		if !bytes.Contains(page, []byte(name)) {
			t.Fatalf("the page does not name %s", name)
		}
	}
	issuer := oidctokentest.NewIssuer(t)
	mapping := make(map[string]string)
	for pair := range strings.SplitSeq(flag(t, "gcp.md", "attribute-mapping"), ",") {
		to, from, _ := strings.Cut(pair, "=")
		mapping[to] = from
	}
	var members []string
	for _, command := range commands(t, "gcp.md") {
		if strings.Contains(command, "roles/iam.workloadIdentityUser") {
			_, rest, _ := strings.Cut(command, `--member="`)
			members = append(members, strings.TrimSuffix(rest, `"`))
		}
	}
	google, err := googletest.New(googletest.Config{
		Providers: []googletest.Provider{{
			Name:               provider,
			Issuer:             issuer.URL,
			AttributeMapping:   mapping,
			AttributeCondition: flag(t, "gcp.md", "attribute-condition"),
		}},
		ServiceAccounts: []googletest.ServiceAccount{{Email: account, Members: members}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(google)
	t.Cleanup(server.Close)
	url := server.URL
	ex, err := gcp.New(gcp.Config{Provider: provider, ServiceAccount: account, TokenURL: url + "/v1/token", ImpersonationURL: url})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		account, organization, project string
		code                           string // of the refusal
	}{
		{"acme", "payments", "ledger", ""},
		{"acme", "payments", "other", "PERMISSION_DENIED"},
		{"acme", "risk", "ledger", "unauthorized_client"},
		{"rival", "payments", "ledger", "unauthorized_client"},
	} {
		_, err := ex.Exchange(t.Context(), exchange.Request{Subject: func(ctx context.Context, audience string) (string, error) {
			token, err := issuer.Mint(ctx, oidctoken.Scope{
				Audience:     audience,
				Account:      oidctoken.Entity{ID: tt.account},
				Organization: oidctoken.Entity{ID: tt.organization},
				Project:      oidctoken.Entity{ID: tt.project},
			})
			if err != nil {
				return "", err
			}
			return token.JWT(), nil
		}})
		var refusal *exchange.Error
		errors.As(err, &refusal)
		if (refusal == nil) != (tt.code == "") || refusal != nil && refusal.Code != tt.code {
			t.Errorf("%s/%s/%s: %v, want %q", tt.account, tt.organization, tt.project, err, tt.code)
		}
	}
}
