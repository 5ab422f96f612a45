package conformance_test

import (
	"encoding/base64"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken/internal/needs"
)

const (
	listProjects   = `gcloud projects list --format='value(projectId)'`
	listNamespaces = "kubectl get namespaces -o name"
)

// component returns the version of a program of the Google Cloud CLI.
func component(program, component string) func(*testing.T) string {
	return func(t *testing.T) string {
		needs.Program(t, "gcloud")
		needs.Program(t, program)
		return output(t, "gcloud", "version", "--format=value("+component+")")
	}
}

// cloudSDKClients returns the programs of the Google Cloud CLI.
func cloudSDKClients() []client {
	gcloud := component("gcloud", `"Google Cloud SDK"`)
	// The token and the file come from expressions. The step itself has to hide
	// gcloud's other credentials.
	expression := func(name, value string) func(*testing.T, *google) map[string]string {
		return func(*testing.T, *google) map[string]string { return map[string]string{name: value} }
	}
	const private = `export CLOUDSDK_CONFIG="$STEP_DIR/gcloud"` + "\n"
	return []client{
		{
			name: "gcloud", version: gcloud,
			run: listProjects, api: projectsAPI, want: project,
		},
		{
			name: "gcloud after auth login", version: gcloud,
			run: "unset CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE\n" +
				`gcloud auth login --cred-file="$GOOGLE_APPLICATION_CREDENTIALS" --quiet` + "\n" + listProjects,
			api: projectsAPI, want: project,
		},
		{
			name: "gcloud with getGCPCredentialsFile", version: gcloud, undelivered: true,
			env: expression("KEY_FILE", `<+secrets.getGCPCredentialsFile("account.gcp_prod")>`),
			run: private + `gcloud auth login --cred-file="$KEY_FILE" --quiet` + "\n" + listProjects,
			api: projectsAPI, want: project,
		},
		{
			name: "gcloud with getGCPAccessToken", version: gcloud, undelivered: true,
			env: expression("CLOUDSDK_AUTH_ACCESS_TOKEN", `<+secrets.getGCPAccessToken("account.gcp_prod")>`),
			run: listProjects, api: projectsAPI, want: project,
		},
		{
			name: "gcloud with getGCPAccessTokenFile", version: gcloud, undelivered: true,
			env: expression("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", `<+secrets.getGCPAccessTokenFile("account.gcp_prod")>`),
			run: listProjects, api: projectsAPI, want: project,
		},
		{
			name: "bq", version: component("bq", "bq"),
			run: `bq --project_id=` + project + ` ls`,
			api: "GET bigquery.googleapis.com/bigquery/v2/projects/" + project + "/datasets", want: dataset,
		},
		{
			name: "gsutil", version: component("gsutil", "gsutil"),
			run: `gsutil ls -p ` + project,
			api: "GET storage.googleapis.com/storage/v1/b", want: "gs://" + bucket + "/",
		},
		{
			name: "docker-credential-gcloud", version: component("docker-credential-gcloud", `"Google Cloud SDK"`),
			run: `echo https://gcr.io | docker-credential-gcloud get >login.json
				sed -n 's/.*"Secret": "\([^"]*\)".*/user = "_dcgcloud_token:\1"/p' login.json | curl -sS --fail -K - https://gcr.io/v2/token`,
			api: registryAPI, want: `{"token":"of-the-registry","expires_in":3600}`,
		},
		{
			name: "kubectl with gke-gcloud-auth-plugin", version: kubectlVersion, env: clusterEnv,
			run: "gcloud container clusters get-credentials main --zone=europe-west1-b --project=" + project + "\n" + listNamespaces,
			api: "GET cluster/api/v1/namespaces", want: "namespace/ledger",
		},
	}
}

