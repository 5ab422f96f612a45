package main_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken/oidctokentest/googletest"

	runner "github.com/oidctoken/oidctoken/examples/runner"
)

// binary is the path of the runner, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "runner-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // a test runs it as another user
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary = filepath.Join(dir, "runner")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building the runner:", err)
		return 1
	}
	return m.Run()
}

// result is the result of a run.
type result struct {
	stdout, stderr string
	code           int
}

// reasons returns the runner's own lines on stderr, without the names of the
// steps.
func (r result) reasons() []string {
	var lines []string
	for line := range strings.Lines(r.stderr) {
		if !strings.HasPrefix(line, "--- ") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}

// lockedBuffer is a writer for the runner's log and a step's output at once.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// tempDir makes a directory the one for temporary files, and fails the test if
// a run leaves something in it.
func tempDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() { checkEmpty(t, dir) })
	return dir
}

func checkEmpty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("a run left %v, %v", left, err)
	}
}

// writeFile writes a pipeline file, f.yaml.
func writeFile(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a pipeline file in this process.
func run(t *testing.T, file string, flags ...string) result {
	t.Helper()
	tempDir(t)
	var stdout, stderr lockedBuffer
	path := writeFile(t, file)
	code := runner.Run(t.Context(), append(flags, path), &stdout, &stderr)
	r := result{stdout.buf.String(), strings.ReplaceAll(stderr.buf.String(), path, "f.yaml"), code}
	if windows := regexp.MustCompile(`eyJ[A-Za-z0-9_-]{9}`); windows.MatchString(r.stdout) || windows.MatchString(r.stderr) {
		t.Errorf("a JWT is in the output:\n%s\n%s", r.stdout, r.stderr)
	}
	return r
}

// start is the built runner with its own directory for temporary files, which
// is checked in the end.
func start(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	dir := t.TempDir()
	t.Cleanup(func() { checkEmpty(t, dir) })
	command := exec.CommandContext(ctx, binary, args...)
	command.Env = append(os.Environ(), "TMPDIR="+dir)
	return command
}

// finish runs a command that start returned.
func finish(t *testing.T, command *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if command.ProcessState == nil {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}

// head is the beginning of most files: eleven lines.
const head = `account: acme
organization: payments
project: ledger
pipeline: release
connectors:
- id: account.gcp_prod
  gcp: {provider: ` + provider + `}
- id: account.vault
  oidc: {audiences: [https://vault.example.com, https://other.example.com]}
- id: mine
  oidc: {audiences: [https://mine.example.com]}
`

const provider = "projects/123/locations/global/workloadIdentityPools/ci/providers/acme"

// steps returns a file whose one stage has these steps, each a block of YAML; the
// first begins in line 16.
func steps(blocks ...string) string {
	text := head + "stages:\n- id: build\n  type: CI\n  steps:\n"
	for _, b := range blocks {
		lines := strings.Split(strings.TrimSuffix(b, "\n"), "\n")
		text += "  - " + strings.Join(lines, "\n    ") + "\n"
	}
	return text
}

// step returns a file with one step, named list, that has a directory to leave
// things in, in $OUT.
func step(t *testing.T, run string, more ...string) (file, out string) {
	t.Helper()
	out = t.TempDir()
	lines := append([]string{"id: list", "run: |", indent(run), "env:", "  OUT: " + out}, more...)
	return steps(strings.Join(lines, "\n")), out
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ")
}

func read(t *testing.T, elem ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// freeAddress returns a loopback address without a listener: a stand-in must
// know the runner's issuer before the runner starts.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// google returns a stand-in that trusts an issuer, with the flags that lead
// account.gcp_prod of a file to it.
func google(t *testing.T, issuer string) (g *googletest.Server, flags []string) {
	t.Helper()
	g, err := googletest.New(googletest.Config{
		Providers:       []googletest.Provider{{Name: provider, Issuer: issuer}},
		ServiceAccounts: []googletest.ServiceAccount{{Email: account, Members: []string{"principalSet://iam.googleapis.com/" + pool + "/*"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	return g, []string{
		"-set", "connectors[account.gcp_prod].gcp.tokenURL=" + server.URL + "/v1/token",
		"-set", "connectors[account.gcp_prod].gcp.impersonationURL=" + server.URL,
	}
}

const (
	pool    = "projects/123/locations/global/workloadIdentityPools/ci"
	account = "deployer@acme-prod.iam.gserviceaccount.com"
)
