package conformance_test

import (
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/internal/needs"
)

// recorder is a proxy that forwards nothing and records every request.
type recorder struct {
	url string

	mu   sync.Mutex
	seen []string
}

func newRecorder(t *testing.T) *recorder {
	r := new(recorder)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.note(describe(request))
		http.Error(w, "this proxy leads nowhere", http.StatusForbidden)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			r.note("a connection")
		}
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *recorder) note(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, what)
}

func (r *recorder) check(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.seen) != 0 {
		t.Errorf("the proxy saw %q", r.seen)
	}
}

// env leads every client to the proxy that reads the environment.
func (r *recorder) env() map[string]string {
	env := make(map[string]string)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		env[name], env[strings.ToLower(name)] = r.url, r.url
	}
	return env
}

// unproxied are values of NO_PROXY and no_proxy that steps may have themselves.
var unproxied = []struct {
	name string
	env  map[string]string
}{
	{"none", nil},
	{"another_host", map[string]string{"NO_PROXY": "internal.example.com"}},
	{"two", map[string]string{"NO_PROXY": "a.example.com", "no_proxy": "b.example.com"}},
	{"empty", map[string]string{"NO_PROXY": "", "no_proxy": ""}},
	{"every_host", map[string]string{"NO_PROXY": "*", "no_proxy": "*"}},
}

// W05: clients that get a JWT from the endpoint show its secret to no proxy, and
// get the token for the audience that they name.
func TestEndpointThroughNoProxy(t *testing.T) {
	t.Parallel()
	needs.Program(t, "curl")
	const other = "https://also.example.com"
	pip := func(distribution string) func(t *testing.T) string {
		return func(t *testing.T) string {
			return output(t, python(t), "-c", `import importlib.metadata as m; print(m.version("`+distribution+`"))`)
		}
	}
	for _, c := range []struct {
		name    string
		version func(*testing.T) string
		run     string
		want    string
	}{
		{"id", pip("id"), `"$PYTHON" "$SCRIPT" id ` + other, "audience " + other},
		{"requests, GET", pip("requests"), `"$PYTHON" "$SCRIPT" requests.get ` + other, "audience " + other},
		{"requests, POST", pip("requests"), `"$PYTHON" "$SCRIPT" requests.post ` + other, "audience " + other},
		{"curl", curlVersion, `curl -sS --fail-with-body -o /dev/null -w '%{http_code}\n' -H @"$OIDCTOKEN_HEADER_FILE" --json '{"audience":"` + other + `"}' "$OIDCTOKEN_URL"`, "200"},
		{"curl, a script", curlVersion, `curl -sS --fail-with-body -o /dev/null -w '%{http_code}\n' -H "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=` + other + `"`, "200"},
		{"curl, a second question mark", curlVersion, `curl -sS --fail-with-body -o /dev/null -w '%{http_code}\n' -H "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" "$ACTIONS_ID_TOKEN_REQUEST_URL?audience=` + other + `"`, "200"},
		{"@actions/core", func(t *testing.T) string {
			return output(t, "node", "-p", `require("`+nodeModules(t)+`/@actions/core/package.json").version`)
		}, `node "$ACTIONS" ` + other + ` 1 0 | grep -o ` + other, other},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			version := c.version(t)
			r := newRecorder(t)
			env := r.env()
			maps.Copy(env, map[string]string{
				"PYTHON": python(t), "SCRIPT": absolute(t, "python", "audience.py"),
				"NODE_PATH": nodeModules(t), "ACTIONS": absolute(t, "node", "idtoken.cjs"),
			})
			p := oidcPipeline(freeAddress(t), "10m", step{})
			p.Stages = nil
			for _, own := range unproxied {
				s := step{ID: own.name, Connectors: []string{"account.vault", "also"}, Env: maps.Clone(env), Run: c.run}
				maps.Copy(s.Env, own.env)
				p.Stages = append(p.Stages, stage{"stage_" + own.name, "CI", []step{s}})
			}
			o := start(t, []string{"HOME=" + t.TempDir()}, p.write(t))
			if o.code != 0 || countLines(o.stdout, c.want) != len(unproxied) {
				t.Errorf("want %d lines %q of stdout; %v", len(unproxied), c.want, o)
			}
			r.check(t)
			row(t, c.name, version, "JWT from the step's endpoint, with HTTP_PROXY and ALL_PROXY, which see nothing")
		})
	}
}

func curlVersion(t *testing.T) string {
	return strings.SplitN(output(t, "curl", "--version"), " (", 2)[0]
}

// W05: libraries of Google ask the endpoint itself, and the proxy for Google.
func TestEndpointGoogleThroughNoProxy(t *testing.T) {
	t.Parallel()
	for _, c := range libraryClients() {
		if !strings.HasPrefix(c.name, "google-auth for Python") && !strings.HasPrefix(c.name, "google-auth-library for Node.js") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			version := c.version(t)
			g, r := newGoogle(t), newRecorder(t)
			var steps []step
			var want []caller
			for _, own := range unproxied {
				if own.name == "every_host" && !strings.Contains(c.name, "Node.js") {
					continue // it would ask Google itself
				}
				s := c.steps(t, g, own.name)[0]
				delete(s.Env, "NO_PROXY")
				s.Env["HTTP_PROXY"], s.Env["http_proxy"] = r.url, r.url
				maps.Copy(s.Env, own.env)
				steps = append(steps, s)
				want = append(want, caller{own.name, account})
			}
			p := g.pipeline(account, steps...)
			p.Connectors[0].ByEndpoint = true
			o := g.run(t, p)
			if o.code != 0 || countLines(o.stdout, c.want) != len(steps) {
				t.Errorf("want %d lines %q of stdout; %v", len(steps), c.want, o)
			}
			if diff := cmp.Diff(want, g.callers(c.api)); diff != "" {
				t.Errorf("callers of %s (-want +got):\n%s", c.api, diff)
			}
			g.checkNothingElse(t)
			r.check(t)
			row(t, c.name, version, "JWT from the step's endpoint, with HTTP_PROXY, which sees nothing: "+c.api)
		})
	}
}

// W05: 64 sessions of boto3 in one step, which all keep their connections, get
// their credentials at once.
func TestEndpointManySessions(t *testing.T) {
	t.Parallel()
	c := boto3()
	c.run = `"$PYTHON" "$SESSIONS" 64`
	version := c.version(t)
	a := newAmazon(t, 1)
	s := a.delivered().step(t, c, "judge", nil)
	s.Env["SESSIONS"] = absolute(t, "python", "sessions.py")
	p := a.pipeline(0, deployer, s)
	p.Connectors[0].ByEndpoint = true
	o := start(t, []string{"HOME=" + t.TempDir()}, p.write(t))
	if arns := printedARNs(o); o.code != 0 || len(arns) != 64 || len(slices.Compact(slices.Sorted(slices.Values(arns)))) != 1 {
		t.Errorf("%d answers; %v", len(arns), o)
	}
	row(t, c.name, version, "64 sessions in one step, credentials from its endpoint: sts:GetCallerIdentity")
}
