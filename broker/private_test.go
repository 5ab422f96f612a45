package broker_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
)

// stores lists the variables that point tools to their stored logins.
var stores = []string{
	"DOCKER_CONFIG", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_REGISTRY_CONFIG", "HELM_REPOSITORY_CACHE",
	"HELM_REPOSITORY_CONFIG", "KUBECONFIG", "REGISTRY_AUTH_FILE",
}

// Logins of a step stay in its own directory and are removed with it, for every connector. D01
func TestPrivateStores(t *testing.T) {
	connectors := map[string]*broker.Connector{
		"oidc":     {Audiences: []string{"https://vault.example.com"}},
		"plain":    {Exchanger: &plain{env: plainEnv()}},
		"gcp":      {Exchanger: newCloud("gcp")},
		"aws":      {Exchanger: new(sessions)},
		"endpoint": {Exchanger: pointed{&plain{}, nil}, ByEndpoint: true},
	}
	b := plainBroker(t, connectors, new(auditLog))
	for id := range connectors {
		t.Run(id, func(t *testing.T) {
			step, other := newStep(t, b, scope("payments", "ledger")), newStep(t, b, scope("payments", "ledger"))
			for _, s := range []*broker.Step{step, other} {
				if err := s.Deliver(t.Context(), "account."+id); err != nil {
					t.Fatal(err)
				}
			}
			dir, err := step.Dir()
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range stores {
				path := variable(step, name)
				if !strings.HasPrefix(path, dir+"/.oidctoken/") || path == variable(other, name) {
					t.Errorf("%s=%s, want a path in the step's own directory", name, path)
				}
				place := filepath.Dir(path)
				if strings.HasSuffix(name, "_HOME") || name == "DOCKER_CONFIG" {
					place = path
				}
				if name == "HELM_REGISTRY_CONFIG" {
					place = variable(step, "HELM_CONFIG_HOME") // helm creates the rest
				}
				if info, err := os.Stat(place); err != nil || info.Mode() != os.ModeDir|0o700 {
					t.Errorf("%s: %s: %v, %v; want a directory of mode 0700", name, place, info, err)
				}
			}
			// podman fails if the file is missing or empty.
			if got := read(t, variable(step, "REGISTRY_AUTH_FILE")); got != "{}" {
				t.Errorf("REGISTRY_AUTH_FILE holds %q, want {}", got)
			}
			if err := step.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("the step's directory after Close: %v", err)
			}
		})
	}
}

// A login stays when another connector is delivered. A directory that the step has removed is
// restored.
func TestPrivateStoresKeepLogins(t *testing.T) {
	step := newStep(t, plainBroker(t, map[string]*broker.Connector{
		"one": {Audiences: []string{"https://one.example.com"}}, "two": {Audiences: []string{"https://two.example.com"}},
	}, new(auditLog)), scope("payments", "ledger"))
	deliver := func(ref string) {
		t.Helper()
		if err := step.Deliver(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
	deliver("account.one")
	docker, podman := filepath.Join(variable(step, "DOCKER_CONFIG"), "config.json"), variable(step, "REGISTRY_AUTH_FILE")
	for _, path := range []string{docker, podman} {
		if err := os.WriteFile(path, []byte("login"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := step.Environ()
	deliver("account.two")
	deliver("account.one")
	if diff := cmp.Diff([]string{"login", "login"}, []string{read(t, docker), read(t, podman)}); diff != "" {
		t.Errorf("after another delivery (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, step.Environ()); diff != "" {
		t.Errorf("variables after another delivery (-before +after):\n%s", diff)
	}
	if err := os.RemoveAll(filepath.Dir(filepath.Dir(podman))); err != nil {
		t.Fatal(err)
	}
	deliver("account.one")
	if _, err := os.Stat(variable(step, "DOCKER_CONFIG")); err != nil {
		t.Error(err)
	}
	if got := read(t, podman); got != "{}" {
		t.Errorf("REGISTRY_AUTH_FILE holds %q, want {}", got)
	}
}

// A connector's own KUBECONFIG has precedence over the step's, in either order, and over that
// of an earlier connector.
func TestPrivateStoresYield(t *testing.T) {
	bundle := func(path string) *exchange.Bundle {
		return &exchange.Bundle{Env: map[string]string{"KUBECONFIG": path}}
	}
	for _, refs := range [][]string{{"account.cluster", "account.oidc"}, {"account.oidc", "account.cluster"}, {"account.gcp", "account.cluster"}} {
		step := newStep(t, plainBroker(t, map[string]*broker.Connector{
			"oidc":    {Audiences: []string{"https://vault.example.com"}},
			"cluster": {Exchanger: filed{plain: &plain{}, bundle: bundle("/cluster")}},
			"gcp": {Exchanger: struct {
				named
				exchange.FileSourced
			}{named{&plain{}, "gcp"}, filed{bundle: bundle("/gcp")}}},
		}, new(auditLog)), scope("payments", "ledger"))
		for _, ref := range refs {
			if err := step.Deliver(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
		}
		if got := variable(step, "KUBECONFIG"); got != "/cluster" {
			t.Errorf("after %s: KUBECONFIG=%s, want /cluster", slices.Concat(refs), got)
		}
	}
}
