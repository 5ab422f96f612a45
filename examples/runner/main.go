// Runner runs a pipeline file: it is the issuer of its steps' tokens, and a
// small example of a host.
//
//	runner [-preview] [-set KEY=VALUE]... [FILE.yaml]
//
// Without a file it runs a demonstration. It exits with the code of the first
// step that fails, with 2 for a bad file, and with 3 when a token or a
// credential is refused.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
)

//go:embed demo.yaml
var demonstration []byte

// The exit codes that are not a step's.
const (
	exitBadFile = 2
	exitRefused = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its surroundings as parameters; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("runner", flag.ContinueOnError)
	flags.SetOutput(stderr)
	preview := flags.Bool("preview", false, "print the claims of every token, as a line of JSON each, and run nothing")
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
		stdout:  stdout,
		stderr:  stderr,
	})
}

type options struct {
	preview bool
	compare bool // show, after the run, how the stages' claims differ
	stdout  io.Writer
	stderr  io.Writer
}

// execute previews or runs a file that is in order as far as reading it can
// tell; it returns the exit code.
func execute(ctx context.Context, file *pipeline.File, o options) (code int) {
	h, err := newHost(file, o.stderr)
	if err != nil {
		fmt.Fprintln(o.stderr, oneLine(err))
		return exitBadFile
	}
	defer func() {
		if err := h.Close(); err != nil {
			fmt.Fprintln(o.stderr, oneLine(err))
			code = max(code, 1)
		}
	}()
	uses, err := h.previewAll(ctx)
	if err != nil {
		fmt.Fprintln(o.stderr, oneLine(err))
		return exitBadFile
	}
	if o.preview {
		if err := printUses(o.stdout, uses); err != nil {
			fmt.Fprintln(o.stderr, oneLine(err))
			return 1
		}
		return 0
	}
	for i := range file.Stages {
		stage := &file.Stages[i]
		for j := range stage.Steps {
			step := &stage.Steps[j]
			fmt.Fprintf(o.stderr, "--- %s/%s\n", stage.ID, step.ID)
			if code := h.runStep(ctx, stage, step, o); code != 0 {
				fmt.Fprintf(o.stderr, "--- %s/%s failed: exit code %d\n", stage.ID, step.ID, code)
				return code
			}
		}
	}
	if o.compare {
		if err := printComparison(o.stdout, uses); err != nil {
			fmt.Fprintln(o.stderr, oneLine(err))
			return 1
		}
	}
	return 0
}

// oneLine is err in one line, whatever it wraps.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), " ")
}
