package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// ending is why a run ends before its steps, with the exit code. It is the
// cause of the run's ctx.
type ending struct {
	reason string
	code   int
}

func (e ending) Error() string { return "runner: " + e.reason }

// interrupted returns the exit code of a run whose ctx ended before its steps.
func interrupted(ctx context.Context) int {
	var e ending
	if errors.As(context.Cause(ctx), &e) {
		return e.code
	}
	return exitRunner
}

// withSignals returns a ctx that ends at the first signal which asks the process
// to end.
func withSignals(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	for _, s := range endings {
		if !isNohup(s) {
			signal.Notify(signals, s)
		}
	}
	go func() {
		s := <-signals
		e := ending{s.String(), exitRunner}
		if n, ok := s.(syscall.Signal); ok {
			e.code = 128 + int(n)
		}
		cancel(e)
	}()
	return ctx
}

// output is a stream of the process. A write that fails, because the reader is
// gone or the disk is full, ends the run: later output of the steps would be
// lost.
type output struct {
	w    io.Writer
	name string
	end  context.CancelCauseFunc
}

// Write writes to the stream.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		e := ending{o.name + ": " + err.Error(), exitRunner}
		if isBrokenPipe(err) {
			e.code = exitBrokenPipe
		}
		o.end(e)
	}
	return n, err
}
