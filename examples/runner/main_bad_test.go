package main_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	runner "github.com/oidctoken/oidctoken/examples/runner"
)

// A mistake in a file is reported in one line before anything is started. The
// reader's own refusals are tested in its package; these are some of them, and
// all of the runner's.
func TestBadFiles(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()

	first := "id: first\nrun: touch $MARKER" // lines 16 and 17
	at := "f.yaml:19: stages[build].steps[list]."
	listed := func(lines string) string { return steps(first, "id: list\n"+lines) }
	const tail = "stages:\n- {id: build, type: CI, steps: [{id: first, run: touch $MARKER}]}\n"
	const expr = "expr: line 1, column 3: "
	for _, tt := range []struct {
		name, file string
		flags      []string
		want       string
	}{
		{"YAML", "account: [\n", nil, "f.yaml:1: file: is not YAML: did not find expected node content"},
		{"unknown key", listed("command: x"), nil, at + "command: is not a key here"},
		{"unknown connector", listed("connectors: [account.gcp]\nrun: x"), nil, at + `connectors: unknown connector account.gcp: was "account.gcp_prod" meant?`},
		{"unknown connector in an expression", listed(`run: <+secrets.getJWT("account.gcp")>`), nil, at + "run: " + expr + "secrets.getJWT: failed: broker: connector account.gcp: no such connector in account acme; did you mean account.gcp_prod?"},
		{"another project's", listed(`run: <+secrets.getJWT("gcp_prod")>`), nil, at + "run: " + expr + "secrets.getJWT: failed: broker: connector gcp_prod: no such connector in project acme/payments/ledger; did you mean account.gcp_prod?"},
		{"no reference", listed(`run: <+secrets.getJWT("rival.gcp_prod")>`), nil, at + "run: " + expr + `secrets.getJWT: failed: broker: the connector reference begins with something other than account. or org.`},
		{"audience", listed(`run: <+secrets.getJWT("mine", "https://evil.example.com")>`), nil, at + "run: " + expr + `secrets.getJWT: failed: broker: connector mine: denied by policy: the connector does not allow that audience; it allows ["https://mine.example.com"]`},
		{"wrong cloud", listed(`run: <+secrets.getGCPAccessToken("mine")>`), nil, at + "run: " + expr + "secrets.getGCPAccessToken: failed: broker: connector mine gives a JWT and leads to no cloud, and secrets.getGCPAccessToken needs a connector of gcp: use secrets.getJWT or secrets.getJWTFile, or name a connector of gcp"},
		{"unknown function", listed("env: {A: '<+secrets.getJwt(\"mine\")>'}\nrun: x"), nil, at + "env.A: " + expr + "secrets.getJwt: unknown function; the nearest is secrets.getJWT"},
		{"unknown variable", listed("files: {a/b: '<+stage.variables.x>'}\nrun: x"), nil, at + "files[a/b]: " + expr + "stage.variables.x: unknown variable"},
		{"reflection", listed("run: <+stage.getClass().forName(\"x\")>"), nil, at + "run: " + expr + "stage.getClass: unknown function: stage has variables, but no functions"},
		{"unclosed expression", listed("run: |\n  a\n  <+secrets.getJWT(\"mine\""), nil, at + "run: expr: line 2, column 1: secrets.getJWT: the expression that begins here is not closed; to write <+ as text, write <\\+"},
		{"method of a secret", listed(`run: <+<+secrets.getJWT("mine")>.split(".")[1]>`), nil, ""},
		{"namesakes", listed("run: x"), []string{"-set", "connectors[account.gcp_prod].rules.projects[0]=ledger"}, ""},
		{"no endpoint", listed("run: x"), []string{"-set", "connectors[mine].byEndpoint=true"}, ""},
		{"line break in env", listed("env: {A: \"x\\ny\"}\nrun: x"), nil, at + "env.A: has a line break: give it as a file, or without (YAML's >- folds lines)"},
		{"block in env", listed("env:\n  A: |\n    <+secrets.getJWT(\"mine\")>\nrun: x"), nil, "f.yaml:20: stages[build].steps[list].env.A: has a line break: give it as a file, or without (YAML's >- folds lines)"},
		{"line break by -set", listed("run: x"), []string{"-set", "stages[build].steps[list].env.A=x\ny"}, "-set stages[build].steps[list].env.A: has a line break: give it as a file, or without (YAML's >- folds lines)"},
		{"STEP_DIR", listed("env: {STEP_DIR: /}\nrun: x"), nil, at + "env.STEP_DIR: is set by the runner, to the directory of the step's files"},
		{"STEP_WORKDIR", listed("env: {STEP_WORKDIR: /}\nrun: x"), nil, at + "env.STEP_WORKDIR: is set by the runner, to the directory that the command starts in"},
		{"AWS without a Region", "account: acme\nconnectors:\n- id: account.x\n  aws:\n    roleARN: arn:aws:iam::123456789012:role/deployer\n" + tail, nil, "f.yaml:4: connectors[account.x].aws.region: is required"},
		{"AWS with another partition's Region", "account: acme\nconnectors:\n- id: account.x\n  aws:\n    roleARN: arn:aws:iam::123456789012:role/deployer\n    region: cn-north-1\n" + tail, nil, "f.yaml:6: connectors[account.x].aws.region: is in another partition than RoleARN"},
		{"AWS with an unknown way for tags", "account: acme\nconnectors:\n- id: account.x\n  aws: {roleARN: 'arn:aws:iam::123456789012:role/deployer', region: eu-west-1, sessionTags: [ref], unfitTags: {ref: cut}}\n" + tail, nil, "f.yaml:4: connectors[account.x].aws.unfitTags: has a value other than fail, omit and encode"},
		{"Azure with a tenant that is none", "account: acme\nconnectors:\n- id: account.x\n  azure: {tenantID: x y, clientID: z}\n" + tail, nil, "f.yaml:4: connectors[account.x].azure.tenantID: is neither the GUID nor a verified domain of a tenant"},
		{"provider", listed("run: x"), []string{"-set", "connectors[account.gcp_prod].gcp.provider=projects/acme"}, ""},
		{"token URL", listed("run: x"), []string{"-set", "connectors[account.gcp_prod].gcp.tokenURL=http://sts.example.com/v1/token"}, ""},
		{"-set of nothing", listed("run: x"), []string{"-set", "stages[deploy].id=x"}, `-set stages[deploy].id: there is no "deploy" in stages`},
		{"another tenant by -set", listed(`run: <+secrets.getJWT("mine")>`), []string{"-set", "connectors[mine].id=rival.mine"}, "-set connectors[rival.mine].id: begins with something other than account. or org."},
		{"address", listed("run: x") + "issuer: {listen: '" + address + "'}\n", nil, "f.yaml:20: issuer.listen: listen tcp " + address + ": bind: address already in use"},
		{"certificate", listed("run: x") + "issuer: {tls: {cert: /nonexistent, key: /nonexistent}}\n", nil, "f.yaml:20: issuer.tls: open /nonexistent: no such file or directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			marker := filepath.Join(t.TempDir(), "ran")
			r := run(t, strings.ReplaceAll(tt.file, "$MARKER", marker), tt.flags...)
			lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
			if r.code != 2 || r.stdout != "" || len(lines) != 1 {
				t.Errorf("%+v, want the exit code 2 and one line on stderr", r)
			}
			if diff := cmp.Diff(tt.want, lines[0]); diff != "" && tt.want != "" {
				t.Errorf("stderr (-want +got):\n%s", diff)
			}
			if _, err := os.Stat(marker); !os.IsNotExist(err) {
				t.Errorf("a step ran: %v", err)
			}
			if again := run(t, tt.file, append([]string{"-preview"}, tt.flags...)...); again != r {
				t.Errorf("-preview: %+v, without %+v", again, r)
			}
		})
	}
}

