package main_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// platform is a pipeline file of a platform whose accounts are random base64url,
// whose projects are UUIDs or numbers, and whose services have hyphens.
const platform = `account: ACCOUNT
organization: $default
project: PROJECT
pipeline: release-all.v2
execution: {id: Zk3v_-9Q, sequence: 17, root_execution_id: Zk3v_-9Q}
trigger: {type: MANIFEST, id: nightly manifest}
source: {repository: acme/checkout, ref: "refs/heads/feature/REF", ref_type: branch}
connectors:
- id: account.gcp-prod
  gcp: {provider: ` + provider + `}
- id: org.$aws
  aws: {roleARN: "arn:aws:iam::123456789012:role/deployer", region: eu-west-1, sessionTags: [account_id, project_id, service_id, ref], unfitTags: {account_id: encode, ref: omit}}
- id: 7
  azure: {tenantID: 00000000-0000-0000-0000-000000000001, clientID: 11111111-1111-1111-1111-111111111111, scope: "https://vault.azure.net/.default"}
- id: account.-vault
  oidc: {audiences: [https://vault.example.com]}
stages:
- id: deploy-eu-1
  type: Deployment
  service: {id: checkout-api, name: Checkout API}
  environment: {id: prod-eu, type: Production}
  infrastructure: {id: k8s-eu-1}
  steps:
  - id: 3f2504e0-4f89-11d3-9a0c-0305e82c3301
    connectors: [account.gcp-prod, org.$aws, "7", account.-vault]
    env:
      GCP: <+secrets.getGCPAccessToken("account.gcp-prod")>
      AWS: <+secrets.getAWSCredentials("org.$aws").accessKeyId>
      AZURE: <+secrets.getAzureAccessToken("7")>
      JWT: <+secrets.getJWT("account.-vault")>
    run: |
      test -n "$GCP" && test -n "$AWS" && test -n "$AZURE"
      test -s "$GOOGLE_APPLICATION_CREDENTIALS" && test -s "$AWS_WEB_IDENTITY_TOKEN_FILE" && test -s "$AZURE_FEDERATED_TOKEN_FILE"
`

// Identifiers of real platforms reach the claims unchanged, and all three clouds
// admit the tokens.
func TestPlatformIdentifiers(t *testing.T) {
	for _, tt := range []struct{ name, account, project, ref string }{
		{"random base64url and UUID", "6_vXHzo9Qeu9fXvj-AabCQ", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "x"},
		{"numbers", "001", "42", "x"},
		{"numbers that YAML would change", "0x10", "1e3", "x"},
		{"dollars and dots", "$acme.com", "..ledger", "x"},
		{"leading hyphen", "-9Qeu9fX", "-1", "x"},
		{"long", strings.Repeat("a", 40), strings.Repeat("Z", 40), strings.Repeat("b", 244)},
		{"a branch as git allows it", "acme", "ledger", strings.Repeat("long/", 60) + "fix/#46'\u00e9@work"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := strings.NewReplacer("ACCOUNT", tt.account, "PROJECT", tt.project, "REF", tt.ref).Replace(platform)
			if r := run(t, file); r.code != 0 || r.stdout != "" {
				t.Fatalf("%+v", r)
			}
			r := run(t, file, "-preview")
			if r.code != 0 {
				t.Fatalf("%+v", r)
			}
			var previewed int
			for line := range strings.Lines(r.stdout) {
				var use struct {
					Connector string
					Claims    map[string]any
				}
				if err := json.Unmarshal([]byte(line), &use); err != nil {
					t.Fatal(err)
				}
				previewed++
				want := map[string]any{
					"account_id": tt.account, "project_id": tt.project, "organization_id": "$default",
					"service_id": "checkout-api", "trigger_type": "MANIFEST", "ref": "refs/heads/feature/" + tt.ref,
				}
				for name := range use.Claims {
					if _, ok := want[name]; !ok {
						delete(use.Claims, name)
					}
				}
				if diff := cmp.Diff(want, use.Claims); diff != "" {
					t.Errorf("claims for %s (-want +got):\n%s", use.Connector, diff)
				}
			}
			if previewed != 4 {
				t.Errorf("%d tokens were previewed, want 4", previewed)
			}
		})
	}
}
