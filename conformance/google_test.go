package conformance_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oidctoken/oidctoken/oidctokentest/googletest"
)

const (
	pool     = "projects/123456789012/locations/global/workloadIdentityPools/ci"
	provider = pool + "/providers/acme"
	account  = "deployer@acme-prod.iam.gserviceaccount.com"
	project  = "acme-prod"
	number   = "123456789012"
	bucket   = "acme-prod-artifacts"
	dataset  = "ledger_prod"
)

// google is a stand-in that trusts one issuer, with further APIs which admit
// only those who carry a live access token of it.
type google struct {
	*googletest.Server
	apis   *http.ServeMux
	url    string // of the stand-in alone, without a proxy
	issuer string // address of the runner's
	proxy  *proxy

	mu         sync.Mutex
	calls      []apiCall
	unexpected []string
}

// apiCall is an authenticated call of an API.
type apiCall struct {
	API   string // the pattern that it is served under
	Grant googletest.Identity
}

// newGoogle trusts the runner's issuer, which is yet to be started.
func newGoogle(t *testing.T) *google {
	t.Helper()
	address := freeAddress(t)
	g := newGoogleFor(t, "http://"+address)
	g.issuer = address
	return g
}

func newGoogleFor(t *testing.T, issuer string) *google {
	t.Helper()
	g := &google{apis: http.NewServeMux()}
	mapping := map[string]string{"google.subject": "assertion.sub"}
	for _, claim := range []string{"account_id", "project_id", "pipeline_id", "stage_id", "stage_type", "step_id", "connector_id", "connector_scope"} {
		mapping["attribute."+claim] = "assertion." + claim
	}
	var err error
	g.Server, err = googletest.New(googletest.Config{
		Providers: []googletest.Provider{{
			Name: provider, Issuer: issuer, AttributeMapping: mapping,
			AttributeCondition: "assertion.account_id == 'acme'",
		}},
		ServiceAccounts: []googletest.ServiceAccount{{
			Email:   account,
			Members: []string{"principalSet://iam.googleapis.com/" + pool + "/attribute.account_id/acme"},
		}},
		Projects: []googletest.Project{{ID: project, Number: number}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g.Server)
	t.Cleanup(server.Close)
	g.url = server.URL
	g.serve()
	g.proxy = newProxy(t, isGoogle, g)
	return g
}

func (g *google) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := g.apis.Handler(r); pattern == "" {
		g.mu.Lock()
		g.unexpected = append(g.unexpected, describe(r))
		g.mu.Unlock()
	}
	g.apis.ServeHTTP(w, r)
}

// serve adds the APIs. Their answers are the least that the clients take.
func (g *google) serve() {
	for _, path := range []string{
		"POST sts.googleapis.com/v1/token",
		"POST sts.googleapis.com/v1/introspect",
		"POST iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/",
	} {
		g.apis.Handle(path, g.Server)
	}
	g.api("GET cloudresourcemanager.googleapis.com/v1/projects", g.Server)
	g.api("GET cloudresourcemanager.googleapis.com/v1/projects/"+number, answer(
		`{"projectId":%q,"projectNumber":%q,"name":%q,"lifecycleState":"ACTIVE"}`, project, number, project))
	// Where a credential may be used. Google's newer libraries request this for
	// every credential from here, and work without an answer.
	for _, path := range []string{"projects/-/serviceAccounts/" + account, pool} {
		g.api("GET iamcredentials.googleapis.com/v1/"+path+"/allowedLocations", answer(
			`{"locations":["europe-west1"],"encodedLocations":"0x8"}`))
	}
	g.api("GET storage.googleapis.com/storage/v1/b", answer(
		`{"kind":"storage#buckets","items":[{"kind":"storage#bucket","id":%q,"name":%q}]}`, bucket, bucket))
	g.api("GET bigquery.googleapis.com/bigquery/v2/projects/"+project+"/datasets", answer(
		`{"kind":"bigquery#datasetList","datasets":[{"kind":"bigquery#dataset","id":"%s:%s","datasetReference":{"projectId":%q,"datasetId":%q}}]}`,
		project, dataset, project, dataset))
	g.apis.HandleFunc(registryAPI, g.serveRegistry)
}

const registryAPI = "GET gcr.io/v2/token"

// serveRegistry is the token endpoint of a container registry. Docker calls it
// with the credentials of a credential helper.
func (g *google) serveRegistry(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	grant, ok := g.Lookup(password)
	if !ok || user != "_dcgcloud_token" {
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return
	}
	g.admitted(registryAPI, grant)
	answer(`{"token":"of-the-registry","expires_in":3600}`+"\n").ServeHTTP(w, r)
}

// api serves an API to callers with a valid access token.
func (g *google) api(pattern string, next http.Handler) {
	g.apis.Handle(pattern, g.admit(pattern, next))
}

// admit passes on who carries a live access token, and remembers who that was.
func (g *google) admit(api string, next http.Handler) http.Handler {
	return g.Require(func(w http.ResponseWriter, r *http.Request, grant googletest.Identity) {
		g.admitted(api, grant)
		next.ServeHTTP(w, r)
	})
}

func (g *google) admitted(api string, grant googletest.Identity) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, apiCall{api, grant})
}

func answer(format string, values ...any) http.Handler {
	body := fmt.Sprintf(format, values...)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		_, _ = w.Write([]byte(body)) // a client that hangs up fails itself
	})
}

// callers returns the steps that called an API, in order, each once for calls in a
// row, and as whom.
func (g *google) callers(api string) []caller {
	g.mu.Lock()
	defer g.mu.Unlock()
	var callers []caller
	for _, c := range g.calls {
		if c.API == api {
			callers = append(callers, caller{c.Grant.Attributes["attribute.step_id"], c.Grant.ServiceAccount})
		}
	}
	return slices.Compact(callers)
}

type caller struct{ Step, ServiceAccount string }

// checkNothingElse requires that no client called a host or an API that the
// test did not expect.
func (g *google) checkNothingElse(t *testing.T) {
	t.Helper()
	for _, refused := range g.proxy.Refused() {
		if isMetadataProbe(refused) {
			t.Logf("a client asked whether it runs on Google's machines: %s", refused)
		} else {
			t.Errorf("a client turned to %s", refused)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.unexpected) > 0 {
		t.Errorf("a client called\n%s", strings.Join(slices.Compact(g.unexpected), "\n"))
	}
}

// isMetadataProbe reports whether a client asked, without credentials, whether
// it runs on a machine of Google's.
func isMetadataProbe(refused string) bool {
	return !strings.Contains(refused, withCredentials) &&
		(strings.Contains(refused, "169.254.169.254") || strings.Contains(refused, "metadata.google.internal"))
}

// encode returns v as JSON, which is YAML, too.
func encode(t *testing.T, v any) string {
	t.Helper()
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