// D05: what only an expression shows is refused when it is resolved.
func TestBadValue(t *testing.T) {
	file, out := step(t, `touch "$OUT/ran"`, "  A: x<+stage.variables.v>y")
	file = strings.Replace(file, "  type: CI\n", "  type: CI\n  variables: {v: \"1\\n2\"}\n", 1)
	r := run(t, file)
	want := []string{"f.yaml:22: stages[build].steps[list].env.A: has a line break: give it as a file, or without (YAML's >- folds lines)"}
	if diff := cmp.Diff(want, r.reasons()); diff != "" || r.code != 3 {
		t.Errorf("exit code %d, reasons (-want +got):\n%s", r.code, diff)
	}
	if _, err := os.Stat(filepath.Join(out, "ran")); !os.IsNotExist(err) {
		t.Errorf("the step ran: %v", err)
	}
	// Line breaks within an expression are white space.
	file, _ = step(t, `echo "$A"`, `  A: "x<+\n  stage.variables.v\n>y"`)
	file = strings.Replace(file, "  type: CI\n", "  type: CI\n  variables: {v: w}\n", 1)
	if r := run(t, file); r.code != 0 || r.stdout != "xwy\n" {
		t.Errorf("%+v", r)
	}
}

func TestArguments(t *testing.T) {
	good := writeFile(t, steps("id: a\nrun: true"))
	for _, tt := range []struct {
		name string
		args []string
		want int
		text string // in stderr
	}{
		{"two files", []string{good, good}, 2, "more than one FILE"},
		{"a flag after the file", []string{good, "-preview"}, 2, "flags go before it"},
		{"no such file", []string{good + ".yml"}, 2, "no such file"},
		{"a directory", []string{filepath.Dir(good)}, 2, "is a directory"},
		{"unknown flag", []string{"-x", good}, 2, "-x"},
		{"help", []string{"-h"}, 0, "KEY=VALUE"},
		{"good", []string{good}, 0, "--- build/a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tempDir(t)
			var stdout, stderr lockedBuffer
			code := runner.Run(t.Context(), tt.args, &stdout, &stderr)
			if code != tt.want || stdout.buf.Len() != 0 || !strings.Contains(stderr.buf.String(), tt.text) {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout.buf.String(), stderr.buf.String())
			}
		})
	}
}
