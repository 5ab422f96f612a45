//go:build darwin || linux

package atomicfile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/internal/atomicfile"
)

// requireRoot skips what needs a second user.
func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
}

const otherUser = 54321

// unfit makes, for each kind of path that Write must refuse, one in dir.
func unfit(t *testing.T, kind, path string) {
	t.Helper()
	victim := filepath.Join(filepath.Dir(path), "victim")
	var err error
	switch kind {
	case "symbolic link":
		err = errors.Join(os.WriteFile(victim, []byte("victim"), 0o600), os.Symlink("victim", path))
	case "dangling symbolic link":
		err = os.Symlink("victim", path)
	case "FIFO":
		err = syscall.Mkfifo(path, 0o600)
	case "directory":
		err = os.Mkdir(path, 0o700)
	case "other user's file":
		requireRoot(t)
		err = errors.Join(os.WriteFile(path, []byte("theirs"), 0o600), os.Chown(path, otherUser, -1))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// D02
func TestWriteRefusesTargets(t *testing.T) {
	for _, tt := range []struct{ kind, want string }{
		{"symbolic link", "is a symbolic link"},
		{"dangling symbolic link", "is a symbolic link"},
		{"FIFO", "is not a regular file"},
		{"directory", "is a directory"},
		{"other user's file", "belongs to another user"},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "jwt")
			unfit(t, tt.kind, path)
			before := names(t, dir)
			modeBefore := lstat(t, path).Mode()

			err := atomicfile.Write(path, []byte("secret"))
			var got *atomicfile.RefusedError
			errors.As(err, &got)
			if diff := cmp.Diff(&atomicfile.RefusedError{Path: path, Reason: tt.want}, got); diff != "" {
				t.Errorf("Write (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, names(t, dir)); diff != "" {
				t.Errorf("directory (-want +got):\n%s", diff)
			}
			if got := lstat(t, path).Mode(); got != modeBefore {
				t.Errorf("mode = %v, want %v as before", got, modeBefore)
			}
			if slices.Contains(before, "victim") {
				wantContent(t, filepath.Join(dir, "victim"), "victim")
			}
		})
	}
}

func lstat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi
}

// D02
func TestWriteTightensMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jwt")
	if err := os.WriteFile(path, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if got := lstat(t, path).Mode(); got != 0o600 {
		t.Errorf("mode = %v, want -rw-------", got)
	}
}

// D01
func TestMkdirPrivate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "c")
	for _, when := range []string{"new", "existing"} {
		if err := atomicfile.MkdirPrivate(path); err != nil {
			t.Fatalf("MkdirPrivate, %s = %v", when, err)
		}
		for p := path; p != dir; p = filepath.Dir(p) {
			if got := lstat(t, p).Mode(); got != fs.ModeDir|0o700 {
				t.Errorf("%s: mode of %s = %v, want drwx------", when, p, got)
			}
		}
	}
}

// D02
func TestMkdirPrivateRefuses(t *testing.T) {
	for _, tt := range []struct {
		kind string
		make func(path string) error
		want string
	}{
		{"file", func(p string) error { return os.WriteFile(p, nil, 0o600) }, "is not a directory"},
		{"FIFO", func(p string) error { return syscall.Mkfifo(p, 0o600) }, "is not a directory"},
		{"link to a private directory", func(p string) error {
			return errors.Join(os.Mkdir(p+".real", 0o700), os.Symlink(p+".real", p))
		}, "is a symbolic link"},
		{"dangling link", func(p string) error { return os.Symlink("nowhere", p) }, "is a symbolic link"},
		{"open directory", func(p string) error {
			return errors.Join(os.Mkdir(p, 0o755), os.Chmod(p, 0o755))
		}, "is open to other users (mode 0755, must be 0700)"},
		{"other user's directory", func(p string) error {
			return errors.Join(os.Mkdir(p, 0o700), os.Chown(p, otherUser, -1))
		}, "belongs to another user"},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			if strings.HasPrefix(tt.kind, "other user") {
				requireRoot(t)
			}
			path := filepath.Join(t.TempDir(), "d")
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			before := lstat(t, path).Mode()
			for _, p := range []string{path, path + "/"} {
				err := atomicfile.MkdirPrivate(p)
				var got *atomicfile.RefusedError
				errors.As(err, &got)
				if diff := cmp.Diff(&atomicfile.RefusedError{Path: path, Reason: tt.want}, got); diff != "" {
					t.Errorf("MkdirPrivate(%q) (-want +got):\n%s", p, diff)
				}
			}
			if got := lstat(t, path).Mode(); got != before {
				t.Errorf("mode = %v, want %v as before", got, before)
			}
		})
	}
}

// D03
func TestSweepTakesOnlyLeftovers(t *testing.T) {
	dir := t.TempDir()
	var want []string
	keep := func(name string, err error) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string) error { return os.WriteFile(file(name), []byte("x"), 0o600) }

	for range 3 {
		if err := write(atomicfile.NewTempName()); err != nil {
			t.Fatal(err)
		}
	}
	leftover := atomicfile.NewTempName()
	for _, name := range []string{
		"jwt", ".oidctoken-", ".oidctoken-.tmp", ".oidctoken-notes.tmp", leftover + "x", "x" + leftover,
		strings.ToLower(atomicfile.NewTempName()), strings.Replace(leftover, ".tmp", "A.tmp", 1),
	} {
		keep(name, write(name))
	}
	for _, special := range []func(path string) error{
		func(p string) error { return os.Symlink("jwt", p) },
		func(p string) error { return os.Mkdir(p, 0o700) },
		func(p string) error { return syscall.Mkfifo(p, 0o600) },
	} {
		name := atomicfile.NewTempName()
		keep(name, special(file(name)))
	}
	if os.Geteuid() == 0 {
		name := atomicfile.NewTempName()
		keep(name, errors.Join(write(name), os.Chown(file(name), otherUser, -1)))
	}

	if got, err := atomicfile.Sweep(dir); err != nil || got != 3 {
		t.Errorf("Sweep = %d, %v, want 3, nil", got, err)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, names(t, dir)); diff != "" {
		t.Errorf("directory (-want +got):\n%s", diff)
	}
}

// D04
func TestFaults(t *testing.T) {
	for _, op := range []string{"create", "chmod", "write", "sync", "rename", "sync directory"} {
		for _, fault := range []syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EDQUOT} {
			t.Run(fmt.Sprintf("%s: %v", op, fault), func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, "jwt")
				if err := atomicfile.Write(path, []byte("old")); err != nil {
					t.Fatal(err)
				}
				err := atomicfile.ReplaceFailing(path, []byte("new content"), op, func() error { return fault })
				if !errors.Is(err, fault) {
					t.Errorf("error = %v, want %v", err, fault)
				}
				want := "old"
				if op == "sync directory" {
					want = "new content" // the documented exception
				}
				wantContent(t, path, want)
				if diff := cmp.Diff([]string{"jwt"}, names(t, dir)); diff != "" {
					t.Errorf("directory (-want +got):\n%s", diff)
				}
			})
		}
	}
}
