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

// errTaken means that another process has locked a new directory, or removed it
// with RemoveUnlocked, before this process could lock it.
var errTaken = errors.New("another process has locked or removed it")

// MkdirTempLocked makes a directory in parent with a new name that begins with
// prefix, for its owner alone (mode 0700 for every umask), and locks it.
func MkdirTempLocked(parent, prefix string) (path string, d *LockedDir, err error) {
	for range 100 {
		path, err = os.MkdirTemp(parent, prefix)
		if err != nil {
			return "", nil, fmt.Errorf("atomicfile: make locked directory: %w", err)
		}
		if d, err = lockNewDir(path); !errors.Is(err, errTaken) {
			return path, d, err
		}
	}
	return "", nil, err
}

// MkdirLocked is [MkdirTempLocked] for a path that does not exist. Its error wraps
// fs.ErrExist if something does.
func MkdirLocked(path string) (*LockedDir, error) {
	if err := os.Mkdir(path, 0o700); err != nil {
		return nil, fmt.Errorf("atomicfile: make locked directory: %w", err)
	}
	return lockNewDir(path)
}

// lockNewDir locks the directory path, which was just made.
func lockNewDir(path string) (*LockedDir, error) {
	// Mkdir requests 0700, and a umask can only remove bits.
	err := os.Chmod(path, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		err = errTaken
	}
	if err != nil {
		return nil, fmt.Errorf("atomicfile: lock %s: %w", path, err)
	}
	return LockDir(path)
}

// LockDir locks a directory that another process made. It does not wait for a
// lock. A link is refused with a [*RefusedError].
func LockDir(path string) (*LockedDir, error) {
	d, err := openLocked(path)
	if err != nil {
		return nil, fmt.Errorf("atomicfile: lock %s: %w", path, err)
	}
	return d, nil
}

func openLocked(path string) (*LockedDir, error) {
	parent, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	root, err := openAny(parent, filepath.Base(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errTaken
	}
	if err != nil {
		return nil, err
	}
	self, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	d := &LockedDir{root, self}
	if err := d.lock(path); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// lock locks d, if d is still at path.
func (d *LockedDir) lock(path string) error {
	if free, err := tryLockDir(d.self); errors.Is(err, errors.ErrUnsupported) {
		// RemoveUnlocked has no locks either, and removes nothing.
	} else if err != nil {
		return err
	} else if !free {
		return errTaken
	}
	there, err := d.IsAt(path)
	if err != nil || there {
		return err
	}
	if info, err := os.Lstat(path); err == nil && !info.IsDir() {
		return &RefusedError{Path: path, Reason: "is not a directory"}
	}
	return errTaken
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

// Close gives up the lock. It removes nothing, and may be called more than once.
func (d *LockedDir) Close() error {
	err := d.self.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	return errors.Join(d.Root.Close(), err)
}

// Remove removes d, which is at path, with its content, as [RemoveAll] does,
// and releases the lock.
func (d *LockedDir) Remove(path string) error {
	if !locksDirs { // Windows does not remove an open file
		return errors.Join(d.Close(), RemoveAll(path))
	}
	return errors.Join(RemoveAll(path), d.Close())
}

// RemoveUnlocked removes the directory path with its content, as [RemoveAll]
// does, and reports whether it did. It leaves a locked directory alone. If it
// cannot tell whether the directory is locked, it leaves it alone, too, and the
// error wraps [errors.ErrUnsupported].
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
