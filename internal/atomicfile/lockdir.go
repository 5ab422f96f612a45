package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A LockedDir is a private directory that [RemoveUnlocked] leaves alone, in this
// process and in others, until Close or the end of the process. (That needs
// flock: elsewhere RemoveUnlocked leaves all directories alone.)
type LockedDir struct {
	Root *os.Root
	self *os.File // the directory itself, which has the lock
}

// MkdirTempLocked makes a directory in parent with a new name that begins with
// prefix, for its owner alone (mode 0700 whatever the umask), and locks it.
func MkdirTempLocked(parent, prefix string) (path string, d *LockedDir, err error) {
	for {
		path, err = os.MkdirTemp(parent, prefix)
		if err != nil {
			return "", nil, fmt.Errorf("atomicfile: make locked directory: %w", err)
		}
		if d, err = lockNewDir(path); d != nil || err != nil {
			return path, d, err
		}
	}
}

// MkdirLocked is [MkdirTempLocked] for a path that does not exist. Its error wraps
// fs.ErrExist if something does.
func MkdirLocked(path string) (*LockedDir, error) {
	for {
		if err := os.Mkdir(path, 0o700); err != nil {
			return nil, fmt.Errorf("atomicfile: make locked directory: %w", err)
		}
		if d, err := lockNewDir(path); d != nil || err != nil {
			return d, err
		}
	}
}

// lockNewDir locks the directory path, which was just made. It returns nil if
// RemoveUnlocked came before the lock and took the directory away.
func lockNewDir(path string) (*LockedDir, error) {
	d, err := openNewDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("atomicfile: make locked directory: %w", err)
	}
	err = lockDir(d.self)
	if err == nil {
		var there bool
		if there, err = d.IsAt(path); there {
			return d, nil
		}
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, fmt.Errorf("atomicfile: lock %s: %w", path, err)
	}
	return nil, nil
}

func openNewDir(path string) (*LockedDir, error) {
	// Mkdir asks for 0700, and a umask can only take from that.
	if err := os.Chmod(path, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	self, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &LockedDir{root, self}, nil
}

// IsAt reports whether path is d, and not a link to it.
func (d *LockedDir) IsAt(path string) (bool, error) {
	opened, err := d.self.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(there, opened), err
}

// Close gives up the lock. It removes nothing.
func (d *LockedDir) Close() error { return errors.Join(d.Root.Close(), d.self.Close()) }

// Remove removes d, which is at path, with all that is in it, as [RemoveAll] does,
// and gives up the lock.
func (d *LockedDir) Remove(path string) error {
	if !locksDirs { // Windows does not remove what is open
		return errors.Join(d.Close(), RemoveAll(path))
	}
	return errors.Join(RemoveAll(path), d.Close())
}

// RemoveUnlocked removes the directory path with all that is in it, as
// [RemoveAll] does, and reports whether it has. It leaves the directory alone if
// somebody has locked it. If it cannot tell, it leaves the directory alone, too,
// and the error wraps [errors.ErrUnsupported].
func RemoveUnlocked(path string) (removed bool, err error) {
	parent, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return false, ignoreMissing(err)
	}
	defer parent.Close()
	base := filepath.Base(path)
	info, err := parent.Lstat(base)
	if err != nil || !info.IsDir() {
		return false, ignoreMissing(err)
	}
	root, err := parent.OpenRoot(base)
	if errors.Is(err, fs.ErrPermission) {
		root, err = openAny(parent, base)
	}
	if err != nil {
		return false, ignoreMissing(err)
	}
	self, err := root.Open(".")
	d := &LockedDir{root, self}
	if err != nil {
		return false, errors.Join(err, root.Close())
	}
	defer d.Close()
	if free, err := tryLockDir(self); err != nil || !free {
		return false, err
	}
	// Removed under the lock, so that its maker, should it be about to take the
	// lock, sees that the name has gone.
	if there, err := d.IsAt(path); err != nil || !there {
		return false, err
	}
	err = RemoveAll(path)
	return err == nil, err
}
