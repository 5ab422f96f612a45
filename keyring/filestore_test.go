//go:build darwin || freebsd || linux || netbsd || openbsd

package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

// notOurs makes files that a FileStore must neither use nor replace. The target of
// the link is a file of our own, which a FileStore would accept.
var notOurs = map[string]func(path string) error{
	"a directory": func(p string) error { return os.Mkdir(p, 0o700) },
	"a FIFO":      func(p string) error { return syscall.Mkfifo(p, 0o600) },
	"a socket": func(p string) error {
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer syscall.Close(fd)
		return syscall.Bind(fd, &syscall.SockaddrUnix{Name: p})
	},
	"a symbolic link": func(p string) error {
		target := filepath.Join(filepath.Dir(p), "target")
		return errors.Join(os.WriteFile(target, []byte("ours"), 0o600), os.Symlink(target, p))
	},
	"a symbolic link to nothing": func(p string) error { return os.Symlink(filepath.Join(filepath.Dir(p), "nothing"), p) },
}

func init() {
	if os.Geteuid() == 0 { // only root can make one
		notOurs["a file of another user"] = func(p string) error {
			return errors.Join(os.WriteFile(p, nil, 0o666), os.Chown(p, 65534, 65534))
		}
	}
}

// shortDir returns a directory whose path is short enough for a socket.
func shortDir(t *testing.T) string {
	dir := must(os.MkdirTemp("", "kr"))
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// D02: a file of another kind is neither read nor replaced.
func TestFileStoreRefuses(t *testing.T) {
	for name, make1 := range notOurs {
		t.Run(name, func(t *testing.T) {
			dir := shortDir(t)
			path := filepath.Join(dir, "k")
			if err := make1(path); err != nil {
				t.Fatal(err)
			}
			before := must(os.Lstat(path))
			store := must(keyring.NewFileStore(path))
			if b, err := store.Load(t.Context()); err == nil || b != nil {
				t.Errorf("Load returned %q, %v", b, err)
			}
			for _, old := range [][]byte{nil, {}, []byte("ours")} {
				if err := store.CompareAndSwap(t.Context(), old, []byte("x")); err == nil || errors.Is(err, keyring.ErrConflict) {
					t.Errorf("CompareAndSwap from %q: %v", old, err)
				}
			}
			untouched(t, path, before)
		})
	}
}

// D02: none of them is used as the lock. Another user could hold it, and the target
// of a link would be opened for writing.
func TestFileStoreRefusesLock(t *testing.T) {
	for name, make1 := range notOurs {
		t.Run(name, func(t *testing.T) {
			dir := shortDir(t)
			path := filepath.Join(dir, "k")
			store := must(keyring.NewFileStore(path))
			if err := make1(path + ".lock"); err != nil {
				t.Fatal(err)
			}
			before := must(os.Lstat(path + ".lock"))
			if err := store.CompareAndSwap(t.Context(), nil, []byte("x")); err == nil || errors.Is(err, keyring.ErrConflict) {
				t.Errorf("CompareAndSwap: %v", err)
			}
			if b, err := store.Load(t.Context()); b != nil || err != nil {
				t.Errorf("Load: %q, %v", b, err)
			}
			if ring, err := keyring.New(t.Context(), keyring.Config{Store: store, Wrapper: newWrapper()}); ring != nil || !errors.Is(err, keyring.ErrStore) {
				t.Errorf("New: %v", err)
			}
			untouched(t, path+".lock", before)
		})
	}
}

// untouched fails if path or the target of a link has changed.
func untouched(t *testing.T, path string, before fs.FileInfo) {
	t.Helper()
	after := must(os.Lstat(path))
	if !os.SameFile(before, after) || before.Mode() != after.Mode() {
		t.Errorf("%s was %v and is %v", path, before.Mode(), after.Mode())
	}
	dir := filepath.Dir(path)
	if b, err := os.ReadFile(filepath.Join(dir, "target")); err == nil && string(b) != "ours" {
		t.Errorf("the link was followed: %q", b)
	}
	if _, err := os.Lstat(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link was followed: %v", err)
	}
}

// A ring does not start in a directory that it may not write to: it would fail
// when the next key is due. A process of another user tries it, since root may
// write everywhere.
func TestFileStoreReadOnly(t *testing.T) {
	dir := publicDir(t)
	path := filepath.Join(dir, "keyring.json")
	newRing(t, keyring.Config{Store: must(keyring.NewFileStore(path)), Wrapper: exampleWrapper()}).Close()
	for _, p := range []string{path, path + ".lock", dir} {
		if err := os.Chown(p, otherUser(), otherUser()); err != nil {
			t.Fatal(err)
		}
	}
	before := must(os.ReadFile(path))
	for _, tt := range []struct {
		dir, lock os.FileMode
		want      string
	}{
		{0o500, 0o600, "permission denied"}, // no temporary file
		{0o700, 0o400, "permission denied"}, // no lock
		{0o700, 0o600, "it starts"},
	} {
		if err := errors.Join(os.Chmod(path+".lock", tt.lock), os.Chmod(dir, tt.dir)); err != nil {
			t.Fatal(err)
		}
		got := asOther(t, "start", path)
		if !strings.Contains(got, tt.want) || (tt.want == "it starts") == strings.Contains(got, "can be read and not written") {
			t.Errorf("directory %v, lock %v: %s, want %q", tt.dir, tt.lock, got, tt.want)
		}
		if same := bytes.Equal(before, must(os.ReadFile(path))); same != (tt.want != "it starts") {
			t.Errorf("directory %v, lock %v: the document is the same: %v", tt.dir, tt.lock, same)
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
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
