package conformance_test

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/internal/needs"
)

const (
	vaultAudience = "https://vault.example.com"

	// short is the lifetime of a token in seconds, and pause the time between
	// two requests, of which there are several in a lifetime and which go on for
	// more than three.
	short    = 6
	pause    = "2.5"
	requests = "10"
)

func oidcPipeline(issuer string, lifetime string, s step) pipeline {
	p := newPipeline(issuer, connector{ID: "account.vault", OIDC: map[string]any{"audiences": []string{vaultAudience}}}, []step{s})
	p.Connectors = append(p.Connectors, connector{ID: "also", OIDC: map[string]any{"audiences": []string{"https://also.example.com"}}})
	p.Issuer["lifetime"] = lifetime
	return p
}

// GitHub's own client gets tokens from a step's endpoint, by audience, also
// after the tokens were renewed.
func TestActionsCore(t *testing.T) {
	t.Parallel()
	modules := nodeModules(t)
	version := output(t, "node", "-p", `require("`+modules+`/@actions/core/package.json").version + ", Node.js " + process.version`)
	env := map[string]string{"NODE_PATH": modules, "SCRIPT": absolute(t, "node", "idtoken.cjs")}
	for _, tt := range []struct {
		name       string
		connectors []string
		run        string
		aud, id    string
		renewed    bool
	}{
		{"no audience, one connector", []string{"account.vault"}, `node "$SCRIPT" "" 1 0`, vaultAudience, "vault", false},
		{"audience, two connectors", []string{"account.vault", "also"}, `node "$SCRIPT" https://also.example.com 1 0`, "https://also.example.com", "also", false},
		{"three renewals", []string{"account.vault"}, `node "$SCRIPT" "" ` + requests + " " + pause, vaultAudience, "vault", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := step{ID: "judge", Connectors: tt.connectors, Env: env, Run: tt.run}
			o := start(t, []string{"HOME=" + t.TempDir()}, oidcPipeline(freeAddress(t), "6s", s).write(t))
			tokens := make(map[string]bool)
			for line := range strings.Lines(o.stdout) {
				words := strings.Fields(line)
				if strings.HasPrefix(line, "::") {
					continue // commands for GitHub's runner
				}
				if len(words) != 4 || words[2] != tt.aud || words[3] != tt.id {
					t.Errorf("it printed %q", line)
					continue
				}
				tokens[words[1]] = true
			}
			if o.code != 0 || !tt.renewed && len(tokens) != 1 || tt.renewed && len(tokens) < 4 {
				t.Errorf("%d tokens; %v", len(tokens), o)
			}
			row(t, "@actions/core", version, "getIDToken(): "+tt.name)
		})
	}
	t.Run("two connectors, no audience", func(t *testing.T) {
		t.Parallel()
		s := step{ID: "judge", Connectors: []string{"account.vault", "also"}, Env: env, Run: `node "$SCRIPT" "" 1 0`}
		o := start(t, []string{"HOME=" + t.TempDir()}, oidcPipeline(freeAddress(t), "6s", s).write(t))
		if o.code != 1 || !strings.Contains(o.stderr, "account.vault") || !strings.Contains(o.stderr, "also") {
			t.Errorf("the error does not name the candidates; %v", o)
		}
		row(t, "@actions/core", version, "getIDToken(): an ambiguous request is refused, with the candidates")
	})
}

// curl needs no token in its arguments.
func TestEndpointCurl(t *testing.T) {
	t.Parallel()
	needs.Program(t, "curl")
	s := step{ID: "judge", Connectors: []string{"account.vault", "also"}, Run: `
		curl -sS --fail-with-body -H @"$OIDCTOKEN_HEADER_FILE" --json '{"audience":"` + vaultAudience + `"}' "$OIDCTOKEN_URL" >answer
		curl -sS -o /dev/null -w '%{http_code}\n' -H 'Authorization: Bearer guess' "$OIDCTOKEN_URL"
		cut -c1-30 answer`}
	o := start(t, []string{"HOME=" + t.TempDir()}, oidcPipeline(freeAddress(t), "6s", s).write(t))
	lines := strings.Split(o.stdout, "\n")
	if o.code != 0 || lines[0] != "401" || !strings.Contains(lines[1], `"value":"eyJ`) {
		t.Errorf("%v", o)
	}
	row(t, "curl", strings.SplitN(output(t, "curl", "--version"), "\n", 2)[0], "POST of an audience, with the header from a file")
}

// Clients of Google request the JWT from the endpoint of their key file each
// time they need one.
func TestEndpointGoogle(t *testing.T) {
	t.Parallel()
	for _, c := range clients() {
		if c.undelivered || c.name == "gcloud after auth login" {
			continue // they differ from gcloud only in how they get the file
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			version := c.version(t)
			g := newGoogle(t)
			p := g.pipeline(account, c.steps(t, g, "judge")...)
			p.Connectors[0].ByEndpoint = true
			o := g.run(t, p)
			if o.code != 0 || countLines(o.stdout, c.want) != 1 {
				t.Errorf("want a line %q of stdout; %v", c.want, o)
			}
			if diff := cmp.Diff([]caller{{"judge", account}}, g.callers(c.api)); diff != "" {
				t.Errorf("callers of %s (-want +got):\n%s", c.api, diff)
			}
			g.checkNothingElse(t)
			row(t, c.name, version, "JWT from the step's endpoint: "+c.api)
		})
	}
}

