package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/oidctoken/oidctoken/internal/atomicfile"
)

// Dir returns the step's private directory, mode 0700, and creates it if it does not exist.
// Close removes it with all its contents.
func (s *Step) Dir() (string, error) {
	dir, _, err := s.open()
	return dir, err
}

// open returns the step's directory. It creates the directory at the first call, and again if
// the step has removed it. It takes over a directory that the step has created in its place. If
// the step has put a link there, root is still the directory that was created.
func (s *Step) open() (dir string, root *os.Root, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.whenClosed(); err != nil {
		return "", nil, err
	}
	if s.dir == "" {
		if s.broker.config.Dir == "" {
			return "", nil, errors.New("broker: Config.Dir is required for files")
		}
		if s.dir, s.own, err = atomicfile.MkdirTempLocked(s.broker.config.Dir, stepDirPrefix); err != nil {
			s.dir = ""
			return "", nil, fmt.Errorf("broker: %w", err)
		}
		return s.dir, s.own.Root, nil
	}
	there, err := os.Lstat(s.dir)
	renew := atomicfile.LockDir
	switch isOwn, ownErr := s.own.IsAt(s.dir); {
	case errors.Is(err, fs.ErrNotExist):
		renew = atomicfile.MkdirLocked
	case err != nil || ownErr != nil:
		return "", nil, fmt.Errorf("broker: %w", errors.Join(err, ownErr))
	case isOwn || !there.IsDir():
		return s.dir, s.own.Root, nil
	}
	own, err := renew(s.dir)
	if err != nil {
		return "", nil, fmt.Errorf("broker: %w", err)
	}
	old := s.own
	s.own = own
	if err := old.Close(); err != nil {
		return "", nil, fmt.Errorf("broker: %w", err)
	}
	return s.dir, s.own.Root, nil
}

// has reports whether something exists at path in the step's directory. It returns false if the
// directory has vanished, or if another directory has replaced it. A link in its place does not
// count as a replacement.
func (s *Step) has(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if isOwn, err := s.own.IsAt(s.dir); err != nil || !isOwn {
		if there, err := os.Lstat(s.dir); err != nil || there.IsDir() {
			return false
		}
	}
	_, err := s.own.Root.Lstat(path)
	return err == nil
}

// root returns the step's directory. It must have been opened.
func (s *Step) root() *os.Root {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own.Root
}
