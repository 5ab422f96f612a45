//go:build darwin || freebsd || linux || netbsd || openbsd

package keyring_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken/keyring"
)

func TestFileStore(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keyring.json")
	store := must(keyring.NewFileStore(path))
	if err := store.CompareAndSwap(t.Context(), nil, []byte("first")); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + ".lock"} {
		if mode := must(os.Stat(p)).Mode(); mode != 0o600 {
			t.Errorf("%s has mode %v", p, mode)
		}
	}
	if entries := must(os.ReadDir(dir)); len(entries) != 2 {
		t.Errorf("%d files, want the document and its lock", len(entries))
	}
	if _, err := keyring.NewFileStore(filepath.Join(dir, "none", "k")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("NewFileStore in a directory that is not there: %v", err)
	}
}

// D02: what is not a file of ours is neither read nor replaced.
func TestFileStoreRefuses(t *testing.T) {
	for name, make1 := range map[string]func(path string) error{
		"a directory":     func(p string) error { return os.Mkdir(p, 0o700) },
		"a FIFO":          func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"a symbolic link": func(p string) error { return os.Symlink(filepath.Join(filepath.Dir(p), "target"), p) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keyring.json")
			if err := make1(path); err != nil {
				t.Fatal(err)
			}
			store := must(keyring.NewFileStore(path))
			if b, err := store.Load(t.Context()); err == nil {
				t.Errorf("Load returned %q", b)
			}
			if err := store.CompareAndSwap(t.Context(), nil, []byte("x")); err == nil || errors.Is(err, keyring.ErrConflict) {
				t.Errorf("CompareAndSwap: %v", err)
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), "target")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the link was followed: %v", err)
			}
		})
	}
}

// A writer that waits for the lock can be cancelled.
func TestFileStoreWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.json")
	store := must(keyring.NewFileStore(path))
	f := must(os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600))
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := store.CompareAndSwap(ctx, nil, []byte("x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("CompareAndSwap: %v, want %v", err, context.DeadlineExceeded)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if err := store.CompareAndSwap(t.Context(), nil, []byte("x")); err != nil {
		t.Errorf("CompareAndSwap once the lock is free: %v", err)
	}
}
