package conformance_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Every command of gcloud reads CLOUDSDK_AUTH_ACCESS_TOKEN_FILE, so a step that
// outlives its first token continues. The file wins over a delivered credential
// file. D01
func TestGcloudReadsTheTokenFileAnew(t *testing.T) {
	t.Parallel()
	version := component("gcloud", `"Google Cloud SDK"`)(t)
	g := newGoogle(t)
	s := g.step("long", listProjects+`
		first=$(cat "$CLOUDSDK_AUTH_ACCESS_TOKEN_FILE")
		while [ "$(cat "$CLOUDSDK_AUTH_ACCESS_TOKEN_FILE")" = "$first" ]; do sleep 0.2; done
		`+listProjects, map[string]string{"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": `<+secrets.getGCPAccessTokenFile("account.gcp_prod")>`})
	exchanges := g.Requests("/v1/token")
	o := g.start(t, []string{"HOME=" + t.TempDir()}, "-set", "issuer.lifetime=40s", g.pipeline("", s).write(t))
	if o.code != 0 || countLines(o.stdout, project) != 2 {
		t.Errorf("want two lines %q of stdout; %v", project, o)
	}
	g.mu.Lock()
	var ends []string
	for _, c := range g.calls {
		if c.API == projectsAPI {
			ends = append(ends, c.Grant.Expires.String())
		}
	}
	g.mu.Unlock()
	if len(slices.Compact(ends)) != 2 {
		t.Errorf("gcloud called with tokens that end at %v, want two tokens", ends)
	}
	// A gcloud that used the credential file would exchange itself.
	if n := g.Requests("/v1/token") - exchanges; n != 2 {
		t.Errorf("%d exchanges, want the runner's 2", n)
	}
	g.checkNothingElse(t)
	row(t, "gcloud", version, "two commands, with CLOUDSDK_AUTH_ACCESS_TOKEN_FILE renewed in between: "+projectsAPI)
}

// gcloud works in the connector's project, and has its quota project billed.
func TestGcloudProjects(t *testing.T) {
	t.Parallel()
	version := component("gcloud", `"Google Cloud SDK"`)(t)
	g := newGoogle(t)
	var mu sync.Mutex
	var billed []string
	g.apis.Handle("GET cloudresourcemanager.googleapis.com/v1/projects/"+project, g.admit("GET project", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		billed = append(billed, r.Header.Get("X-Goog-User-Project"))
		mu.Unlock()
		answer(`{"projectId":%q,"projectNumber":%q,"name":%q,"lifecycleState":"ACTIVE"}`, project, number, project).ServeHTTP(w, r)
	})))
	p := g.pipeline("", g.step("judge", `gcloud config get-value project
		gcloud projects describe "$(gcloud config get-value project)" --format='value(projectNumber)'`, nil))
	p.Connectors[0].GCP["project"] = project
	p.Connectors[0].GCP["quotaProject"] = "acme-quota"
	o := g.run(t, p)
	if want := project + "\n" + number + "\n"; o.code != 0 || o.stdout != want {
		t.Errorf("want %q of stdout; %v", want, o)
	}
	if got := strings.Join(billed, " "); got != "acme-quota" {
		t.Errorf("billed %q, want acme-quota", got)
	}
	g.checkNothingElse(t)
	row(t, "gcloud", version, "project and quota project")
}
