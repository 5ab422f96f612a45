package broker

import (
	"context"
	"path/filepath"
)

// stores are the places where tools keep what they log in with. By default these
// are in HOME, and stay there for the next step. A connector's own variables win,
// such as the KUBECONFIG of one.
var stores = []struct {
	variable string
	path     string // below toolsDir
	dir      bool   // else a file, which the tools make
	text     string // of a file that must be there
}{
	{variable: "DOCKER_CONFIG", path: "docker", dir: true}, // docker, cosign, crane, kaniko, ko, nerdctl, oras
	// buildah, podman and skopeo refuse a name of no file.
	{variable: "REGISTRY_AUTH_FILE", path: "containers/auth.json", text: "{}"},
	{variable: "HELM_CONFIG_HOME", path: "helm/config", dir: true},
	{variable: "HELM_REGISTRY_CONFIG", path: "helm/config/registry/config.json"},
	{variable: "HELM_REPOSITORY_CONFIG", path: "helm/config/repositories.yaml"}, // with passwords
	{variable: "HELM_CACHE_HOME", path: "helm/cache", dir: true},                // with charts of private repositories
	{variable: "HELM_REPOSITORY_CACHE", path: "helm/cache/repository", dir: true},
	{variable: "KUBECONFIG", path: "kube/config"}, // aws eks update-kubeconfig, az aks get-credentials
}

const toolsDir = "tools"

// privateEnv makes private places for the credentials that tools keep, and returns
// the variables that lead to them. What a tool has put there stays.
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

// isStore reports whether a variable leads to a place of stores.
func isStore(variable string) bool {
	for _, store := range stores {
		if store.variable == variable {
			return true
		}
	}
	return false
}
