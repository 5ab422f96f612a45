package conformance_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/oidctoken/oidctoken/internal/needs"
)

// pins are the files with the versions. The installer leaves a copy of the file
// that it used.
var pins = map[string]string{
	"python":   "python/requirements.txt",
	"azurecli": "python/azure-cli.txt",
	"node":     "node/package-lock.json",
	"java":     "java/pom.xml",

	"liquibase": "../examples/liquibase/pom.xml",
}

// installed returns the directory of one kind of libraries, where ./install put
// them. A test whose libraries are missing is skipped; see the package comment.
func installed(t *testing.T, kind string) string {
	t.Helper()
	root := os.Getenv("OIDCTOKEN_CONFORMANCE")
	if root == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		root = filepath.Join(cache, "oidctoken-conformance")
	}
	dir := filepath.Join(root, kind)
	want, err := os.ReadFile(pins[kind])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "done")); err != nil || !bytes.Equal(got, want) {
		needs.Missing(t, kind, "run conformance/install "+kind)
	}
	return dir
}

// python returns the interpreter that has the pinned libraries.
func python(t *testing.T) string {
	t.Helper()
	return filepath.Join(installed(t, "python"), "bin", "python")
}

// nodeModules returns the directory of the pinned libraries, for NODE_PATH.
func nodeModules(t *testing.T) string {
	t.Helper()
	needs.Program(t, "node")
	return filepath.Join(installed(t, "node"), "node_modules")
}

// absolute returns the path of a file of this directory.
func absolute(t *testing.T, elements ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return path
}
