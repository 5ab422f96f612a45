package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
)

// inherited are the variables that a step's command gets from the runner's own
// environment. A stray AWS_ACCESS_KEY_ID or GOOGLE_APPLICATION_CREDENTIALS of
// the machine does not reach it.
var inherited = []string{"PATH", "HOME", "LANG", "TMPDIR", "TZ"}

// killDelay is how long a command may take to end once it was asked to.
const killDelay = 5 * time.Second

// runStep gives a step what it asks for, runs its command and returns the exit
// code: the command's own, 128+n if signal n ended it, or the runner's.
func (h *host) runStep(ctx context.Context, stage *pipeline.Stage, step *pipeline.Step, o options) (code int) {
	given, err := h.newStep(stage, step)
	if err != nil {
		fmt.Fprintln(o.stderr, oneLine(err))
		return exitBadFile
	}
	defer func() {
		if err := given.Close(); err != nil {
			fmt.Fprintln(o.stderr, oneLine(err))
			code = max(code, 1)
		}
	}()
	command, err := h.prepare(ctx, given, stage, step)
	if err != nil {
		fmt.Fprintln(o.stderr, oneLine(err))
		return exitRefused
	}
	if command == nil {
		return 0
	}
	stdout, stderr := given.Mask(o.stdout), given.Mask(o.stderr)
	command.Stdout, command.Stderr = stdout, stderr
	err = command.Run()
	if err := errors.Join(stdout.Close(), stderr.Close()); err != nil {
		fmt.Fprintln(o.stderr, oneLine(err))
		return 1
	}
	return exitCode(command, err, o.stderr)
}

// prepare resolves a step's texts and returns the command to run; nil if it
// has none. Its argument is a file, so that no token stands in a process list.
func (h *host) prepare(ctx context.Context, given *broker.Step, stage *pipeline.Stage, step *pipeline.Step) (*exec.Cmd, error) {
	at := func(line int, err error, field string, args ...any) error {
		return h.file.Error(line, stage, step, fmt.Sprintf(field, args...), err)
	}
	dir, err := given.Dir()
	if err != nil {
		return nil, err
	}
	for _, ref := range step.Connectors {
		if err := given.Deliver(ctx, ref.Text); err != nil {
			return nil, at(ref.Line, err, "connectors[%s]", ref.Text)
		}
	}
	env := environment(dir, given)
	for _, v := range step.Env {
		value, err := given.Expand(ctx, v.Text)
		if err != nil {
			return nil, at(v.Line, err, "env.%s", v.Name)
		}
		env = append(env, v.Name+"="+value)
	}
	for _, f := range step.Files {
		if _, err := given.WriteFile(ctx, f.Name, f.Text); err != nil {
			return nil, at(f.Line, err, "files.%s", f.Name)
		}
	}
	if step.Run == "" {
		return nil, nil
	}
	script, err := given.Expand(ctx, step.Run)
	if err != nil {
		return nil, at(step.RunLine, err, "run")
	}
	path, err := writeScript(dir, script)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, "sh", path)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = killDelay
	command.Dir = dir
	command.Env = env
	return command, nil
}

// environment is what the step's command starts with, before its own env.
func environment(dir string, given *broker.Step) []string {
	env := []string{"STEP_DIR=" + dir}
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return append(env, given.Environ()...)
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

// exitCode is the code that the runner ends with after a command.
func exitCode(command *exec.Cmd, err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	state := command.ProcessState
	if state == nil {
		fmt.Fprintln(stderr, oneLine(err)) // it was not started
		return 1
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	if state.ExitCode() != 0 {
		return state.ExitCode()
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		return 0 // a process that the step left behind kept its output open
	}
	fmt.Fprintln(stderr, oneLine(err))
	return 1
}

// variables are what a step's expressions may read.
func variables(file *pipeline.File, stage *pipeline.Stage) map[string]func(string) (string, bool) {
	lookup := func(variables map[string]string) func(string) (string, bool) {
		return func(path string) (string, bool) {
			name, ok := strings.CutPrefix(path, "variables.")
			value, known := variables[name]
			return value, ok && known
		}
	}
	return map[string]func(string) (string, bool){
		"pipeline": lookup(file.Variables),
		"stage":    lookup(stage.Variables),
	}
}
