package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/oidctoken/oidctoken/internal/atomicfile"
)

// RemoveAll removes a directory with any content, and nothing else.
func TestRemoveAll(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(t *testing.T, dir, outside string)
	}{
		{"nothing", func(*testing.T, string, string) {}},
		{"files and directories", func(t *testing.T, dir, _ string) {
			for _, name := range []string{"a", "b", "a/b", "a/c", "a/b/c"} {
				must(t, os.MkdirAll(filepath.Join(dir, name), 0o700))
				must(t, os.WriteFile(filepath.Join(dir, name, "file"), []byte("x"), 0o400))
			}
		}},
		{"many files", func(t *testing.T, dir, _ string) {
			must(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
			for i := range 1000 {
				must(t, os.WriteFile(filepath.Join(dir, "d", string(rune('a'+i%26))+string(rune('a'+i/26))), nil, 0o600))
			}
		}},
		{"no rights", func(t *testing.T, dir, _ string) {
			must(t, os.MkdirAll(filepath.Join(dir, "a/b/c"), 0o700))
			for _, name := range []string{"a/b/c", "a/b", "a"} {
				must(t, os.Chmod(filepath.Join(dir, name), 0))
			}
			must(t, os.Chmod(dir, 0))
		}},
		{"a link itself", func(t *testing.T, dir, outside string) {
			must(t, os.Remove(dir))
			must(t, os.Symlink(outside, dir))
		}},
		{"a link to its neighbour", func(t *testing.T, dir, _ string) {
			must(t, os.Mkdir(dir+"-2", 0o755))
			must(t, os.WriteFile(dir+"-2/kept", nil, 0o600))
			must(t, os.Remove(dir))
			must(t, os.Symlink(filepath.Base(dir)+"-2", dir))
			t.Cleanup(func() {
				if _, err := os.Stat(dir + "-2/kept"); err != nil {
					t.Error(err)
				}
			})
		}},
		{"a file", func(t *testing.T, dir, _ string) {
			must(t, os.Remove(dir))
			must(t, os.WriteFile(dir, nil, 0o600))
		}},
		{"links out", func(t *testing.T, dir, outside string) {
			must(t, os.Mkdir(filepath.Join(dir, "a"), 0o700))
			must(t, os.Symlink(outside, filepath.Join(dir, "link")))
			must(t, os.Symlink(outside, filepath.Join(dir, "a/link")))
			must(t, os.Symlink("nowhere", filepath.Join(dir, "a/dangling")))
		}},
		{"depth", func(t *testing.T, dir, _ string) { nest(t, dir, 3000) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, outside := filepath.Join(t.TempDir(), "dir"), t.TempDir()
			must(t, os.Mkdir(dir, 0o700))
			must(t, os.Chmod(outside, 0o755))
			kept := filepath.Join(outside, "kept")
			must(t, os.WriteFile(kept, []byte("x"), 0o600))
			tt.make(t, dir, outside)
			if err := atomicfile.RemoveAll(dir); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it is still there: %v", err)
			}
			if info, err := os.Stat(outside); err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("what is outside has changed: %v, %v", info.Mode(), err)
			}
			if _, err := os.Stat(kept); err != nil {
				t.Error(err)
			}
			must(t, atomicfile.RemoveAll(dir)) // no error
		})
	}
}

// nest makes directories in each other, of which no path is too long to be made.
func nest(t *testing.T, dir string, levels int) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	must(t, err)
	for range levels {
		must(t, root.Mkdir("d", 0o700))
		next, err := root.OpenRoot("d")
		must(t, err)
		must(t, root.Close())
		root = next
	}
	must(t, root.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
