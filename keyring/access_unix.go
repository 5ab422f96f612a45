//go:build unix

package keyring

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// openOwn opens a regular file of the user who runs the process. It follows no
// symbolic link in the last element of path, and does not wait for a FIFO.
func openOwn(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	switch {
	case err != nil:
	case !fi.Mode().IsRegular():
		err = fmt.Errorf("%s is not a regular file", path)
	case owner(fi) != os.Geteuid():
		err = fmt.Errorf("%s belongs to another user", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func owner(fi fs.FileInfo) int { return int(fi.Sys().(*syscall.Stat_t).Uid) }

// exposure returns why fi is not a file for a secret, or "". Its group may read a
// file of root, which is how an orchestrator gives a secret to a process.
func exposure(fi fs.FileInfo) string {
	mode := fi.Mode().Perm()
	switch uid := owner(fi); {
	case uid == os.Geteuid() && mode&0o077 != 0:
		return fmt.Sprintf("has mode %04o, so others can open it: chmod 0600", mode)
	case uid == os.Geteuid():
		return ""
	case uid != 0:
		return "belongs to another user, who can open it: chown it to the user who runs this process"
	case mode&0o037 != 0:
		return fmt.Sprintf("has mode %04o and belongs to root, so others can open it: chmod 0640", mode)
	}
	return ""
}
