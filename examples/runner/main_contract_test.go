package main_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// X01: the demonstration runs without a file. It shows which tokens the stand-in
// verified, that one was refused, and what one connector's tokens state.
func TestDemonstration(t *testing.T) {
	r := finish(t, start(t))
	if r.code != 0 {
		t.Fatalf("exit code %d:\n%s", r.code, r.stderr)
	}
	kid := regexp.MustCompile(`kid [A-Za-z0-9_-]{8}\.\.\.`)
	const verified, refused = "--- Google's stand-in verified the token and admits it: ", "--- Google's stand-in refuses the token, with HTTP status 400: "
	const who = "sub \"account/acme:org/payments:project/ledger\", kid"
	want := []string{
		"--- build/list",
		verified + who,
		"--- build/forbidden",
		refused + who,
		"--- refused, as expected: demo.yaml:45: stages[build].steps[forbidden].env.CLOUDSDK_AUTH_ACCESS_TOKEN: " +
			"expr: line 1, column 1: broker: connector account.gcp_deploy: gcp: exchange for projects/123/locations/global/workloadIdentityPools/ci/providers/deploy: " +
			`unauthorized_client: "The given credential is rejected by the attribute condition."`,
		"--- deploy/migrate",
		verified + who,
	}
	got := strings.Split(strings.TrimSuffix(kid.ReplaceAllString(r.stderr, "kid"), "\n"), "\n")
	for i, line := range got {
		if !strings.HasPrefix(line, "--- refused, as expected: demo.yaml:") {
			continue
		}
		if !strings.Contains(line, "stages[build].steps[forbidden].env.CLOUDSDK_AUTH_ACCESS_TOKEN: ") || !strings.Contains(line, "rejected by the attribute condition") {
			t.Errorf("the refusal is %q", line)
		}
		got[i] = want[4]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stderr (-want +got):\n%s", diff)
	}
	if token := regexp.MustCompile(`[A-Za-z0-9_-]{32,}`).FindString(r.stdout); token != "" {
		t.Errorf("the output holds %q", token)
	}
	var rows []string
	for line := range strings.Lines(r.stdout) {
		if line = strings.TrimSuffix(line, "\n"); len(line) > 100 {
			t.Errorf("the line is longer than 100 bytes: %q", line)
		}
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	for _, row := range []string{
		"sub account/acme:org/payments:project/ledger",
		"connector_id gcp_prod",
		"connector_scope account",
		"claim build deploy",
		"stage_type CI Deployment",
		"stage_id build deploy",
		"environment_id - prod",
		"environment_type - Production",
		"service_id - checkout",
	} {
		if !slices.Contains(rows, row) {
			t.Errorf("no line is %q in:\n%s", row, r.stdout)
		}
	}
}

// D05: the command has the variables that the contract names, and no others.
func TestEnvironment(t *testing.T) {
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG",
		"AZURE_CLIENT_SECRET", "ARM_CLIENT_SECRET", "KUBECONFIG", "SSH_AUTH_SOCK", "USER", "BASH_ENV", "ENV", "STEP_DIR", "STEP_WORKDIR",
	} {
		t.Setenv(name, "stray")
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("LANG", "C")
	os.Unsetenv("TZ")
	file, _ := step(t, "env", "  OWN: one two", "  LANG: C.UTF-8")
	r := run(t, file)
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	shells := []string{"PWD", "OLDPWD", "SHLVL", "_"} // set by sh itself
	got := make(map[string]string)
	for _, line := range strings.Split(strings.TrimSpace(r.stdout), "\n") {
		if name, value, _ := strings.Cut(line, "="); !slices.Contains(shells, name) {
			got[name] = value
		}
	}
	want := map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": home, "LANG": "C.UTF-8", "TMPDIR": os.Getenv("TMPDIR"),
		"OWN": "one two", "OUT": got["OUT"], "STEP_DIR": got["STEP_DIR"], "STEP_WORKDIR": got["STEP_WORKDIR"],
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

// D06: no process has a token in its arguments.
func TestNoTokenInArguments(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	file, out := step(t, `: <+secrets.getJWT("mine")> "$TOKEN"
printf %s "<+secrets.getJWT("mine")>" >"$OUT/jwt"
printf %s "$TOKEN" >"$OUT/token"
tr '\0' ' ' <"/proc/$$/cmdline" >"$OUT/own"
cat /proc/[0-9]*/cmdline >"$OUT/all" 2>/dev/null || true # a process may end meanwhile
cp "$STEP_DIR/.oidctoken/run.sh" "$OUT/script"`,
		`  TOKEN: <+secrets.getGCPAccessToken("account.gcp_prod")>`)
	if r := run(t, file); r.code != 0 || r.stdout != "" {
		t.Fatalf("%+v", r)
	}
	jwt, token, all := read(t, out, "jwt"), read(t, out, "token"), read(t, out, "all")
	if !strings.Contains(read(t, out, "script"), jwt) {
		t.Error("the script was not resolved")
	}
	if own := strings.Fields(read(t, out, "own")); len(own) != 3 || own[0] != "sh" || own[1] != "-e" || filepath.Base(own[2]) != "run.sh" {
		t.Errorf("the command is %q", own)
	}
	if !strings.Contains(all, "run.sh") || strings.Contains(all, jwt) || strings.Contains(all, token) || token == "" {
		t.Errorf("the arguments of all processes are %q", all)
	}
}

// D07: each stream keeps its bytes, except for the secrets.
func TestOutput(t *testing.T) {
	file, out := step(t, `echo "out 1"
echo "err 1" >&2
printf %s "$TOKEN" >"$OUT/token"
echo "token $TOKEN, quoted \"$TOKEN\""
echo "err $TOKEN" >&2
printf %s "$TOKEN" | base64
cat "$STEP_DIR/jwt"
printf 'no line feed'`,
		`  TOKEN: <+secrets.getGCPAccessToken("account.gcp_prod")>`, `files: {jwt: 'jwt=<+secrets.getJWT("mine")>;'}`)
	r := run(t, file)
	token := read(t, out, "token")
	encoded := base64.StdEncoding.EncodeToString([]byte(token))
	if strings.Contains(r.stdout, token) || strings.Contains(r.stdout, encoded[:20]) {
		t.Errorf("stdout is %q", r.stdout)
	}
	tail := regexp.MustCompile(`(?s)\n\*\*\*[A-Za-z0-9+/]?=*\njwt`) // what base64 shares with its padding
	want := result{
		stdout: "out 1\ntoken ***, quoted \"***\"\njwt=***;no line feed",
		stderr: "--- build/list\nerr 1\nerr ***\n",
	}
	r.stdout = tail.ReplaceAllString(r.stdout, "\njwt")
	if diff := cmp.Diff(want, r, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("run (-want +got):\n%s", diff)
	}
}

// Later steps do not run, and the exit code is the code of the failed step.
func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		name, run string
		want      int
	}{
		{"success", "exit 0", 0},
		{"last command", "true\nfalse", 1},
		{"own", "exit 7", 7},
		{"as of a bad file", "exit 2", 2},
		{"as of a refusal", "exit 3", 3},
		{"largest", "exit 255", 255},
		{"syntax", "if", 2},
		{"command not found", "no-such-command 2>/dev/null", 127},
		{"SIGKILL", "kill -9 $$", 137},
		{"SIGTERM", "kill -TERM $$", 143},
		{"SIGINT", "kill -INT $$", 130},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, out := step(t, tt.run)
			file += "  - id: next\n    run: touch " + out + "/next\n- {id: after, type: Custom, steps: [{id: a, run: touch " + out + "/after}]}\n"
			r := run(t, file)
			if r.code != tt.want {
				t.Errorf("%+v, want the exit code %d", r, tt.want)
			}
			ran, err := filepath.Glob(out + "/*")
			if want := map[bool]int{true: 2, false: 0}[tt.want == 0]; err != nil || len(ran) != want {
				t.Errorf("%v ran, %v", ran, err)
			}
			if tt.name != "own" && tt.name != "SIGKILL" {
				return
			}
			if again := finish(t, start(t, writeFile(t, file))); again.code != tt.want {
				t.Errorf("as a process: %+v, want the exit code %d", again, tt.want)
			}
		})
	}
}

func TestNoShell(t *testing.T) {
	file, _ := step(t, "true")
	t.Setenv("PATH", t.TempDir())
	r := run(t, file)
	if diff := cmp.Diff([]string{`exec: "sh": executable file not found in $PATH`}, r.reasons()); diff != "" || r.code != 127 {
		t.Errorf("exit code %d, reasons (-want +got):\n%s", r.code, diff)
	}
}

// The author's env replaces inherited and delivered variables.
func TestAuthorsEnv(t *testing.T) {
	file, _ := step(t, `echo "$LD_PRELOAD|$KUBECONFIG|$FROM|${GOOGLE_APPLICATION_CREDENTIALS##*/}"`,
		"  LD_PRELOAD: ''", "  KUBECONFIG: /author/s", `  PATH: /author/bin:/usr/bin:/bin`, "  FROM: <+stage.variables.conn>", "connectors: [account.gcp_prod]")
	file = strings.Replace(file, "  type: CI\n", "  type: CI\n  variables: {conn: v}\n", 1)
	if r := run(t, file); r.code != 0 || r.stdout != "|/author/s|v|credentials.json\n" {
		t.Errorf("%+v", r)
	}
}
