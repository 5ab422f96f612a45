//go:build !unix

package main

import "os/exec"

// There are no process groups: when a command's ctx ends, it alone is killed.
func ownGroup(*exec.Cmd)  {}
func killGroup(*exec.Cmd) {}
