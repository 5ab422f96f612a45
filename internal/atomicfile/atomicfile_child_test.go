//go:build darwin || linux

package atomicfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/internal/atomicfile"
)

// errNoMount means that tests cannot mount a file system on this system.
var errNoMount = errors.New("cannot mount")

const exitNoMount = 77

// TestMain lets the test binary be its own child: umask, limits and death
// concern a whole process.
func TestMain(m *testing.M) {
	task, arg, isChild := strings.Cut(os.Getenv("ATOMICFILE_TEST_CHILD"), " ")
	if !isChild {
		os.Exit(m.Run())
	}
	if err := child(task, arg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, errNoMount) {
			os.Exit(exitNoMount)
		}
		os.Exit(1)
	}
}

// child does task in its working directory.
func child(task, arg string) error {
	switch task {
	case "umask":
		mask, err := strconv.ParseInt(arg, 8, 32)
		if err != nil {
			return err
		}
		syscall.Umask(int(mask))
		return errors.Join(atomicfile.MkdirPrivate("d"), atomicfile.Write("d/jwt", []byte("content")))
	case "limit":
		n, err := strconv.ParseUint(arg, 10, 32)
		if err != nil {
			return err
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			return err
		}
		return wantErrno(atomicfile.Write("jwt", make([]byte, 4*n)), syscall.EFBIG)
	case "die":
		return atomicfile.ReplaceFailing("jwt", []byte("new content"), arg, func() error {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		})
	case "loop":
		for n := uint64(1); ; n++ {
			if err := atomicfile.Write("jwt", big(n)); err != nil {
				return err
			}
			if _, err := os.Stdout.Write([]byte{'.'}); err != nil {
				return err
			}
		}
	}
	return taskOnLinux(task, arg)
}

func wantErrno(err error, want syscall.Errno) error {
	if !errors.Is(err, want) {
		return fmt.Errorf("error = %v, want %v", err, want)
	}
	return nil
}

// big returns so long that a kill is likely to hit a write in progress.
func big(n uint64) []byte { return bytes.Repeat(stamped(n)[:8], 64<<10) }

func childCommand(t *testing.T, dir, task, arg string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "ATOMICFILE_TEST_CHILD="+task+" "+arg)
	return cmd
}

// D02
func TestUmask(t *testing.T) {
	for _, mask := range []string{"0", "022", "077", "0377"} {
		t.Run(mask, func(t *testing.T) {
			dir := t.TempDir()
			if out, err := childCommand(t, dir, "umask", mask).CombinedOutput(); err != nil {
				t.Fatalf("child: %v\n%s", err, out)
			}
			if got := lstat(t, filepath.Join(dir, "d")).Mode(); got != fs.ModeDir|0o700 {
				t.Errorf("mode of the directory = %v, want drwx------", got)
			}
			if got := lstat(t, filepath.Join(dir, "d", "jwt")).Mode(); got != 0o600 {
				t.Errorf("mode of the file = %v, want -rw-------", got)
			}
			wantContent(t, filepath.Join(dir, "d", "jwt"), "content")
		})
	}
}

// D04
func TestFileSizeLimit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "jwt")
	if err := atomicfile.Write(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if out, err := childCommand(t, dir, "limit", "8192").CombinedOutput(); err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	wantContent(t, path, "old")
	if diff := cmp.Diff([]string{"jwt"}, names(t, dir)); diff != "" {
		t.Errorf("directory (-want +got):\n%s", diff)
	}
}

// D03
func TestKillAtEachStep(t *testing.T) {
	for _, tt := range []struct {
		op, want string
		swept    int
	}{
		{"create", "old", 0},
		{"chmod", "old", 1},
		{"write", "old", 1},
		{"sync", "old", 1},
		{"rename", "old", 1},
		{"sync directory", "new content", 0},
	} {
		t.Run(tt.op, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "jwt")
			if err := atomicfile.Write(path, []byte("old")); err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := childCommand(t, dir, "die", tt.op).Run(); !errors.As(err, &exit) || exit.Exited() {
				t.Fatalf("child: %v, want death by a signal", err)
			}
			for _, name := range names(t, dir) {
				if got := lstat(t, filepath.Join(dir, name)).Mode(); got != 0o600 {
					t.Errorf("mode of %s = %v, want -rw-------", name, got)
				}
			}
			if got, err := atomicfile.Sweep(dir); err != nil || got != tt.swept {
				t.Errorf("Sweep = %d, %v, want %d, nil", got, err, tt.swept)
			}
			wantContent(t, path, tt.want)
			if diff := cmp.Diff([]string{"jwt"}, names(t, dir)); diff != "" {
				t.Errorf("directory (-want +got):\n%s", diff)
			}
		})
	}
}

// D03
func TestKillAtAnyTime(t *testing.T) {
	const kills = 30
	dir := t.TempDir()
	path := filepath.Join(dir, "jwt")
	if err := atomicfile.Write(path, big(0)); err != nil {
		t.Fatal(err)
	}
	swept := 0
	for i := range kills {
		killWriter(t, dir, 1+i%5)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) != len(big(0)) || !bytes.Equal(b, bytes.Repeat(b[:8], len(b)/8)) {
			t.Fatalf("after kill %d the file is torn: %d bytes", i, len(b))
		}
		n, err := atomicfile.Sweep(dir)
		if err != nil {
			t.Fatal(err)
		}
		swept += n
		if diff := cmp.Diff([]string{"jwt"}, names(t, dir)); diff != "" {
			t.Fatalf("after kill %d and Sweep, directory (-want +got):\n%s", i, diff)
		}
	}
	t.Logf("%d kills left %d temporary files", kills, swept)
}

// killWriter starts a child that replaces the file jwt in dir for ever, and
// kills it after it has done so the given number of times.
func killWriter(t *testing.T, dir string, replacements int) {
	t.Helper()
	cmd := childCommand(t, dir, "loop", "")
	progress, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, readErr := io.ReadFull(progress, make([]byte, replacements))
	killErr := cmd.Process.Signal(syscall.SIGKILL)
	waitErr := cmd.Wait()
	var exit *exec.ExitError
	if readErr != nil || killErr != nil || !errors.As(waitErr, &exit) {
		t.Fatalf("child: read %v, kill %v, wait %v", readErr, killErr, waitErr)
	}
}

// D03
func TestSweepSparesLivingWriter(t *testing.T) {
	dir := t.TempDir()
	name, closeFile, err := atomicfile.CreateTemp(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := atomicfile.Sweep(dir); err != nil || got != 0 {
		t.Errorf("Sweep beside a living writer = %d, %v, want 0, nil", got, err)
	}
	if diff := cmp.Diff([]string{name}, names(t, dir)); diff != "" {
		t.Errorf("directory (-want +got):\n%s", diff)
	}
	if err := closeFile(); err != nil {
		t.Fatal(err)
	}
	if got, err := atomicfile.Sweep(dir); err != nil || got != 1 {
		t.Errorf("Sweep after the writer's death = %d, %v, want 1, nil", got, err)
	}
}
