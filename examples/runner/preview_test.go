package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPreview pins whole lines: other programs read them.
func TestPreview(t *testing.T) {
	g, flags := google(t, "https://ci.example.com/oidc")
	out := t.TempDir()
	file := head + `issuer: {url: https://ci.example.com/oidc}
stages:
- id: build
  type: CI
  variables: {conn: mine}
  steps:
  - id: one
    connectors: [account.gcp_prod]
    env:
      A: <+secrets.getJWT("account.vault")>
      B: <+secrets.getGCPAccessToken("account.gcp_prod")>
    files: {f: '<+secrets.getJWTFile("account.vault", "https://other.example.com")>'}
    run: |
      touch ` + out + `/ran <+secrets.getJWT("account.vault")>
      <+secrets.getJWT(<+stage.variables.conn>)> <+true ? "" : secrets.getJWT("account.vault")>
  - {id: none, run: touch ` + out + `/ran}
- id: deploy
  type: Deployment
  environment: {id: prod, type: Production}
  steps:
  - {id: two, run: 'touch ` + out + `/ran <+secrets.getJWT("mine")>'}
`
	const common = `"claims":{"iss":"https://ci.example.com/oidc","sub":"account/acme:org/payments:project/ledger","aud":`
	const scope = `,"account_id":"acme","organization_id":"payments","project_id":"ledger","pipeline_id":"release","context":"PIPELINE_EXECUTION",`
	line := func(stage, step, ref, audience, connector, stageClaims string) string {
		return `{"stage":"` + stage + `","step":"` + step + `","connector":"` + ref + `","audience":"` + audience + `",` +
			common + `"` + audience + `"` + scope + connector + `,` + stageClaims + `}}`
	}
	const vault, mine = `"connector_id":"vault","connector_scope":"account"`, `"connector_id":"mine","connector_scope":"project"`
	const one, two = `"stage_type":"CI","stage_id":"build","step_id":"one"`, `"stage_type":"Deployment","stage_id":"deploy","step_id":"two"`
	want := []string{
		line("build", "one", "account.gcp_prod", "https://iam.googleapis.com/"+provider, `"connector_id":"gcp_prod","connector_scope":"account"`, one),
		line("build", "one", "account.vault", "https://vault.example.com", vault, one),
		line("build", "one", "account.vault", "https://other.example.com", vault, one),
		line("build", "one", "mine", "https://mine.example.com", mine, one),
		line("deploy", "two", "mine", "https://mine.example.com", mine, two+`,"environment_id":"prod","environment_type":"Production"`),
		"",
	}
	r := run(t, file, append([]string{"-preview"}, flags...)...)
	if diff := cmp.Diff(want, strings.Split(r.stdout, "\n")); diff != "" || r.code != 0 || r.stderr != "" {
		t.Errorf("exit code %d, %s; stdout (-want +got):\n%s", r.code, r.stderr, diff)
	}
	if n := g.Requests("/v1/token"); n != 0 {
		t.Errorf("%d exchanges", n)
	}
	if _, err := os.Stat(filepath.Join(out, "ran")); !os.IsNotExist(err) {
		t.Errorf("a step ran: %v", err)
	}
}

// With nullUnknown, unknown claims are null, in tokens for clouds as well.
func TestNullUnknown(t *testing.T) {
	file, _ := step(t, `: <+secrets.getJWT("account.vault")>`, "connectors: [account.gcp_prod]")
	r := run(t, file+"issuer: {nullUnknown: true}\n", "-preview")
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	if r.code != 0 || len(lines) != 2 {
		t.Fatalf("%+v", r)
	}
	for _, line := range lines {
		var use struct{ Claims map[string]any }
		if err := json.Unmarshal([]byte(line), &use); err != nil {
			t.Fatal(err)
		}
		if trigger, there := use.Claims["trigger_type"]; !there || trigger != nil || use.Claims["stage_id"] != "build" {
			t.Errorf("claims %v", use.Claims)
		}
		for _, name := range []string{"iat", "nbf", "exp", "jti"} {
			if _, there := use.Claims[name]; there {
				t.Errorf("a preview has %s", name)
			}
		}
	}
	minted := run(t, file+"issuer: {nullUnknown: true}\n")
	if minted.code != 0 {
		t.Errorf("%+v", minted)
	}
}

// A preview reports the refusals by the rules of a connector, with the rule. It
// prints all other tokens.
func TestPreviewAsksRules(t *testing.T) {
	file := steps("id: one\nrun: echo <+secrets.getJWT(\"mine\")>", "id: two\nrun: echo <+secrets.getJWT(\"account.vault\")>") +
		"issuer: {algorithms: [ES256]}\n"
	file = strings.Replace(file, "other.example.com]}\n", "other.example.com]}\n  rules: {stageTypes: [Deployment]}\n", 1)
	r := run(t, file, "-preview")
	const want = `f.yaml:20: stages[build].steps[two].run: expr: line 1, column 8: secrets.getJWT: failed: ` +
		"broker: connector account.vault: denied by policy: the connector's Rules.StageTypes does not admit the step"
	if reasons := r.reasons(); r.code != 3 || len(reasons) != 1 || reasons[0] != want || strings.Count(r.stdout, "\n") != 1 || !strings.Contains(r.stdout, `"step":"one"`) {
		t.Errorf("%+v\nwant the exit code 3 and %s", r, want)
	}
}
