//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package keyring

import (
	"errors"
	"os"
	"syscall"
)

// tryLock returns the locked file; nil if another process holds it. A file that
// others may hold, or that a link leads to, is not taken for the lock.
func tryLock(path string) (*os.File, error) {
	f, err := openOwn(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, syscall.EWOULDBLOCK), errors.Is(err, syscall.EINTR):
		return nil, f.Close()
	}
	return nil, errors.Join(os.NewSyscallError("flock", err), f.Close())
}
