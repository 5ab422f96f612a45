//go:build !unix

package main

import (
	"os"
	"syscall"
)

var endings = []os.Signal{os.Interrupt, syscall.SIGTERM}

const exitBrokenPipe = exitRunner

func isBrokenPipe(error) bool { return false }

func keepBrokenPipes() {}
