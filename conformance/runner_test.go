package conformance_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Programs of this repository, built once: their paths.
var runner, goClient, goAWS, goAzure string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	runner, goClient = filepath.Join(dir, "runner"), filepath.Join(dir, "goclient")
	goAWS, goAzure = filepath.Join(dir, "goaws"), filepath.Join(dir, "goazure")
	build := exec.Command("go", "build", "-o", dir+"/", "github.com/oidctoken/oidctoken/examples/runner", "./goclient", "./goaws", "./goazure")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building the runner and the Go clients:", err)
		return 1
	}
	return m.Run()
}

// freeAddress returns a loopback address without a listener. A stand-in must
// know the runner's issuer before the runner starts. The port stays free until
// then, because systems do not assign such ports to listeners without a fixed
// port.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(20_000+rand.IntN(12_000)))
		if l, err := net.Listen("tcp", address); err == nil {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return address
		}
	}
	t.Fatal("there is no free address")
	return ""
}

// pipeline is a file for the runner.
type pipeline struct {
	Account      string         `json:"account"`
	Organization string         `json:"organization"`
	Project      string         `json:"project"`
	Pipeline     string         `json:"pipeline"`
	Issuer       map[string]any `json:"issuer"`
	Connectors   []connector    `json:"connectors"`
	Stages       []stage        `json:"stages"`
}

type connector struct {
	ID    string            `json:"id"`
	GCP   map[string]string `json:"gcp,omitempty"`
	AWS   map[string]any    `json:"aws,omitempty"`
	Azure map[string]string `json:"azure,omitempty"`
	OIDC  map[string]any    `json:"oidc,omitempty"`

	ByEndpoint bool `json:"byEndpoint,omitempty"`
}

type stage struct {
	ID    string `json:"id"`
	Type  string `json:"type"`
	Steps []step `json:"steps"`
}

type step struct {
	ID         string            `json:"id"`
	Connectors []string          `json:"connectors,omitempty"`
	Env        map[string]string `json:"env,omitempty"`
	Files      map[string]string `json:"files,omitempty"`
	Run        string            `json:"run"`
}

const gcpConnector = "account.gcp_prod"

// newPipeline returns a file with one connector. Each step is a stage's, of the step's
// name. The issuer is the runner's, at that address.
func newPipeline(issuer string, c connector, steps []step) pipeline {
	p := pipeline{
		Account: "acme", Organization: "payments", Project: "ledger", Pipeline: "release",
		Issuer:     map[string]any{"listen": issuer},
		Connectors: []connector{c},
	}
	for _, s := range steps {
		p.Stages = append(p.Stages, stage{"stage_" + s.ID, "CI", []step{s}})
	}
	return p
}

// pipeline returns a file whose connector leads to g through Google's own hosts.
func (g *google) pipeline(serviceAccount string, steps ...step) pipeline {
	return newPipeline(g.issuer, connector{ID: gcpConnector, GCP: map[string]string{
		"provider":         provider,
		"serviceAccount":   serviceAccount,
		"tokenURL":         "https://sts.googleapis.com/v1/token",
		"impersonationURL": "https://iamcredentials.googleapis.com",
	}}, steps)
}

// step returns a step with the connector's whole environment and files, the
// proxy, and env.
func (g *google) step(id, run string, env map[string]string) step {
	s := step{ID: id, Connectors: []string{gcpConnector}, Env: g.proxyEnv(), Run: run}
	maps.Copy(s.Env, env)
	return s
}

// proxyEnv makes every client use the proxy and trust its CA. It changes
// nothing else.
func (g *google) proxyEnv() map[string]string {
	return map[string]string{
		"HTTPS_PROXY":                        g.proxy.url,
		"HTTP_PROXY":                         g.proxy.url,
		"NO_PROXY":                           "127.0.0.1,localhost",
		"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": g.proxy.caFile,
		"REQUESTS_CA_BUNDLE":                 g.proxy.caFile,
		"SSL_CERT_FILE":                      g.proxy.caFile,
		"SSL_CERT_DIR":                       "/nonexistent",
		"CURL_CA_BUNDLE":                     g.proxy.caFile,
		"NODE_EXTRA_CA_CERTS":                g.proxy.caFile,

		"CLOUDSDK_CORE_DISABLE_PROMPTS":                   "1",
		"CLOUDSDK_CORE_DISABLE_USAGE_REPORTING":           "1",
		"CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
	}
}

// outcome is the result of a run.
type outcome struct {
	stdout, stderr string
	code           int
}

func (o outcome) String() string {
	return fmt.Sprintf("exit code %d\nstdout: %s\nstderr: %s", o.code, o.stdout, o.stderr)
}

// run runs a pipeline file on a separate machine: the steps share a home
// directory.
func (g *google) run(t *testing.T, p pipeline) outcome {
	t.Helper()
	return g.start(t, []string{"HOME=" + t.TempDir()}, p.write(t))
}

// start starts the runner, whose own exchanges go through the proxy, too.
func (g *google) start(t *testing.T, env []string, args ...string) outcome {
	t.Helper()
	return start(t, append([]string{"HTTPS_PROXY=" + g.proxy.url, "SSL_CERT_FILE=" + g.proxy.caFile}, env...), args...)
}

// write writes the file to a new directory.
func (p pipeline) write(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pipeline.yaml")
	if err := os.WriteFile(path, []byte(encode(t, p)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// start runs the runner with these arguments, with env added to its own
// environment.
func start(t *testing.T, env []string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, runner, args...)
	command.WaitDelay = 10 * time.Second
	command.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "LANG=C.UTF-8",
	}, env...) // of two values of a variable the last counts
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if command.ProcessState == nil {
		t.Fatal(err)
	}
	return outcome{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}
