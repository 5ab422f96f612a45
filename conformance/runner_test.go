package conformance_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken/oidctokentest"
)

// runner is the path of the runner, built once.
var runner string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	runner = filepath.Join(dir, "runner")
	build := exec.Command("go", "build", "-o", runner, "github.com/oidctoken/oidctoken/examples/runner")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building the runner:", err)
		return 1
	}
	return m.Run()
}

// needs skips a test whose program is missing. In CI that is a failure, unless
// CI itself tried to install the program and said so.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	absent := strings.Fields(os.Getenv("OIDCTOKEN_ABSENT"))
	if os.Getenv("CI") != "" && !slices.Contains(absent, program) {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("%s is not installed", program)
}

// freeAddress is a loopback address that nobody listens on. The runner's issuer
// has to be known to a stand-in before the runner starts.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

const (
	provider = "projects/123456789012/locations/global/workloadIdentityPools/ci/providers/acme"
	pool     = "projects/123456789012/locations/global/workloadIdentityPools/ci"
	account  = "deployer@acme-prod.iam.gserviceaccount.com"
	project  = "acme-prod"
)

// google is a stand-in that trusts the issuer at an address.
type google struct {
	*oidctokentest.Google
	url    string
	issuer string // address
}

func newGoogle(t *testing.T) *google {
	t.Helper()
	g := &google{issuer: freeAddress(t)}
	var err error
	g.Google, err = oidctokentest.NewGoogle(oidctokentest.GoogleConfig{
		Providers: []oidctokentest.GoogleProvider{{
			Name:   provider,
			Issuer: "http://" + g.issuer,
			AttributeMapping: map[string]string{
				"google.subject":           "assertion.sub",
				"attribute.project_id":     "assertion.project_id",
				"attribute.connector_id":   "assertion.connector_id",
				"attribute.stage_type":     "assertion.stage_type",
				"attribute.pipeline_id":    "assertion.pipeline_id",
				"attribute.account_id":     "assertion.account_id",
				"attribute.organization":   "assertion.organization_id",
				"attribute.connector_from": "assertion.connector_scope",
			},
		}},
		ServiceAccounts: []oidctokentest.GoogleServiceAccount{{
			Email:   account,
			Members: []string{"principalSet://iam.googleapis.com/" + pool + "/attribute.project_id/ledger"},
		}},
		Projects: []oidctokentest.GoogleProject{{ID: project, Number: "123456789012"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

// run runs a pipeline file and returns the output of its steps.
func run(t *testing.T, file string, flags ...string) (stdout, stderr string, code int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipeline.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, runner, append(flags, path)...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	if command.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), command.ProcessState.ExitCode()
}

var _ http.Handler = (*google)(nil)
