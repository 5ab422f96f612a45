package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/atomicfile"
)

// killDelay is the time that a command has to end after SIGTERM, and that its
// left-over processes have to close the output that they share with it.
const killDelay = 5 * time.Second

// runStep delivers a step's credentials, runs its command and returns the exit
// code: the command's own, 128+n if signal n ended it, or the runner's.
func (h *host) runStep(ctx context.Context, stage *pipeline.Stage, step *pipeline.Step, o options) (code int) {
	given, err := h.newStep(stage, step)
	if err != nil {
		fmt.Fprintln(o.stderr, oneLine(err))
		return exitBadFile
	}
	// The text of an error may hold secrets of the step.
	fail := func(err error, code int) int {
		if ctx.Err() != nil {
			err, code = context.Cause(ctx), interrupted(ctx)
		}
		masked := given.Mask(o.stderr)
		fmt.Fprintln(masked, oneLine(err))
		masked.Close() // an error of stderr cannot be reported
		return code
	}
	defer func() {
		if err := given.Close(); err != nil {
			code = max(code, fail(err, exitRunner))
		}
	}()
	dir, err := given.Dir()
	if err != nil {
		return fail(err, exitRunner)
	}
	script, env, err := h.prepare(ctx, given, stage, step)
	if step.ExpectRefusal {
		return h.expectRefusal(ctx, stage, step, err, fail)
	}
	if err != nil {
		return fail(err, exitRefused)
	}
	if step.Run == "" {
		return 0
	}
	work, err := newStepWorkDir(h.dir)
	if err != nil {
		return fail(err, exitRunner)
	}
	defer func() {
		if err := atomicfile.RemoveAll(work); err != nil {
			code = max(code, fail(err, exitRunner))
		}
	}()
	path, err := writeScript(dir, script)
	if err != nil {
		return fail(err, exitRunner)
	}
	stdout, stderr := given.Mask(o.stdout), given.Mask(o.stderr)
	command := newCommand(ctx, work, path, step.KeepGoing)
	command.Env = given.NoProxy(append(environment(dir, work, given), env...))
	command.Stdout, command.Stderr = stdout, stderr
	err = command.Run()
	if ctx.Err() != nil {
		killGroup(command)
	}
	if err := errors.Join(stdout.Close(), stderr.Close()); err != nil {
		return fail(err, exitRunner)
	}
	code, err = exitCode(command, err)
	if err != nil || code == 0 && ctx.Err() != nil {
		return fail(err, code)
	}
	return code
}

// prepare resolves a step's texts: it writes the files and returns the commands
// to run and the step's own variables.
func (h *host) prepare(ctx context.Context, given *broker.Step, stage *pipeline.Stage, step *pipeline.Step) (script string, env []string, err error) {
	for _, ref := range step.Connectors {
		if err := given.Deliver(ctx, ref.Text); err != nil {
			return "", nil, h.file.Error(ref.Line, stage, step, connectorField(ref), err)
		}
	}
	texts := step.Texts() // env, files, run: with the fields' names for errors
	for i, v := range step.Env {
		value, err := given.Expand(ctx, v.Text)
		if err == nil {
			err = checkValue(value)
		}
		if err != nil {
			return "", nil, h.file.Error(v.Line, stage, step, texts[i].Name, err)
		}
		env = append(env, v.Name+"="+value)
	}
	for i, f := range step.Files {
		if _, err := given.WriteFile(ctx, f.Name, f.Text); err != nil {
			return "", nil, h.file.Error(f.Line, stage, step, texts[len(step.Env)+i].Name, err)
		}
	}
	if script, err = given.Expand(ctx, step.Run); err != nil {
		return "", nil, h.file.Error(step.RunLine, stage, step, "run", err)
	}
	return script, env, nil
}

// connectorField returns the field of a step that a delivered connector stands in.
func connectorField(ref pipeline.Ref) string { return "connectors[" + ref.Text + "]" }

// expectRefusal returns the exit code of a step that must be refused. err is
// the result of resolving its texts.
func (h *host) expectRefusal(ctx context.Context, stage *pipeline.Stage, step *pipeline.Step, err error, fail func(error, int) int) int {
	switch {
	case err == nil:
		return fail(h.file.Error(step.Line, stage, step, "expectRefusal", errors.New("the step was refused nothing")), exitRunner)
	case ctx.Err() != nil || !isRefusal(err):
		return fail(err, exitRefused)
	}
	fail(fmt.Errorf("--- refused, as expected: %w", err), 0)
	return 0
}

// isRefusal reports whether err is the decision of a policy, or of a cloud, and
// no outage.
func isRefusal(err error) bool {
	var refused *exchange.Error
	if errors.As(err, &refused) {
		return !refused.Temporary()
	}
	return errors.Is(err, oidctoken.ErrDenied)
}

// newStepWorkDir makes the empty directory in which a step's command starts.
// The step's files are in another directory, so a command may delete or pack
// everything here.
func newStepWorkDir(runDir string) (string, error) { return os.MkdirTemp(runDir, "work-") }

// newCommand runs a script in a directory. The script is a file, so that no
// token stands in a process list. It ends at its first command that fails,
// unless keepGoing is true. When ctx ends, newCommand asks the command and what
// it started to end, and kills what does not.
func newCommand(ctx context.Context, dir, script string, keepGoing bool) *exec.Cmd {
	args := []string{"-e", script}
	if keepGoing {
		args = args[1:]
	}
	command := exec.CommandContext(ctx, "sh", args...)
	command.Dir = dir
	command.WaitDelay = killDelay
	ownGroup(command)
	return command
}

// writeScript writes a step's resolved commands, tokens and all, to a file
// that only this user can read.
func writeScript(dir, script string) (path string, err error) {
	path = filepath.Join(dir, ".oidctoken", "run.sh")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.WriteString(f, script)
	return path, errors.Join(err, f.Close())
}

// exitCode returns the runner's exit code after a command, and an error if the
// code is not the command's own.
func exitCode(command *exec.Cmd, err error) (int, error) {
	state := command.ProcessState
	if state == nil {
		return exitNotFound, err // it was not started
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	switch {
	case state.ExitCode() != 0:
		return state.ExitCode(), nil
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		// The latter: a process that the step left behind kept its output open.
		return 0, nil
	}
	return exitRunner, err
}
