//go:build !unix

package main

import (
	"os"
	"syscall"
)

var endings = []os.Signal{os.Interrupt, syscall.SIGTERM}

func isNohup(os.Signal) bool { return false }

const exitBrokenPipe = exitRunner

func isBrokenPipe(error) bool { return false }

func keepBrokenPipes() {}
