package oidctokentest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inChild is set in a process that runs a test which must fail.
const inChild = "OIDCTOKENTEST_CHILD"

// failsInChild runs a test of this package in another process and requires each
// of its subtests to fail with its own words. A test that fails on purpose
// skips itself outside such a process.
func failsInChild(t *testing.T, test string, found map[string]string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	underscored := strings.NewReplacer(" ", "_") // as go test does
	test = underscored.Replace(test)
	var groups []string // of subtests
	for subtest := range found {
		group, _, _ := strings.Cut(subtest, "/")
		groups = append(groups, group)
	}
	pattern := "^" + strings.ReplaceAll(test, "/", "$/^") + "$/^(" + strings.Join(groups, "|") + ")$"
	cmd := exec.CommandContext(t.Context(), program, "-test.run="+pattern, "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), inChild+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("%s passed, want it to fail", test)
	}
	for subtest, words := range found {
		name := test + "/" + underscored.Replace(subtest)
		if printed := outputOf(string(out), name); !strings.Contains(printed, words) || !strings.Contains(string(out), "--- FAIL: "+name+" (") {
			t.Errorf("%s did not fail with %q; it printed:\n%s", name, words, printed)
		}
	}
}

// outputOf returns the lines that a test printed itself, from the output of go
// test -v.
func outputOf(output, name string) string {
	var own strings.Builder
	inside := false
	for line := range strings.Lines(output) {
		if marker, of, ok := strings.Cut(strings.TrimSpace(line), " "); ok && (marker == "===" || marker == "---") {
			fields := strings.Fields(of)
			inside = marker == "===" && len(fields) > 1 && fields[1] == name
		} else if inside {
			own.WriteString(line)
		}
	}
	return own.String()
}
