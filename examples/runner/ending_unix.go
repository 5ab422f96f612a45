//go:build unix

package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// endings are the signals that ask the process to end.
var endings = []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGTERM}

// isNohup reports whether the process was started so that it survives s: nohup has
// it ignore SIGHUP. Shells have background jobs ignore SIGINT and SIGQUIT, which
// says nothing about a signal that is sent to the process alone.
func isNohup(s os.Signal) bool { return s == syscall.SIGHUP && signal.Ignored(s) }

const exitBrokenPipe = 128 + int(syscall.SIGPIPE)

func isBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }

// keepBrokenPipes makes a write to a broken pipe fail. Otherwise Go ends a process
// whose standard output or error is broken, and the step would run on. The signal
// itself is ignored, because a connection that a client closed raises it, too.
func keepBrokenPipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
