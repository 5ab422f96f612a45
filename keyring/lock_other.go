//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package keyring

import (
	"errors"
	"os"
)

// tryLock fails: without a lock, two processes could overwrite each other.
func tryLock(string) (*os.File, error) { return nil, errors.ErrUnsupported }
