//go:build unix

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

func isOurs(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int64(st.Uid) == int64(os.Geteuid())
}

func isOpenToOthers(fi fs.FileInfo) bool { return fi.Mode().Perm()&0o077 != 0 }

func setMode(f *os.File, mode fs.FileMode) error { return f.Chmod(mode) }

// syncDir flushes a directory. A file system that has no such operation answers
// EINVAL or ENOTSUP and keeps its own promise about a rename.
func syncDir(dir *os.File) error {
	err := dir.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}
