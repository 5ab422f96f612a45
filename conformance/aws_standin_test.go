package conformance_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oidctoken/oidctoken/oidctokentest/awstest"
)

const (
	awsConnector = "org.aws_prod"
	awsAccount   = "123456789012"
	awsRegion    = "eu-west-1"

	// ledger is the project's subject, by default.
	ledger = "account/acme:org/payments:project/ledger"

	deployer = "arn:aws:iam::" + awsAccount + ":role/deployer" // for the project ledger alone
	reader   = "arn:aws:iam::" + awsAccount + ":role/reader"   // for the whole account acme
)

// amazon is a stand-in of AWS that records the callers of GetCallerIdentity.
type amazon struct {
	*awstest.Server
	url     string
	issuers []string // addresses of the runners that it trusts

	mu       sync.Mutex
	sessions []awstest.Session
}

// newAmazon trusts the issuers of that many runners, which are yet to be started.
func newAmazon(t *testing.T, runners int) *amazon {
	t.Helper()
	var addresses, issuers []string
	for range runners {
		address := freeAddress(t)
		addresses, issuers = append(addresses, address), append(issuers, "http://"+address)
	}
	a := newAmazonFor(t, issuers...)
	a.issuers = addresses
	return a
}

func newAmazonFor(t *testing.T, issuers ...string) *amazon {
	t.Helper()
	a := new(amazon)
	config := awstest.Config{Roles: []awstest.Role{{ARN: deployer}, {ARN: reader}}}
	for _, issuer := range issuers {
		config.Providers = append(config.Providers, awstest.Provider{
			Account: awsAccount, Issuer: issuer, ClientIDs: []string{"sts.amazonaws.com"},
		})
		for i, subject := range []string{ledger, "account/acme:*"} {
			config.Roles[i].Trust = append(config.Roles[i].Trust, awstest.Trust{
				Provider:     issuer,
				StringEquals: map[string][]string{"aud": {"sts.amazonaws.com"}},
				StringLike:   map[string][]string{"sub": {subject}},
				TagSession:   true, RoleAuthorizedByIdP: true,
			})
		}
	}
	var err error
	if a.Server, err = awstest.New(config); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

var accessKeyID = regexp.MustCompile(`Credential=(\w+)/`)

// ServeHTTP remembers the session of a signature that the stand-in found good.
func (a *amazon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	a.Server.ServeHTTP(answer, r)
	key := accessKeyID.FindStringSubmatch(r.Header.Get("Authorization"))
	if key != nil && answer.Code == http.StatusOK {
		a.remember(key[1])
	}
	pass(w, answer)
}

func (a *amazon) remember(accessKeyID string) {
	session, _ := a.Session(accessKeyID)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions = append(a.sessions, session)
}

// pass writes an answer after the test has read it.
func pass(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // a client that hangs up fails itself
}

// everyone returns the sessions of the callers, in order.
func (a *amazon) everyone() []awstest.Session {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.sessions)
}

// callers returns everyone, each once for calls in a row.
func (a *amazon) callers() []awstest.Session {
	return slices.CompactFunc(a.everyone(), func(a, b awstest.Session) bool { return a.ARN == b.ARN })
}

// awsCaller has the parts of a caller's session that the test can predict.
type awsCaller struct {
	Role, Subject string
	Tags          map[string]string
}

// awsSession returns the session of a step of a project that assumed a role.
func awsSession(role, project, step string) awsCaller {
	return awsCaller{role, "account/acme:org/payments:project/" + project, map[string]string{
		"project_id": project, "stage_id": "stage_" + step, "step_id": step,
	}}
}

func awsCallers(sessions []awstest.Session) []awsCaller {
	var callers []awsCaller
	for _, s := range sessions {
		callers = append(callers, awsCaller{s.RoleARN, s.Subject, s.Tags})
	}
	return callers
}

// arns returns the callers' names, of which no two are the same.
func arns(t *testing.T, sessions []awstest.Session) []string {
	t.Helper()
	var names []string
	for _, s := range sessions {
		if slices.Contains(names, s.ARN) {
			t.Errorf("two sessions have the name %s", s.ARN)
		}
		names = append(names, s.ARN)
	}
	return names
}

// printedARNs returns the ARNs of sessions that a run printed, each a line.
func printedARNs(o outcome) []string {
	var names []string
	for line := range strings.Lines(o.stdout) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "arn:aws:sts:") {
			names = append(names, line)
		}
	}
	return names
}

// pipeline returns a file whose connector leads to a, for one of several
// runners.
func (a *amazon) pipeline(runner int, role string, steps ...step) pipeline {
	return newPipeline(a.issuers[runner], connector{ID: awsConnector, AWS: map[string]any{
		"roleARN": role, "region": awsRegion, "endpoint": a.url,
		"sessionTags": []string{"project_id", "stage_id", "step_id"},
	}}, steps)
}

// A delivery is how a step gets at a connector.
type delivery struct {
	name       string
	connectors []string
	env        map[string]string
}

// delivered has the connector's whole environment and files.
func (a *amazon) delivered() delivery {
	return delivery{name: "connectors", connectors: []string{awsConnector}}
}

// expressions delivers the credentials only. The author sets the other
// variables.
func (a *amazon) expressions() delivery {
	const call = `<+secrets.getAWSCredentials("` + awsConnector + `")`
	return delivery{name: "getAWSCredentials", env: map[string]string{
		"AWS_ACCESS_KEY_ID":     call + ".accessKeyId>",
		"AWS_SECRET_ACCESS_KEY": call + ".secretAccessKey>",
		"AWS_SESSION_TOKEN":     call + ".sessionToken>",
		"AWS_REGION":            awsRegion,
		"AWS_DEFAULT_REGION":    awsRegion,
		"AWS_ENDPOINT_URL_STS":  a.url,
	}}
}

// step returns a step that runs a client, with env added to the client's own
// environment.
func (d delivery) step(t *testing.T, c awsClient, id string, env map[string]string) step {
	t.Helper()
	s := step{ID: id, Connectors: d.connectors, Env: make(map[string]string), Files: c.files, Run: c.run}
	for _, variables := range []map[string]string{c.env(t), d.env, env} {
		maps.Copy(s.Env, variables)
	}
	return s
}

// pyenv leads pyenv, if the machine's programs are its, to them. By itself it
// looks in HOME.
func pyenv() map[string]string {
	root := os.Getenv("PYENV_ROOT")
	if root == "" {
		root = filepath.Join(os.Getenv("HOME"), ".pyenv")
	}
	return map[string]string{"PYENV_ROOT": root}
}
