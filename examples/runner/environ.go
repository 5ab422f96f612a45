package main

import (
	"errors"
	"os"
	"strings"

	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
)

// inherited are the variables that a step's command gets from the runner's own
// environment. A stray AWS_ACCESS_KEY_ID or GOOGLE_APPLICATION_CREDENTIALS of
// the machine does not reach it.
var inherited = []string{"PATH", "HOME", "LANG", "TMPDIR", "TZ"}

const (
	stepDir     = "STEP_DIR"     // names the directory that has the step's files
	stepWorkDir = "STEP_WORKDIR" // names the empty directory that the command starts in
)

// environment returns the variables of a step's command without its own env.
// That comes after them, and the last value of a variable counts, so an author
// can replace an inherited or delivered variable, such as PATH or
// CLOUDSDK_CONFIG. checkEnv keeps the author from replacing STEP_DIR and
// STEP_WORKDIR.
func environment(dir, work string, given *broker.Step) []string {
	var env []string
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return append(append(env, given.Environ()...), stepDir+"="+dir, stepWorkDir+"="+work)
}

// checkEnv refuses, before anything is started, variables that no step can be
// given.
func (h *host) checkEnv(stage *pipeline.Stage, step *pipeline.Step) error {
	texts := step.Texts() // begins with env
	for i, v := range step.Env {
		err := checkValue(outside(v.Text))
		switch v.Name {
		case stepDir:
			err = errors.New("is set by the runner, to the directory of the step's files")
		case stepWorkDir:
			err = errors.New("is set by the runner, to the directory that the command starts in")
		}
		if err != nil {
			return h.file.Error(v.Line, stage, step, texts[i].Name, err)
		}
	}
	return nil
}

// outside returns text without the part from its first expression to its last,
// which can be judged only after it was resolved.
func outside(text string) string {
	for _, d := range []struct{ opening, closing string }{{"<+", ">"}, {"${{", "}}"}} {
		if before, rest, found := strings.Cut(text, d.opening); found {
			if end := strings.LastIndex(rest, d.closing); end >= 0 {
				rest = rest[end+len(d.closing):]
			}
			text = before + rest
		}
	}
	return text
}

// checkValue refuses a value that a variable cannot hold, or that surprises
// programs: a NUL ends it, and programs that read environments line by line
// take the text after a line break for another variable.
func checkValue(value string) error {
	switch {
	case strings.ContainsRune(value, 0):
		return errors.New("has a NUL character")
	case strings.ContainsRune(value, '\n'):
		return errors.New("has a line break: give it as a file, or without (YAML's >- folds lines)")
	}
	return nil
}
