// Package needs finds the programs of others that tests need. Where one is
// missing, the test is skipped, and says which. Where the variable CI is set
// that is a failure, unless OIDCTOKEN_ABSENT, a list separated by spaces, names
// what could not be installed there.
package needs

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Program returns the path of a program: from PATH, or else the last file that
// one of the patterns (see [filepath.Glob]) finds.
func Program(tb testing.TB, name string, elsewhere ...string) string {
	tb.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, pattern := range elsewhere {
		found, err := filepath.Glob(pattern)
		if err != nil {
			tb.Fatal(err)
		}
		if len(found) > 0 {
			return found[len(found)-1]
		}
	}
	Missing(tb, name, "it is not in PATH")
	return ""
}

// Missing ends a test for which something is missing.
func Missing(tb testing.TB, what, advice string) {
	tb.Helper()
	if os.Getenv("CI") != "" && !slices.Contains(strings.Fields(os.Getenv("OIDCTOKEN_ABSENT")), what) {
		tb.Fatalf("%s: not installed: %s", what, advice)
	}
	tb.Skipf("%s: not installed: %s", what, advice)
}
