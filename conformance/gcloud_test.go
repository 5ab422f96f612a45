package conformance_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// gcloudPipeline is a file with one step. Its connector is the account's; the
// step's project is the caller's.
func (g *google) pipeline(serviceAccount, step string) string {
	return fmt.Sprintf(`
account: acme
organization: payments
project: ledger
pipeline: release
issuer: {listen: %q}
connectors:
  - id: account.gcp_prod
    gcp: {provider: %s, serviceAccount: %q, tokenURL: %s/v1/token, impersonationURL: %s}
stages:
  - id: build
    type: CI
    steps:
      - id: list
%s`, g.issuer, provider, serviceAccount, g.url, g.url, indent(step, "        "))
}

func indent(text, by string) string {
	return by + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+by)
}

// What gcloud needs to call the stand-in's Cloud Resource Manager, and no
// other host.
const gcloudEnv = `
  CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER: %[1]s/
  CLOUDSDK_CORE_DISABLE_PROMPTS: "1"
  CLOUDSDK_CORE_DISABLE_USAGE_REPORTING: "1"
  CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK: "1"
`

func TestGcloud(t *testing.T) {
	needs(t, "gcloud")
	version, err := exec.Command("gcloud", "version", "--format=value(\"Google Cloud SDK\")").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("gcloud %s", strings.TrimSpace(string(version)))

	const list = `gcloud projects list --format='value(projectId)'`
	for _, way := range []struct {
		name, step string
	}{
		{"environment token", `
env:
  CLOUDSDK_AUTH_ACCESS_TOKEN: '<+secrets.getGCPAccessToken("account.gcp_prod")>'
` + gcloudEnv + `
run: |
  export CLOUDSDK_CONFIG="$STEP_DIR/gcloud"
  ` + list},
		{"auth login with the credential file", `
connectors: [account.gcp_prod]
env:
` + gcloudEnv + `
run: |
  unset CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE
  gcloud auth login --cred-file="$GOOGLE_APPLICATION_CREDENTIALS" --quiet
  ` + list},
		{"auth login with a file of the expression", `
env:
  KEY_FILE: '<+secrets.getGCPCredentialsFile("account.gcp_prod")>'
` + gcloudEnv + `
run: |
  export CLOUDSDK_CONFIG="$STEP_DIR/gcloud"
  gcloud auth login --cred-file="$KEY_FILE" --quiet
  ` + list},
		{"credential file override", `
connectors: [account.gcp_prod]
env:
` + gcloudEnv + `
run: ` + list},
	} {
		for _, identity := range []struct{ name, serviceAccount string }{
			{"direct", ""},
			{"impersonation", account},
		} {
			t.Run(way.name+"/"+identity.name, func(t *testing.T) {
				g := newGoogle(t)
				step := strings.ReplaceAll(way.step, "\n\n", "\n")
				step = strings.ReplaceAll(step, "%[1]s", g.url)
				stdout, stderr, code := run(t, g.pipeline(identity.serviceAccount, step))
				if code != 0 || strings.TrimSpace(stdout) != project {
					t.Fatalf("exit code %d\nstdout: %s\nstderr: %s", code, stdout, stderr)
				}
				if got := g.Requests("/v1/projects"); got != 1 {
					t.Errorf("gcloud called projects.list %d times, want 1", got)
				}
				impersonated := g.Requests("/v1/projects/-/serviceAccounts/"+account+":generateAccessToken") > 0
				if want := identity.serviceAccount != ""; impersonated != want {
					t.Errorf("impersonated: %v, want %v", impersonated, want)
				}
			})
		}
	}
}
