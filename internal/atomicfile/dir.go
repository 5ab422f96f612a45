package atomicfile

import (
	"errors"
	"io/fs"
	"os"
)

// directory is an open directory. Names are relative to it, and os.Root keeps
// them from leaving it.
type directory struct {
	root *os.Root
	self *os.File // the directory itself, opened early so that sync cannot fail for want of a descriptor
}

func openDir(path string) (*directory, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return openDirIn(root, ".")
}

func openDirIn(parent *os.Root, path string) (*directory, error) {
	root, err := parent.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	self, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &directory{root: root, self: self}, nil
}

// close has no error to report: both descriptors were only read from.
func (d *directory) close() {
	_ = d.self.Close()
	_ = d.root.Close()
}

// unfit returns why name must not be replaced, or "".
func (d *directory) unfit(name string) (reason string, err error) {
	fi, err := d.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case fi.Mode()&fs.ModeSymlink != 0:
		return "is a symbolic link", nil
	case fi.IsDir():
		return "is a directory", nil
	case !fi.Mode().IsRegular():
		return "is not a regular file", nil
	case !isOurs(fi):
		return "belongs to another user", nil
	}
	return "", nil
}

// create makes a new file with a random name and locks it against Sweep.
func (d *directory) create() (tempFile, string, error) {
	for {
		name := newTempName()
		// O_EXCL refuses an existing name, also a dangling link; os.Root adds
		// O_NOFOLLOW.
		f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, "", err
		}
		isLinked, err := d.lockNew(f, name)
		if err != nil {
			return nil, "", errors.Join(err, f.Close(), d.remove(name))
		}
		if isLinked {
			return privateFile{f}, name, nil
		}
		// A Sweep came between the creation and the lock and took the file away.
		if err := f.Close(); err != nil {
			return nil, "", err
		}
	}
}

// lockNew locks f and reports whether f still has its name.
func (d *directory) lockNew(f *os.File, name string) (isLinked bool, err error) {
	if err := lock(f); err != nil {
		return false, err
	}
	opened, err := f.Stat()
	if err != nil {
		return false, err
	}
	return d.isNamed(name, opened)
}

// isNamed reports whether name is the name of fi.
func (d *directory) isNamed(name string, fi fs.FileInfo) (bool, error) {
	there, err := d.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(there, fi), err
}

func (d *directory) rename(from, to string) error { return d.root.Rename(from, to) }
func (d *directory) remove(name string) error     { return d.root.Remove(name) }
func (d *directory) sync() error                  { return syncDir(d.self) }

func (d *directory) names() ([]string, error) { return d.self.Readdirnames(-1) }

// sweepFile removes the leftover name, unless it is no leftover.
func (d *directory) sweepFile(name string) (bool, error) {
	fi, err := d.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // its writer was alive and has finished
	}
	if err != nil || !fi.Mode().IsRegular() || !isOurs(fi) {
		return false, err
	}
	f, err := d.root.OpenFile(name, os.O_RDWR, 0) // NFS locks only files that are open for writing
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	isFree, err := tryLock(f)
	if err != nil || !isFree {
		return false, err
	}
	// Removed under the lock, so that its writer, should it be about to take the
	// lock, sees that the name has gone.
	err = d.remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// privateFile is the tempFile of a real directory.
type privateFile struct{ *os.File }

func (f privateFile) makePrivate() error { return setMode(f.File, 0o600) }
