package conformance_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func nodeVerifiers() []verifier {
	return []verifier{
		{"npm jose", true, func(t *testing.T, candidates []candidate) (version string, verdicts []verdict) {
			return askNode(t, "jose", candidates)
		}},
		{"npm jsonwebtoken and jwks-rsa", false, func(t *testing.T, candidates []candidate) (version string, verdicts []verdict) {
			return askNode(t, "jsonwebtoken", candidates)
		}},
	}
}

func pythonVerifiers() []verifier {
	return []verifier{{"PyPI PyJWT", true, func(t *testing.T, candidates []candidate) (version string, verdicts []verdict) {
		return askScript(t, exec.CommandContext(t.Context(), python(t), "python/verify.py"), candidates)
	}}}
}

func askNode(t *testing.T, library string, candidates []candidate) (version string, verdicts []verdict) {
	t.Helper()
	modules := nodeModules(t)
	command := exec.CommandContext(t.Context(), "node", "node/verify.cjs", library)
	command.Env = append(os.Environ(), "NODE_PATH="+modules)
	return askScript(t, command, candidates)
}

// askScript gives a script all candidates as JSON and reads its verdicts. What
// it writes to stderr is its library's version.
func askScript(t *testing.T, command *exec.Cmd, candidates []candidate) (version string, verdicts []verdict) {
	t.Helper()
	input, err := json.Marshal(candidates)
	if err != nil {
		t.Fatal(err)
	}
	command.Stdin = bytes.NewReader(input)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if err := json.Unmarshal(stdout.Bytes(), &verdicts); err != nil {
		t.Fatalf("%v\n%s", err, stdout.String())
	}
	return strings.TrimSpace(stderr.String()), verdicts
}
