//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock marks f as being written. The mark goes when f is closed, also by the
// death of the process. It waits for a Sweep that holds f for a moment.
func lock(f *os.File) error { return flock(f, syscall.LOCK_EX) }

// tryLock reports whether no process is writing f.
func tryLock(f *os.File) (bool, error) {
	err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// flock treats a file system without locks as if no lock were held.
func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		switch {
		case err == nil || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.ENOLCK):
			return nil
		case !errors.Is(err, syscall.EINTR):
			return os.NewSyscallError("flock", err)
		}
	}
}

const locksDirs = true

// tryLockDir locks the directory d, and reports whether it was unlocked before.
// The error wraps errors.ErrUnsupported if the file system has no locks.
func tryLockDir(d *os.File) (bool, error) {
	for {
		err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.EINVAL),
			errors.Is(err, syscall.EBADF): // NFS, for a file that is not open for writing
			return false, fmt.Errorf("flock: %w", errors.ErrUnsupported)
		case !errors.Is(err, syscall.EINTR):
			return false, os.NewSyscallError("flock", err)
		}
	}
}
