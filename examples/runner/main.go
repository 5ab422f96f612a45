// Runner runs a pipeline file: it is the issuer of its steps' tokens, and a
// small example of a host.
//
//	runner [-preview] [-v] [-set KEY=VALUE]... [FILE.yaml]
//
// Without a file it runs a demonstration. It exits with the code of the first
// step that fails (128+n if signal n ended it, 127 if there is no sh to run it),
// with 2 for a bad file, with 3 when a token or a credential is refused, and
// with 1 when the runner itself fails. SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGTERM
// and a standard output or error that cannot be written to end the step that
// runs, with all that it started, and the files of the run are removed. The exit
// code is then 128+n for signal n, 141 for a broken pipe, or the step's own. What
// a killed runner left is removed by the next.
//
// A step's env comes after what its command inherits and what its connectors
// deliver, and replaces it. It cannot set STEP_DIR and STEP_WORKDIR.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
)

//go:embed demo.yaml
var demonstration []byte

// The exit codes that are not a step's.
const (
	exitRunner   = 1
	exitBadFile  = 2
	exitRefused  = 3
	exitNotFound = 127 // as of a shell that does not find a command
)

func main() {
	keepBrokenPipes()
	os.Exit(run(withSignals(context.Background()), os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its surroundings as parameters; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	stdout, stderr = &output{stdout, "standard output", end}, &output{stderr, "standard error", end}
	flags := flag.NewFlagSet("runner", flag.ContinueOnError)
	flags.SetOutput(stderr)
	preview := flags.Bool("preview", false, "print the claims of every token, as a line of JSON each, and run nothing")
	verbose := flags.Bool("v", false, "print a line for each token that a stand-in verifies, as the demonstration does")
	var sets []string
	flags.Func("set", "override a scalar of the file, as `KEY=VALUE`; may be repeated", func(s string) error {
		sets = append(sets, s)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return exitBadFile
	}
	if flags.NArg() > 1 {
		fmt.Fprintln(stderr, "runner: more than one FILE; flags go before it")
		return exitBadFile
	}
	name, data, err := "demo.yaml", demonstration, error(nil)
	if flags.NArg() == 1 {
		name = flags.Arg(0)
		if data, err = os.ReadFile(name); err != nil {
			fmt.Fprintln(stderr, oneLine(err))
			return exitBadFile
		}
	}
	file, err := pipeline.Read(name, data, sets)
	if err != nil {
		fmt.Fprintln(stderr, oneLine(err))
		return exitBadFile
	}
	return execute(ctx, file, options{
		preview: *preview,
		compare: flags.NArg() == 0,
		verbose: *verbose || flags.NArg() == 0,
		stdout:  stdout,
		stderr:  stderr,
	})
}

type options struct {
	preview bool
	compare bool // show, after the run, how the stages' claims differ
	verbose bool // show the decisions of the stand-ins
	stdout  io.Writer
	stderr  io.Writer
}

// execute previews or runs a file that is in order as far as reading it can
// tell; it returns the exit code.
func execute(ctx context.Context, file *pipeline.File, o options) (code int) {
	o.stderr = &lockedWriter{w: o.stderr}
	fail := func(err error, code int) int {
		if ctx.Err() != nil {
			err, code = context.Cause(ctx), interrupted(ctx)
		}
		fmt.Fprintln(o.stderr, oneLine(err))
		return code
	}
	dir, err := newWorkDir()
	if err != nil {
		return fail(err, exitRunner)
	}
	h, err := newHost(file, dir, o)
	if err != nil {
		return fail(err, exitBadFile)
	}
	defer func() {
		if err := h.Close(); err != nil {
			code = max(code, fail(err, exitRunner))
		}
	}()
	uses, refused, err := h.previewAll(ctx)
	if err != nil {
		return fail(err, exitBadFile)
	}
	if o.preview {
		err = printUses(o.stdout, uses)
		for _, r := range refused {
			code = fail(r, exitRefused)
		}
	} else if code := h.runSteps(ctx, o); code != 0 {
		return code
	} else if o.compare {
		err = printComparison(o.stdout, uses)
	}
	if err != nil {
		return fail(err, exitRunner)
	}
	return code
}

// runSteps runs the file's steps, in order, until one fails.
func (h *host) runSteps(ctx context.Context, o options) (code int) {
	for i := range h.file.Stages {
		stage := &h.file.Stages[i]
		for j := range stage.Steps {
			step := &stage.Steps[j]
			fmt.Fprintf(o.stderr, "--- %s/%s\n", stage.ID, step.ID)
			if code := h.runStep(ctx, stage, step, o); code != 0 {
				fmt.Fprintf(o.stderr, "--- %s/%s failed: exit code %d\n", stage.ID, step.ID, code)
				return code
			}
		}
	}
	return 0
}

// oneLine returns err's text in one line.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), " ")
}
