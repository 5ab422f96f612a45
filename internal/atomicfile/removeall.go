package atomicfile

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
)

// RemoveAll removes dir and all that is in it, as os.RemoveAll does, whoever
// made it: a descriptor or two are enough for any depth, its time is linear in
// what is there, and directories without rights for their owner are no
// obstacle. It follows no link. A dir that does not exist is no error.
func RemoveAll(dir string) error {
	if err := os.Chmod(dir, 0o700); err != nil {
		return ignoreMissing(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return ignoreMissing(err)
	}
	r := remover{root: root, prefix: rand.Text()}
	err = errors.Join(r.empty(), root.Close())
	return errors.Join(err, ignoreMissing(os.Remove(dir)))
}

// remover empties a directory. What is deep in it is moved up, so that nothing
// has to be opened inside of anything.
type remover struct {
	root   *os.Root
	prefix string // of the names of what was moved up: nobody else has it
	moved  int
}

// empty removes what is in the root. A pass over it need not see what it moves
// up: the last one finds nothing, or nothing that it can remove.
func (r *remover) empty() error {
	for {
		removed, _, err := r.each(".", r.remove)
		if removed == 0 {
			return err
		}
	}
}

// remove removes an entry of the root.
func (r *remover) remove(name string, isDir bool) error {
	if isDir {
		if err := r.root.Chmod(name, 0o700); err != nil {
			return err
		}
		if _, _, err := r.each(name, r.lift); err != nil {
			return err
		}
	}
	return r.root.Remove(name)
}

// lift removes an entry of a directory in the root, or moves it into the root.
func (r *remover) lift(path string, isDir bool) error {
	if !isDir {
		return r.root.Remove(path)
	}
	if err := r.root.Chmod(path, 0o700); err != nil { // without which it cannot change its parent
		return err
	}
	r.moved++
	return r.root.Rename(path, r.prefix+strconv.Itoa(r.moved))
}

// each calls do with the path of every entry of a directory. It counts those
// for which that succeeded, and those for which it did not.
func (r *remover) each(dir string, do func(path string, isDir bool) error) (done, left int, err error) {
	d, err := r.root.Open(dir)
	if err != nil {
		return 0, 0, err
	}
	defer d.Close()
	for {
		entries, readErr := d.ReadDir(256)
		for _, e := range entries {
			path := e.Name()
			if dir != "." {
				path = dir + "/" + path
			}
			if failed := ignoreMissing(do(path, e.IsDir())); failed != nil {
				left++
				if err == nil {
					err = failed // one says enough
				}
				continue
			}
			done++
		}
		if readErr == io.EOF || errors.Is(readErr, fs.ErrNotExist) { // the latter: somebody else removes it, too
			return done, left, err
		}
		if readErr != nil {
			return done, left, errors.Join(err, readErr)
		}
	}
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
