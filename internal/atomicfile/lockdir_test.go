//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/oidctoken/oidctoken/internal/atomicfile"
)

func mkdirLocked(t *testing.T, parent string) (string, *atomicfile.LockedDir) {
	t.Helper()
	path, d, err := atomicfile.MkdirTempLocked(parent, "step-")
	if err != nil {
		t.Fatal(err)
	}
	return path, d
}

// D03: only a directory without a living owner is removed.
func TestRemoveUnlocked(t *testing.T) {
	parent := t.TempDir()
	path, d := mkdirLocked(t, parent)
	for _, mode := range []fs.FileMode{0o700, 0o750} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if removed, err := atomicfile.RemoveUnlocked(path); removed || err != nil {
			t.Errorf("a directory in use: %v, %v", removed, err)
		}
		if got := lstat(t, path).Mode().Perm(); got != mode {
			t.Errorf("its mode is %v, was %v", got, mode)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "jwt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if removed, err := atomicfile.RemoveUnlocked(path); !removed || err != nil {
		t.Errorf("a leftover: %v, %v", removed, err)
	}
	if removed, err := atomicfile.RemoveUnlocked(path); removed || err != nil {
		t.Errorf("what has gone: %v, %v", removed, err)
	}
	if err := os.Symlink(t.TempDir(), path); err != nil {
		t.Fatal(err)
	}
	if removed, err := atomicfile.RemoveUnlocked(path); removed || err != nil {
		t.Errorf("a link: %v, %v", removed, err)
	}
}

func TestMkdirLocked(t *testing.T) {
	parent := t.TempDir()
	path, d := mkdirLocked(t, parent)
	if _, err := atomicfile.MkdirLocked(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a path that exists: %v", err)
	}
	if err := d.Remove(path); err != nil {
		t.Fatal(err)
	}
	if there, err := d.IsAt(path); there || err == nil {
		t.Errorf("IsAt of what was closed = %v, %v", there, err)
	}
	again, err := atomicfile.MkdirLocked(path)
	if err != nil {
		t.Fatal(err)
	}
	if there, err := again.IsAt(path); !there || err != nil {
		t.Errorf("IsAt = %v, %v", there, err)
	}
	if removed, err := atomicfile.RemoveUnlocked(path); removed || err != nil {
		t.Errorf("it is removed: %v, %v", removed, err)
	}
	if got := lstat(t, path).Mode(); got != fs.ModeDir|0o700 {
		t.Errorf("mode %v", got)
	}
	if _, err := atomicfile.LockDir(path); err == nil {
		t.Error("it is locked twice")
	}
	var refused *atomicfile.RefusedError
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(again.Close(), os.Symlink(filepath.Base(path), filepath.Join(parent, "link"))); err != nil {
		t.Fatal(err)
	}
	if _, err := atomicfile.LockDir(filepath.Join(parent, "link")); !errors.As(err, &refused) {
		t.Errorf("a link to it: %v", err)
	}
	if _, err := atomicfile.LockDir(link); err == nil {
		t.Error("nothing is locked")
	}
	if err := os.Remove(filepath.Join(parent, "link")); err != nil {
		t.Fatal(err)
	}
	if again, err = atomicfile.LockDir(path); err != nil {
		t.Fatal(err)
	}
	if err := again.Remove(path); err != nil {
		t.Fatal(err)
	}
	if left := names(t, parent); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

// A directory that is being made while other processes sweep exists, and stays.
func TestMkdirLockedWhileOthersSweep(t *testing.T) {
	parent := t.TempDir()
	var makers, sweepers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		sweepers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				entries, err := os.ReadDir(parent)
				if err != nil {
					t.Error(err)
				}
				for _, e := range entries {
					if _, err := atomicfile.RemoveUnlocked(filepath.Join(parent, e.Name())); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for range 4 {
		makers.Go(func() {
			for range 60 {
				path, d, err := atomicfile.MkdirTempLocked(parent, "step-")
				if err != nil {
					t.Error(err)
					return
				}
				if err := atomicfile.WriteIn(d.Root, "jwt", []byte("x")); err != nil {
					t.Error(err)
				}
				if _, err := os.ReadFile(filepath.Join(path, "jwt")); err != nil {
					t.Error(err)
				}
				if err := d.Remove(path); err != nil {
					t.Error(err)
				}
			}
		})
	}
	makers.Go(func() { // makes the same directory again, as for a step that removes it
		path := filepath.Join(parent, "again")
		var old *atomicfile.LockedDir
		for range 300 {
			d, err := atomicfile.MkdirLocked(path)
			if err != nil { // a sweep came before the lock, and may be under way
				continue
			}
			if old != nil {
				if err := old.Close(); err != nil {
					t.Error(err)
				}
			}
			if err := os.WriteFile(filepath.Join(path, "jwt"), nil, 0o600); err != nil {
				t.Error(err)
			}
			if err := os.RemoveAll(path); err != nil {
				t.Error(err)
			}
			old = d
		}
	})
	makers.Wait()
	close(done)
	sweepers.Wait()
}
