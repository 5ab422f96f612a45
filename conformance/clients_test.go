package conformance_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// client is a foreign program that calls Google with the environment of a step.
type client struct {
	name    string
	version func(*testing.T) string // skips the test if the client is missing
	env     func(*testing.T, *google) map[string]string
	run     string // prints the answer
	api     string // that it calls
	want    string // a line of the output

	// undelivered is a client that has to do with what its environment names,
	// without the connector's files.
	undelivered bool
}

const projectsAPI = "GET cloudresourcemanager.googleapis.com/v1/projects"

// identities are the identities of a connector: the federated one, or a service
// account's.
var identities = []struct{ name, serviceAccount string }{
	{"direct", ""},
	{"impersonation", account},
}

// Every client, unmodified, authenticates with the files and the environment
// that the runner gives a step, byte for byte as in production. Two steps that
// run one after the other with one home directory, as one principal, each use
// their own credentials, although clients cache: X12 X14 D05
func TestClients(t *testing.T) {
	for _, c := range clients() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			version := c.version(t)
			for _, identity := range identities {
				t.Run(identity.name, func(t *testing.T) {
					t.Parallel()
					g := newGoogle(t)
					o := g.run(t, g.pipeline(identity.serviceAccount, c.steps(t, g, "first", "second")...))
					if o.code != 0 || countLines(o.stdout, c.want) != 2 {
						t.Errorf("want two lines %q of stdout; %v", c.want, o)
					}
					want := []caller{{"first", identity.serviceAccount}, {"second", identity.serviceAccount}}
					if diff := cmp.Diff(want, g.callers(c.api)); diff != "" {
						t.Errorf("callers of %s (-want +got):\n%s", c.api, diff)
					}
					g.checkNothingElse(t)
					row(t, c.name, version, "two steps, "+identity.name+": "+c.api)
				})
			}
		})
	}
}

// row prints a row with the judge, its version, the check and the result.
func row(t *testing.T, judge, version, did string) {
	t.Helper()
	verdict := "good"
	if t.Failed() {
		verdict = "BAD"
	}
	t.Logf("| %s | %s | %s | %s |", judge, version, did, verdict)
}

// steps returns steps of those names that run the client.
func (c client) steps(t *testing.T, g *google, ids ...string) []step {
	t.Helper()
	var env map[string]string
	if c.env != nil {
		env = c.env(t, g)
	}
	var steps []step
	for _, id := range ids {
		s := g.step(id, c.run, env)
		if c.undelivered {
			s.Connectors = nil
		}
		steps = append(steps, s)
	}
	return steps
}

func clients() []client {
	return append(cloudSDKClients(), libraryClients()...)
}

// libraryClients are small programs on Google's client libraries, which find
// their credentials by themselves.
func libraryClients() []client {
	return []client{
		{
			name:    "cloud.google.com/go/auth",
			version: func(t *testing.T) string { return moduleVersion(t, "cloud.google.com/go/auth") },
			env:     goClientEnv, run: `"$GO_CLIENT" auth`, api: projectsAPI, want: project,
		},
		{
			name:    "golang.org/x/oauth2/google",
			version: func(t *testing.T) string { return moduleVersion(t, "golang.org/x/oauth2") },
			env:     goClientEnv, run: `"$GO_CLIENT" oauth2`, api: projectsAPI, want: project,
		},
		{
			name: "google-auth for Python",
			version: func(t *testing.T) string {
				return output(t, python(t), "-c", "import google.auth; print(google.auth.__version__)")
			},
			env: func(t *testing.T, _ *google) map[string]string {
				return map[string]string{"PYTHON": python(t), "SCRIPT": absolute(t, "python", "projects.py")}
			},
			run: `"$PYTHON" "$SCRIPT"`, api: projectsAPI, want: project,
		},
		{
			name: "google-auth-library for Node.js",
			version: func(t *testing.T) string {
				return output(t, "node", "-p", `require("`+nodeModules(t)+`/google-auth-library/package.json").version + ", Node.js " + process.version`)
			},
			env: func(t *testing.T, _ *google) map[string]string {
				return map[string]string{"NODE_PATH": nodeModules(t), "SCRIPT": absolute(t, "node", "projects.cjs")}
			},
			run: `node "$SCRIPT"`, api: projectsAPI, want: project,
		},
		{
			name: "google-auth-library-oauth2-http for Java", version: javaVersion,
			env: javaEnv, run: `java -cp "$LIBRARIES/*" "$SCRIPT"`, api: projectsAPI, want: project,
		},
		spannerClient(),
	}
}

func goClientEnv(*testing.T, *google) map[string]string {
	return map[string]string{"GO_CLIENT": goClient}
}

// countLines counts the lines of text that are line.
func countLines(text, line string) int {
	n := 0
	for l := range strings.Lines(text) {
		if strings.TrimSpace(l) == line {
			n++
		}
	}
	return n
}

// output returns the output of a command, in one line.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return strings.Join(strings.Fields(string(out)), " ")
}

// moduleVersion returns the version of a module that the programs here are built
// with.
func moduleVersion(t *testing.T, module string) string {
	t.Helper()
	return output(t, "go", "list", "-m", "-f", "{{.Version}}", module)
}
