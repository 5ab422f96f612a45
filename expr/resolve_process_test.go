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

// runnerVariable is an environment variable. If it is set, the test program acts as the runner
// of the step that it names.
const runnerVariable = "OIDCTOKEN_TEST_RUNNER"

// runStep reads the key, a line, and the plan of a step from in, and writes the resolved text.
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

// This process plans and another process resolves. Resolve succeeds only with the key and for
// the step of the plan.
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
		t.Errorf("the plan shows the function or its argument: %s", planned)
	}
	for _, tt := range []struct {
		name string
		step string
		key  expr.PlanKey
		want string // "" means that Resolve refuses
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
