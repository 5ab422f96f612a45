package conformance_test

import (
	"testing"

	"github.com/oidctoken/oidctoken/internal/needs"
)

// The logins of tools stay in the step: gcloud and kubectl write to the
// delivered variables' files, and docker reads them. The next step with the
// same HOME finds nothing.
func TestLoginsStayInTheStep(t *testing.T) {
	t.Parallel()
	needs.Program(t, "kubectl")
	needs.Program(t, "docker")
	version := component("gcloud", `"Google Cloud SDK"`)(t)
	g := newGoogle(t)
	const login = `gcloud auth configure-docker gcr.io --quiet
		kubectl config set-credentials deployer --token=of-the-first-step
		docker context create of-the-first-step --docker host=tcp://127.0.0.1:1`
	const nothing = `
		test ! -e "$HOME/.docker"
		test ! -e "$HOME/.kube/config"`
	o := g.run(t, g.pipeline("",
		g.step("first", login+`
			grep -q '"gcr.io": "gcloud"' "$DOCKER_CONFIG/config.json"
			grep -q of-the-first-step "$KUBECONFIG"
			docker context ls --format '{{.Name}}' | grep -q of-the-first-step`+nothing, nil),
		g.step("second", `test -d "$DOCKER_CONFIG"
			test ! -e "$DOCKER_CONFIG/config.json"
			test ! -e "$KUBECONFIG"
			test "$(cat "$REGISTRY_AUTH_FILE")" = "{}"
			if docker context ls --format '{{.Name}}' | grep of-the-first-step; then exit 1; fi`+nothing, nil)))
	if o.code != 0 {
		t.Error(o)
	}
	row(t, "gcloud, kubectl, docker", version, "what a step logs in with is not the next one's")
}
