// Package atomicfile writes files that hold secrets. A reader sees the whole
// old content or the whole new one. Only the owner of the process can open the
// file. A failure leaves the old file and nothing else.
//
// The package is own code because os.WriteFile follows links and is not atomic, and a
// secret needs both. Its tests kill or fail every system call of a replacement.
//
// A file is written under a temporary name in its own directory, flushed to the
// disk and renamed over its target. All steps go through one open directory, so
// that a directory swapped for another in the meantime leads nowhere.
//
// On Windows files and directories inherit the access list of the directory
// above them, so that has to be private already; the mode bits and the owner
// have no meaning there and are not checked.
package atomicfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A RefusedError reports that a secret must not be written to a path. Nothing
// was written. The owner of the path must act.
type RefusedError struct {
	Path   string
	Reason string // a verb phrase: "is a symbolic link"
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("atomicfile: refused: %s %s", e.Path, e.Reason)
}

// The name of a temporary file: tempPrefix, 26 random base32 letters, tempSuffix.
const (
	tempPrefix = ".oidctoken-"
	tempSuffix = ".tmp"
	tempRandom = 26 // the length of rand.Text
)

// Write makes data the whole content of the file path, with mode 0600 for every
// umask. The directory must exist. An existing file is replaced if it is a
// regular file of the user of the process. Everything else (a symbolic link, a
// FIFO, a directory, another user's file, a name that [Sweep] would take for a
// leftover) is refused with a [*RefusedError].
//
// Any other error wraps the error of the operating system, such as
// syscall.ENOSPC. The old file is then untouched and no temporary file is left,
// with one exception: if flushing the directory fails, which is the last step,
// path has the new content but may have the old one again after a power
// failure. The error then tells so.
//
// Concurrent writers of one path are safe; one of them is last.
func Write(path string, data []byte) error {
	dir, name := filepath.Split(path)
	switch {
	case name == "" || name == "." || name == "..":
		return &RefusedError{Path: path, Reason: "does not end in a file name"}
	case isTempName(name):
		return &RefusedError{Path: path, Reason: "has the name of a temporary file"}
	}
	root, err := os.OpenRoot(filepath.Clean(dir))
	if err != nil {
		return fmt.Errorf("atomicfile: write %s: %w", path, err)
	}
	defer root.Close()
	return writeIn(root, ".", name, path, data)
}

// WriteIn is [Write] for the file at path below root. It does not leave root,
// even if other users have put links into the directories on the way. A caller
// that does not trust them opens root before they begin.
func WriteIn(root *os.Root, path string, data []byte) error {
	dir, name := filepath.Split(path)
	if name == "" || name == "." || name == ".." || isTempName(name) {
		return &RefusedError{Path: path, Reason: "does not end in a file name that is the caller's to choose"}
	}
	return writeIn(root, filepath.Clean(dir), name, path, data)
}

func writeIn(root *os.Root, dir, name, path string, data []byte) error {
	d, err := openDirIn(root, dir)
	if err != nil {
		return fmt.Errorf("atomicfile: write %s: %w", path, err)
	}
	defer d.close()
	if reason, err := d.unfit(name); err != nil {
		return fmt.Errorf("atomicfile: write %s: %w", path, err)
	} else if reason != "" {
		return &RefusedError{Path: path, Reason: reason}
	}
	if err := replace(d, name, data); err != nil {
		return fmt.Errorf("atomicfile: write %s: %w", path, err)
	}
	return nil
}

// dirOps has the operations of a directory that replace needs. It is an
// interface so that tests can let each single operation fail.
type dirOps interface {
	create() (f tempFile, name string, err error)
	rename(from, to string) error
	remove(name string) error
	sync() error
}

// tempFile is a new, empty file that replace fills.
type tempFile interface {
	io.WriteCloser
	makePrivate() error
	Sync() error
}

// replace does the work of [Write] once the target has been found fit.
func replace(d dirOps, name string, data []byte) error {
	f, tmp, err := d.create()
	if err != nil {
		return err
	}
	// Closed only after the rename: the lock that keeps Sweep away from the file
	// goes with the descriptor. Its error would tell nothing, since Sync has
	// already reported whether the data arrived.
	defer f.Close()
	if err := fill(f, data); err != nil {
		return errors.Join(err, d.remove(tmp))
	}
	// If the target has become a link or a FIFO meanwhile, it is replaced and not
	// followed; a directory makes the rename fail.
	if err := d.rename(tmp, name); err != nil {
		return errors.Join(err, d.remove(tmp))
	}
	if err := d.sync(); err != nil {
		return fmt.Errorf("the new file is in place, but its directory cannot be flushed: %w", err)
	}
	return nil
}

