package atomicfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/internal/atomicfile"
)

// names lists dir.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("content of %s (-want +got):\n%s", filepath.Base(path), diff)
	}
}

// D01
func TestWriteReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "jwt")
	for _, content := range []string{"first", "", "third, and longer than the first"} {
		if err := atomicfile.Write(path, []byte(content)); err != nil {
			t.Fatalf("Write(%q) = %v", content, err)
		}
		wantContent(t, path, content)
	}
	if diff := cmp.Diff([]string{"jwt"}, names(t, dir)); diff != "" {
		t.Errorf("directory (-want +got):\n%s", diff)
	}
}

func TestWriteRelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := atomicfile.Write("jwt", []byte("content")); err != nil {
		t.Fatal(err)
	}
	wantContent(t, "jwt", "content")
}

func TestWriteRefusesNames(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ name, path, want string }{
		{"empty", "", "does not end in a file name"},
		{"trailing slash", dir + "/", "does not end in a file name"},
		{"dot", dir + "/.", "does not end in a file name"},
		{"parent", dir + "/..", "does not end in a file name"},
		{"temporary file", filepath.Join(dir, atomicfile.NewTempName()), "has the name of a temporary file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := atomicfile.Write(tt.path, []byte("content"))
			var got *atomicfile.RefusedError
			errors.As(err, &got)
			if diff := cmp.Diff(&atomicfile.RefusedError{Path: tt.path, Reason: tt.want}, got); diff != "" {
				t.Errorf("Write (-want +got):\n%s", diff)
			}
		})
	}
	if got := names(t, dir); got != nil {
		t.Errorf("directory holds %q, want nothing", got)
	}
}

func TestMissingDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	if err := atomicfile.Write(filepath.Join(dir, "jwt"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Write = %v, want fs.ErrNotExist", err)
	}
	if _, err := atomicfile.Sweep(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Sweep = %v, want fs.ErrNotExist", err)
	}
}

// stamped returns a content in which every 8 bytes and the length identify n.
func stamped(n uint64) []byte {
	return bytes.Repeat(binary.BigEndian.AppendUint64(nil, n), 512+int(n%7)*1024)
}

func checkStamped(b []byte) error {
	if len(b) < 8 {
		return fmt.Errorf("read %d bytes", len(b))
	}
	n := binary.BigEndian.Uint64(b)
	if !bytes.Equal(b, stamped(n)) {
		return fmt.Errorf("torn content, %d bytes that begin as those of replacement %d", len(b), n)
	}
	return nil
}

// D01
func TestReadersSeeWholeFiles(t *testing.T) {
	const readers, replacements = 4, 300
	path := filepath.Join(t.TempDir(), "jwt")
	if err := atomicfile.Write(path, stamped(0)); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for reads := 0; reads < 10 || !done.Load(); reads++ {
				b, err := os.ReadFile(path)
				if err == nil {
					err = checkStamped(b)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range uint64(replacements) {
		if err := atomicfile.Write(path, stamped(n+1)); err != nil {
			t.Error(err)
			break
		}
	}
	done.Store(true)
	wg.Wait()
}

// D01
func TestConcurrentWriters(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "jwt")
	var wg sync.WaitGroup
	for i := range uint64(8) {
		wg.Go(func() {
			for n := range uint64(20) {
				if err := atomicfile.Write(path, stamped(i*20+n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	// A sweep among living writers takes nothing away from them.
	wg.Go(func() {
		for range 50 {
			if _, err := atomicfile.Sweep(dir); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkStamped(b); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"jwt"}, names(t, dir)); diff != "" {
		t.Errorf("directory (-want +got):\n%s", diff)
	}
}

func ExampleWrite() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	private := filepath.Join(dir, "step")
	fmt.Println(atomicfile.MkdirPrivate(private))
	fmt.Println(atomicfile.Sweep(private))
	fmt.Println(atomicfile.Write(filepath.Join(private, "jwt"), []byte("content")))
	// Output:
	// <nil>
	// 0 <nil>
	// <nil>
}
