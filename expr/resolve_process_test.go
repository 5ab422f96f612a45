package expr_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/expr"
)

// runnerVariable makes a runner of the test's program: its value is the step.
const runnerVariable = "OIDCTOKEN_TEST_RUNNER"

// runStep reads the key, a line, and the plan of a step from one pipe, and
// writes what the step would be given.
func runStep(step string, in io.Reader, out io.Writer) error {
	r := bufio.NewReader(in)
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	key, err := expr.ParsePlanKey(strings.TrimSuffix(line, "\n"))
	if err != nil {
		return err
	}
	planned, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	env := expr.Env{Functions: map[string]expr.Func{
		"secrets.getJWT": {MinArgs: 1, MaxArgs: 2, Secret: true, Call: func(_ context.Context, c expr.Call) (string, error) {
			return fmt.Sprintf("token of %s by process %d", c.Args[0], os.Getpid()), nil
		}},
	}}
	text, err := expr.Resolve(context.Background(), string(planned), env, key, "build", step, "run")
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, text)
	return err
}

// The manager plans, in this process, what another one resolves: with the key
// and for the step that it was planned for alone.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	key := expr.NewPlanKey()
	env := manager()
	planned := mustPlan(t, `echo <+secrets.getJWT(<+stage.variables.conn>)>`, env, key, "build", "test", "run")
	if strings.Contains(planned, "gcp_prod") || strings.Contains(planned, "getJWT") {
		t.Errorf("the plan shows what it asks for: %s", planned)
	}
	for _, tt := range []struct {
		name string
		step string
		key  expr.PlanKey
		want string // "" is a refusal
	}{
		{"the step", "test", key, "echo token of account.gcp_prod by process %d"},
		{"another step", "deploy", key, ""},
		{"another execution", "test", expr.NewPlanKey(), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), program)
			command.Env = append(os.Environ(), runnerVariable+"="+tt.step)
			command.Stdin = strings.NewReader(tt.key.Text() + "\n" + planned)
			var stderr strings.Builder
			command.Stderr = &stderr
			got, err := command.Output()
			if tt.want == "" {
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.ExitCode() != 3 || len(got) > 0 || !strings.Contains(stderr.String(), "line 1, column 6: the placeholder was edited, or it was made with another key or for another place: invalid placeholder") {
					t.Errorf("%v: %q, %s", err, got, stderr.String())
				}
				return
			}
			if err != nil {
				t.Fatalf("%v: %s", err, stderr.String())
			}
			if want := fmt.Sprintf(tt.want, command.Process.Pid); want != string(got) {
				t.Errorf("the step is given %q, want %q", got, want)
			}
		})
	}
}
