// Package needs finds third-party programs that tests need. If a program is missing, the test
// is skipped with its name. If the environment variable CI is set, the test fails instead,
// unless OIDCTOKEN_ABSENT contains the program. OIDCTOKEN_ABSENT is a list of programs that
// could not be installed, separated by spaces.
package needs

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Program returns the path of a program. It looks in PATH. Then it looks for files that match
// one of the patterns (see [filepath.Glob]) and returns the last one.
func Program(tb testing.TB, name string, patterns ...string) string {
	tb.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, pattern := range patterns {
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

// Missing skips or fails a test because program is not installed. advice tells how to get it.
func Missing(tb testing.TB, program, advice string) {
	tb.Helper()
	if os.Getenv("CI") != "" && !slices.Contains(strings.Fields(os.Getenv("OIDCTOKEN_ABSENT")), program) {
		tb.Fatalf("%s: not installed: %s", program, advice)
	}
	tb.Skipf("%s: not installed: %s", program, advice)
}