// fill sets the mode before the first byte: it undoes the umask and what an
// inherited access list of the directory would grant to others.
func fill(f tempFile, data []byte) error {
	if err := f.makePrivate(); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// Sweep removes from dir the temporary files that processes of this user left
// when they were killed inside [Write], and returns their number. It touches
// nothing else: no other name, no file of another user, no link, and no file
// that a living process is writing. (The last needs flock: on AIX, Solaris and
// Windows, call Sweep before the first Write.)
//
// A file that cannot be removed does not keep Sweep from the others; the errors
// are joined.
func Sweep(dir string) (removed int, err error) {
	d, err := openDir(dir)
	if err != nil {
		return 0, fmt.Errorf("atomicfile: sweep %s: %w", dir, err)
	}
	defer d.close()
	names, err := d.names()
	if err != nil {
		return 0, fmt.Errorf("atomicfile: sweep %s: %w", dir, err)
	}
	var errs []error
	for _, name := range names {
		if !isTempName(name) {
			continue
		}
		switch swept, err := d.sweepFile(name); {
		case err != nil:
			errs = append(errs, fmt.Errorf("atomicfile: sweep %s: %w", filepath.Join(dir, name), err))
		case swept:
			removed++
		}
	}
	return removed, errors.Join(errs...)
}

func newTempName() string { return tempPrefix + rand.Text() + tempSuffix }

func isTempName(name string) bool {
	s, isPrefixed := strings.CutPrefix(name, tempPrefix)
	s, isSuffixed := strings.CutSuffix(s, tempSuffix)
	isBase32 := func(r rune) bool { return 'A' <= r && r <= 'Z' || '2' <= r && r <= '7' }
	return isPrefixed && isSuffixed && len(s) == tempRandom &&
		strings.IndexFunc(s, func(r rune) bool { return !isBase32(r) }) < 0
}

// MkdirPrivate makes the directory path, for its owner alone (mode 0700 for
// every umask), and its missing parents. An existing path must be a directory
// and not a link, belong to the user of the process, and be closed to all other
// users. Otherwise the error is a [*RefusedError] and nothing has changed.
// MkdirPrivate does not repair an existing directory that is too open, since
// another user may have put files into it.
func MkdirPrivate(path string) error {
	path = filepath.Clean(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("atomicfile: make private directory: %w", err)
	}
	err := os.Mkdir(path, 0o700)
	isNew := err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("atomicfile: make private directory: %w", err)
	}
	if err := checkPrivate(path, isNew); err != nil {
		if isNew {
			err = errors.Join(err, os.Remove(path))
		}
		return err
	}
	return nil
}

// checkPrivate requires that path is a private directory. It sets the mode of a
// new one, because the umask may have taken bits from it.
func checkPrivate(path string, isNew bool) error {
	seen, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("atomicfile: make private directory: %w", err)
	}
	switch {
	case seen.Mode()&fs.ModeSymlink != 0:
		return &RefusedError{Path: path, Reason: "is a symbolic link"}
	case !seen.IsDir():
		return &RefusedError{Path: path, Reason: "is not a directory"}
	case !isOurs(seen):
		return &RefusedError{Path: path, Reason: "belongs to another user"}
	case !isNew && isOpenToOthers(seen):
		return &RefusedError{Path: path, Reason: fmt.Sprintf("is open to other users (mode %04o, must be 0700)", seen.Mode().Perm())}
	case !isNew:
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("atomicfile: make private directory: %w", err)
	}
	defer d.Close()
	// The mode is set through the descriptor of the very directory seen above.
	if opened, err := d.Stat(); err != nil {
		return fmt.Errorf("atomicfile: make private directory: %w", err)
	} else if !os.SameFile(seen, opened) {
		return &RefusedError{Path: path, Reason: "was replaced while it was being made"}
	}
	if err := setMode(d, 0o700); err != nil {
		return fmt.Errorf("atomicfile: make private directory: %w", err)
	}
	return nil
}
