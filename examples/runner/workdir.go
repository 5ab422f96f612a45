package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/oidctoken/oidctoken/internal/atomicfile"
)

// workDir is the private directory of a run.
type workDir struct {
	path string
	lock io.Closer
}

const workDirPrefix = "oidctoken-runner-"

// newWorkDir makes a directory for a run, and removes the directories of killed
// runs.
func newWorkDir() (*workDir, error) {
	left, err := filepath.Glob(filepath.Join(os.TempDir(), workDirPrefix+"*"))
	if err != nil {
		return nil, err
	}
	for _, l := range left {
		if isLeftover(l) {
			_ = atomicfile.RemoveAll(l) // a leftover that cannot be removed does not fail this run
		}
	}
	path, err := os.MkdirTemp("", workDirPrefix)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(path)
	if err != nil {
		return nil, errors.Join(err, atomicfile.RemoveAll(path))
	}
	return &workDir{path, lock}, nil
}

// Close removes the directory.
func (d *workDir) Close() error { return errors.Join(atomicfile.RemoveAll(d.path), d.lock.Close()) }
