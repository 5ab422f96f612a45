//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package atomicfile

import (
	"errors"
	"fmt"
	"os"
)

// There is no flock: every temporary file counts as a leftover.
func lock(*os.File) error            { return nil }
func tryLock(*os.File) (bool, error) { return true, nil }

const locksDirs = false

// tryLockDir fails: this system cannot tell whether a directory is in use.
func tryLockDir(*os.File) (bool, error) {
	return false, fmt.Errorf("flock: %w", errors.ErrUnsupported)
}
