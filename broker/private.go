package broker

import (
	"context"
	"path/filepath"
)

// stores lists the places where tools store their logins. By default these are in HOME, where
// the next step could read them. A connector's own variables have precedence, for example its
// KUBECONFIG.
var stores = []struct {
	variable string
	path     string // relative to toolsDir
	dir      bool   // a directory; otherwise a file, which the tools create
	text     string // the initial text of a file that must exist
}{
	{variable: "DOCKER_CONFIG", path: "docker", dir: true}, // docker, cosign, crane, kaniko, ko, nerdctl, oras
	// buildah, podman and skopeo fail if the file does not exist.
	{variable: "REGISTRY_AUTH_FILE", path: "containers/auth.json", text: "{}"},
	{variable: "HELM_CONFIG_HOME", path: "helm/config", dir: true},
	{variable: "HELM_REGISTRY_CONFIG", path: "helm/config/registry/config.json"},
	{variable: "HELM_REPOSITORY_CONFIG", path: "helm/config/repositories.yaml"}, // contains passwords
	{variable: "HELM_CACHE_HOME", path: "helm/cache", dir: true},                // contains charts of private repositories
	{variable: "HELM_REPOSITORY_CACHE", path: "helm/cache/repository", dir: true},
	{variable: "KUBECONFIG", path: "kube/config"}, // aws eks update-kubeconfig, az aks get-credentials
}

const toolsDir = "tools"

// privateEnv creates private places for the logins that tools store, and returns the variables
// that point to them. Existing contents stay.
func (s *Step) privateEnv(ctx context.Context) (map[string]string, error) {
	dir, err := s.Dir()
	if err != nil {
		return nil, err
	}
	env := make(map[string]string, len(stores))
	for _, store := range stores {
		path := filepath.Join(privateDir, toolsDir, filepath.FromSlash(store.path))
		env[store.variable] = filepath.Join(dir, path)
		made := path
		if !store.dir {
			made = filepath.Dir(path)
		}
		if err := s.keepDir(ctx, made); err != nil {
			return nil, err
		}
		if store.text != "" {
			if err := s.keepFixed(ctx, path, store.text); err != nil {
				return nil, err
			}
		}
	}
	return env, nil
}

// isStore reports whether a variable points to one of the stores.
func isStore(variable string) bool {
	for _, store := range stores {
		if store.variable == variable {
			return true
		}
	}
	return false
}
