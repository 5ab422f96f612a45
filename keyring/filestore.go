package keyring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/oidctoken/oidctoken/internal/atomicfile"
)

// FileStore is a Store in a file, for the processes of one machine. A reader
// sees the whole old document or the whole new one, also after a crash or a
// power failure. It is stateless: any number of FileStores may share a path.
type FileStore struct{ path string }

// NewFileStore returns a store in the file at path, which is made when the
// first document is stored. Its directory must exist; beside it, path + ".lock"
// excludes concurrent writers and stays. Both have mode 0600 and belong to the
// user who runs the process. A file of another user, a symbolic link and
// everything else that is not a regular file are refused, for both.
//
// The file system must have locks: on Unix flock, which network file systems
// may lack or keep to one machine.
func NewFileStore(path string) (*FileStore, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("keyring: file store: %w", err)
	}
	// A process that was killed may have left temporary files. They hold
	// ciphertext only.
	if _, err := atomicfile.Sweep(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("keyring: file store: %w", err)
	}
	return &FileStore{path}, nil
}

// Load implements [Store].
func (s *FileStore) Load(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.read()
}

func (s *FileStore) read() ([]byte, error) {
	f, err := openOwn(s.path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("keyring: file store: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("keyring: file store: %w", err)
	}
	if len(b) > maxDocument {
		return nil, fmt.Errorf("keyring: file store: %s has more than %d bytes", s.path, maxDocument)
	}
	return b, nil
}

// CompareAndSwap implements [Store].
func (s *FileStore) CompareAndSwap(ctx context.Context, old, replacement []byte) (err error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return fmt.Errorf("keyring: file store: lock: %w", err)
	}
	defer unlock()
	current, err := s.read()
	if err != nil {
		return err
	}
	if !same(current, old) {
		return ErrConflict
	}
	return atomicfile.Write(s.path, replacement)
}

// lock excludes other writers until unlock is called or the process ends.
func (s *FileStore) lock(ctx context.Context) (unlock func(), err error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := tryLock(s.path + ".lock")
		if err != nil {
			return nil, err
		}
		if f != nil {
			// The lock goes with the descriptor; nothing was written to it.
			return func() { _ = f.Close() }, nil
		}
		// Waiting for the lock in the kernel could not be cancelled.
		wait := time.NewTimer(time.Millisecond + rand.N(4*time.Millisecond))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil, ctx.Err()
		case <-wait.C:
		}
	}
}