// A control: where steps share the places in which these programs cache, the
// second is served the first one's credentials. So TestClients notices that, and
// the places that the runner gives each step are needed. X14
func TestSharedCaches(t *testing.T) {
	for _, tt := range []struct {
		client string
		shared string // a variable that leads to the cache
		before string // commands
		second string // the second step, if it differs
	}{
		{"gcloud", "CLOUDSDK_CONFIG", "", ""},
		{"gsutil", "HOME", `unset BOTO_CONFIG; gcloud auth login --cred-file="$GOOGLE_APPLICATION_CREDENTIALS" --quiet` + "\n", ""},
		{"kubectl with gke-gcloud-auth-plugin", "KUBECONFIG", `KUBECONFIG="$KUBECONFIG/config"` + "\n", listNamespaces},
	} {
		t.Run(tt.client, func(t *testing.T) {
			t.Parallel()
			all := cloudSDKClients()
			c := all[slices.IndexFunc(all, func(c client) bool { return c.name == tt.client })]
			version := c.version(t)
			g := newGoogle(t)
			steps := c.steps(t, g, "first", "second")
			shared := t.TempDir()
			for i := range steps {
				steps[i].Env[tt.shared] = shared
				steps[i].Run = tt.before + c.run
			}
			if tt.second != "" {
				steps[1].Run = tt.before + tt.second
			}
			o := g.run(t, g.pipeline(account, steps...))
			want := []caller{{"first", account}}
			if diff := cmp.Diff(want, g.callers(c.api)); diff != "" || o.code != 0 {
				t.Errorf("callers of %s (-want +got):\n%s\n%v", c.api, diff, o)
			}
			row(t, c.name, version, "control: a shared cache gives the second step the first one's credentials")
		})
	}
}

// gcloud does without a proxy, too, where everything that it needs is on
// loopback: X12
func TestGcloudWithoutProxy(t *testing.T) {
	version := component("gcloud", `"Google Cloud SDK"`)(t)
	for _, identity := range identities {
		t.Run(identity.name, func(t *testing.T) {
			t.Parallel()
			g := newGoogle(t)
			s := g.step("judge", listProjects, nil)
			s.Env = map[string]string{
				"CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER": g.url + "/",
				"CLOUDSDK_CORE_DISABLE_PROMPTS":                        "1", "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
				"CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
			}
			p := g.pipeline(identity.serviceAccount, s)
			p.Connectors[0].GCP["tokenURL"] = g.url + "/v1/token"
			p.Connectors[0].GCP["impersonationURL"] = g.url
			if o := g.run(t, p); o.code != 0 || countLines(o.stdout, project) != 1 {
				t.Errorf("want a line %q of stdout; %v", project, o)
			}
			impersonated := g.Requests("/v1/projects/-/serviceAccounts/"+account+":generateAccessToken") > 0
			if want := identity.serviceAccount != ""; impersonated != want || g.Requests("/v1/projects") != 1 {
				t.Errorf("impersonated: %v, want %v, and one of %d calls", impersonated, want, g.Requests("/v1/projects"))
			}
			g.checkNothingElse(t)
			row(t, "gcloud", version, "without a proxy, "+identity.name+": "+projectsAPI)
		})
	}
}

func kubectlVersion(t *testing.T) string {
	t.Helper()
	needs.Program(t, "gcloud")
	needs.Program(t, "kubectl")
	needs.Program(t, "gke-gcloud-auth-plugin")
	return output(t, "kubectl", "version", "--client") + "; plugin " + output(t, "gke-gcloud-auth-plugin", "--version")
}

// clusterEnv starts the API server of a Kubernetes cluster of GKE, and lets the
// Kubernetes Engine API know it.
func clusterEnv(t *testing.T, g *google) map[string]string {
	t.Helper()
	server := g.proxy.ca.serve(t, g.clusterAPI())
	g.apis.Handle("GET container.googleapis.com/v1/projects/"+project+"/locations/europe-west1-b/clusters/main", answer(
		`{"name":"main","location":"europe-west1-b","zone":"europe-west1-b","status":"RUNNING","endpoint":%q,"masterAuth":{"clusterCaCertificate":%q}}`,
		server.Listener.Addr().String(), base64.StdEncoding.EncodeToString(g.proxy.ca.pem())))
	return nil
}

// clusterAPI returns the part of the Kubernetes API that kubectl needs to list
// namespaces.
func (g *google) clusterAPI() http.Handler {
	mux := http.NewServeMux()
	for path, body := range map[string]string{
		"/api":               `{"kind":"APIVersions","versions":["v1"]}`,
		"/apis":              `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`,
		"/api/v1":            `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"namespaces","singularName":"namespace","namespaced":false,"kind":"Namespace","verbs":["get","list"]}]}`,
		"/api/v1/namespaces": `{"kind":"NamespaceList","apiVersion":"v1","metadata":{},"items":[{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"ledger"}}]}`,
	} {
		mux.Handle("GET "+path, g.admit("GET cluster"+path, answer("%s", body)))
	}
	return mux
}