// google-auth works for longer than the lifetime of any token.
func TestEndpointGoogleRenewed(t *testing.T) {
	t.Parallel()
	version := output(t, python(t), "-c", "import google.auth; print(google.auth.__version__)")
	g := newGoogle(t)
	s := g.step("judge", `"$PYTHON" "$REPEAT" "$SCRIPT" `+requests+" "+pause, map[string]string{
		"PYTHON": python(t), "REPEAT": absolute(t, "python", "repeat.py"), "SCRIPT": absolute(t, "python", "projects.py"),
	})
	p := g.pipeline("", s)
	p.Issuer["lifetime"] = "6s"
	p.Connectors[0].ByEndpoint = true
	o := g.run(t, p)
	if o.code != 0 || countLines(o.stdout, project) != 10 {
		t.Errorf("want 10 lines %q of stdout; %v", project, o)
	}
	g.checkNothingElse(t)
	row(t, "google-auth for Python", version, "JWT from the step's endpoint, 6 s each, for 22 s: "+projectsAPI)
}

// hasty is a stand-in of AWS whose sessions end after a few seconds.
type hasty struct {
	*amazon
	life time.Duration

	mu   sync.Mutex
	ends map[string]time.Time // by access key id
	used map[string]bool      // by access key id
}

var errExpiredToken = []byte(`<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>The security token included in the request is expired</Message></Error></ErrorResponse>`)

func (h *hasty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if key := accessKeyID.FindStringSubmatch(r.Header.Get("Authorization")); key != nil && h.expired(key[1]) {
		w.WriteHeader(http.StatusForbidden)
		w.Write(errExpiredToken)
		return
	}
	answer := httptest.NewRecorder()
	h.amazon.ServeHTTP(answer, r)
	var assumed struct {
		Credentials struct{ AccessKeyId, Expiration string } `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	}
	if body := answer.Body.Bytes(); xml.Unmarshal(body, &assumed) == nil && assumed.Credentials.AccessKeyId != "" {
		ends := time.Now().Add(h.life).Truncate(time.Second)
		h.mu.Lock()
		h.ends[assumed.Credentials.AccessKeyId] = ends
		h.mu.Unlock()
		body = bytes.Replace(body, []byte(assumed.Credentials.Expiration), []byte(ends.UTC().Format(time.RFC3339)), 1)
		answer.Body = bytes.NewBuffer(body)
	}
	answer.Header().Del("Content-Length")
	pass(w, answer)
}

func (h *hasty) expired(accessKeyID string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.used[accessKeyID] = true
	ends, known := h.ends[accessKeyID]
	return known && !time.Now().Before(ends)
}

// Clients of AWS take the credential itself from the endpoint, and go on for
// longer than any credential lives.
func TestEndpointAWS(t *testing.T) {
	t.Parallel()
	repeated := boto3()
	repeated.name += ", one process"
	repeated.run = `"$PYTHON" "$REPEAT" "$SCRIPT" ` + requests + " " + pause
	cli := awsCLI()
	cli.run = `for i in 1 2 3 4 5 6 7 8 9 10; do ` + cli.run + ` || exit; sleep ` + pause + `; done`
	sdk := awsSDK("default")
	sdk.run = `for i in 1 2 3 4 5 6 7 8 9 10; do ` + sdk.run + ` || exit; sleep ` + pause + `; done`
	for _, c := range []awsClient{cli, repeated, sdk} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			version := c.version(t)
			a := newAmazon(t, 1)
			h := &hasty{amazon: a, life: short * time.Second, ends: make(map[string]time.Time), used: make(map[string]bool)}
			server := httptest.NewServer(h)
			t.Cleanup(server.Close)
			a.url = server.URL
			s := a.delivered().step(t, c, "judge", nil)
			if strings.Contains(c.run, "$REPEAT") {
				s.Env["REPEAT"] = absolute(t, "python", "repeat.py")
			}
			p := a.pipeline(0, deployer, s)
			p.Connectors[0].ByEndpoint = true
			o := start(t, []string{"HOME=" + t.TempDir()}, p.write(t))
			if o.code != 0 || len(printedARNs(o)) != 10 || len(h.used) < 4 {
				t.Errorf("%d answers, %d credentials; %v", len(printedARNs(o)), len(h.used), o)
			}
			if callers := awsCallers(a.callers()); !slices.ContainsFunc(callers, func(c awsCaller) bool { return cmp.Equal(c, awsSession(deployer, "ledger", "judge")) }) {
				t.Errorf("the callers are %v", callers)
			}
			row(t, c.name, version, "credentials from the step's endpoint, 6 s each, for more than 22 s: sts:GetCallerIdentity")
		})
	}
}

// By default, a step has both, and a client that is kept from the web identity
// turns to the endpoint.
func TestEndpointAWSBeside(t *testing.T) {
	t.Parallel()
	c := awsCLI()
	c.run = "unset AWS_WEB_IDENTITY_TOKEN_FILE AWS_ROLE_ARN AWS_ROLE_SESSION_NAME; " + c.run
	version := c.version(t)
	a := newAmazon(t, 1)
	o := start(t, []string{"HOME=" + t.TempDir()}, a.pipeline(0, deployer, a.delivered().step(t, c, "judge", nil)).write(t))
	if diff := cmp.Diff([]awsCaller{awsSession(deployer, "ledger", "judge")}, awsCallers(a.callers())); diff != "" || o.code != 0 {
		t.Errorf("callers (-want +got):\n%s\n%v", diff, o)
	}
	row(t, c.name, version, "credentials from the step's endpoint, without the web identity's variables")
}
