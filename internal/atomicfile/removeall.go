package atomicfile

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// removeTime is how long RemoveAll works against a process that adds files
// while it removes them.
const removeTime = time.Minute

var errStillWritten = errors.New("atomicfile: remove: something goes on to write there")

// RemoveAll removes dir with its content, as os.RemoveAll does, however other
// programs have made it. A few descriptors are enough for any depth. The time
// is linear in the content and at most a minute. Directories without rights for
// their owner are removed, too. RemoveAll follows no link, dir included. A
// missing dir is not an error.
func RemoveAll(dir string) error {
	parent, err := os.OpenRoot(filepath.Dir(dir))
	if err != nil {
		return ignoreMissing(err)
	}
	defer parent.Close()
	base := filepath.Base(dir)
	info, err := parent.Lstat(base)
	if err != nil {
		return ignoreMissing(err)
	}
	if info.IsDir() {
		err = removeIn(parent, base, info)
	}
	return errors.Join(err, ignoreMissing(parent.Remove(base)))
}

// removeIn removes the content of a directory, if it still is the directory of
// info: another program can replace it by a link.
func removeIn(parent *os.Root, base string, info fs.FileInfo) error {
	root, err := openAny(parent, base)
	if err != nil {
		return ignoreMissing(err)
	}
	defer root.Close()
	opened, err := root.Stat(".")
	if err != nil {
		return err
	}
	if !os.SameFile(info, opened) {
		return errStillWritten
	}
	r := remover{root: root, prefix: rand.Text(), until: time.Now().Add(removeTime)}
	return r.empty()
}

// openAny opens a directory and gives its owner all rights, even if the owner
// had none. It opens nothing else: opening a FIFO would block.
func openAny(parent *os.Root, name string) (*os.Root, error) {
	root, err := parent.OpenRoot(name)
	if errors.Is(err, fs.ErrPermission) {
		if err := parent.Chmod(name, 0o700); err != nil {
			return nil, err
		}
		root, err = parent.OpenRoot(name)
	}
	if err != nil {
		return nil, err
	}
	if err := root.Chmod(".", 0o700); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// remover empties a directory. It moves deep entries up, so that it never opens
// a directory inside another.
type remover struct {
	root   *os.Root
	prefix string // prefix of the names of moved entries; no other entry has it
	moved  int
	until  time.Time
}

// empty removes the content of the root. One pass may miss entries that it
// moves up itself, so the last pass finds nothing, or nothing that can be
// removed.
func (r *remover) empty() error {
	for {
		removed, err := r.each(r.root, func(name string, isDir bool) error {
			if isDir {
				if err := r.lift(name); err != nil {
					return err
				}
			}
			return r.root.Remove(name)
		})
		if removed == 0 || errors.Is(err, errStillWritten) {
			return err
		}
	}
}

// lift removes the files of a directory of the root, and moves its directories
// into the root.
func (r *remover) lift(name string) error {
	from, err := openAny(r.root, name)
	if err != nil {
		return err
	}
	defer from.Close()
	_, err = r.each(from, func(inner string, isDir bool) error {
		if !isDir {
			return from.Remove(inner)
		}
		opened, err := openAny(from, inner) // without its owner's rights it cannot change its parent
		if err != nil {
			return err
		}
		if err := opened.Close(); err != nil {
			return err
		}
		r.moved++
		return r.root.Rename(name+"/"+inner, r.prefix+strconv.Itoa(r.moved))
	})
	return err
}

// each calls do with every entry of a directory, and counts those for which that
// succeeded.
func (r *remover) each(dir *os.Root, do func(name string, isDir bool) error) (done int, err error) {
	d, err := dir.Open(".")
	if err != nil {
		return 0, err
	}
	defer d.Close()
	for {
		entries, readErr := d.ReadDir(256)
		for _, e := range entries {
			if time.Now().After(r.until) {
				return done, errStillWritten
			}
			if failed := ignoreMissing(do(e.Name(), e.IsDir())); failed != nil {
				if err == nil || errors.Is(failed, errStillWritten) {
					err = failed // one error is enough
				}
				continue
			}
			done++
		}
		if readErr == io.EOF || errors.Is(readErr, fs.ErrNotExist) { // ErrNotExist: another process removes it, too
			return done, err
		}
		if readErr != nil {
			return done, errors.Join(err, readErr)
		}
	}
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
