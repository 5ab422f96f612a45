package atomicfile_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/internal/atomicfile"
	"github.com/oidctoken/oidctoken/internal/needs"
)

// strace counts the system calls of each thread separately, and injects an
// error into the n-th. The counted calls must therefore happen on one thread,
// which only an init function can reserve for the main function.
func init() {
	if strings.HasPrefix(os.Getenv("ATOMICFILE_TEST_CHILD"), "replace ") {
		runtime.LockOSThread()
	}
}

const oldContent = "old content"

var newContent = strings.Repeat("new content. ", 1000)

// The exit code of the child is 0 if it has written the file, otherwise the
// errno in Write's error, with notFlushed added if the new file was already in
// place.
const notFlushed = 0x80

// replaceTraced is the child: it replaces jwt, between two calls that it makes
// nowhere else. It ends by syscall.Exit, since what os.Exit does for coverage and
// for the race detector would be spoilt, too.
func replaceTraced(dir string) error {
	// Go prepares its poller with the first file, and dies if it cannot.
	if f, err := os.Open(dir); err != nil || f.Close() != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	if err := mark(); !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("mark: %w", err)
	}
	failed := atomicfile.Write(filepath.Join(dir, "jwt"), []byte(newContent))
	if err := mark(); !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("mark: %w", err)
	}
	if failed == nil {
		syscall.Exit(0)
	}
	var errno syscall.Errno
	if !errors.As(failed, &errno) || !strings.HasPrefix(failed.Error(), "atomicfile: write "+dir+"/jwt: ") {
		return fmt.Errorf("not an error that a caller can use: %w", failed)
	}
	code := int(errno)
	if strings.Contains(failed.Error(), "the new file is in place") {
		code |= notFlushed
	}
	syscall.Exit(code)
	return nil
}

func mark() error { return syscall.Access("no-such-file", 0) }

// A tracedCall is a system call of a replacement: the n-th of its name that the
// process makes.
type tracedCall struct {
	name string
	n    int
}

// strace runs the child under strace with rules such as
// "inject=write:error=EIO:when=1". It returns how the child ended, and its
// calls between its two marks.
func strace(t *testing.T, dir string, rules ...string) (state *os.ProcessState, calls []tracedCall) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	args := []string{"-qq", "-o", log, "-e", "trace=%file,%desc"}
	for _, rule := range rules {
		args = append(args, "-e", rule)
	}
	child := childCommand(t, dir, "replace", dir)
	cmd := exec.CommandContext(t.Context(), needs.Program(t, "strace"), append(args, child.Path)...)
	cmd.Dir, cmd.Env = dir, child.Env
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if strings.Contains(strings.ToUpper(string(out)), "PTRACE") {
		needs.Missing(t, "strace", "it may not trace here: "+string(out))
	}
	trace, err := os.ReadFile(log)
	if err != nil || len(out) > 0 {
		t.Fatalf("%v, strace: %s\n%s", err, out, trace)
	}
	count, marks, spoilt := make(map[string]int), 0, 0
	for line := range strings.Lines(string(trace)) {
		name, _, isCall := strings.Cut(line, "(")
		if !isCall || name == "mmap" { // which is for memory
			continue
		}
		count[name]++
		if strings.Contains(line, `"no-such-file"`) {
			marks++
		} else if marks == 1 {
			calls = append(calls, tracedCall{name, count[name]})
		}
		if strings.Contains(line, "INJECTED") {
			spoilt++
			if marks != 1 {
				t.Fatalf("strace spoilt another call than one of the replacement:\n%s", trace)
			}
		}
	}
	if len(rules) > 0 && spoilt == 0 && cmd.ProcessState.Exited() {
		t.Fatalf("strace spoilt nothing by %v:\n%s", rules, trace)
	}
	return cmd.ProcessState, calls
}

// replaced runs strace in a directory with an old file. It returns the content
// after the child, and the files that are left after the next start.
func replaced(t *testing.T, rules ...string) (state *os.ProcessState, content string, left []string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "jwt")
	if err := atomicfile.Write(path, []byte(oldContent)); err != nil {
		t.Fatal(err)
	}
	state, calls := strace(t, dir, rules...)
	if len(calls) == 0 {
		t.Fatal("the child has not begun")
	}
	for _, name := range names(t, dir) {
		if got := lstat(t, filepath.Join(dir, name)).Mode(); got != 0o600 {
			t.Errorf("mode of %s = %v, want -rw-------", name, got)
		}
		if name != "jwt" {
			left = append(left, name)
		}
	}
	if got, err := atomicfile.Sweep(dir); err != nil || got != len(left) {
		t.Errorf("Sweep = %d, %v, want %d, nil", got, err, len(left))
	}
	if diff := cmp.Diff([]string{"jwt"}, names(t, dir)); diff != "" {
		t.Errorf("directory after the next start (-want +got):\n%s", diff)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if content = string(b); content != oldContent && content != newContent {
		t.Errorf("the file is torn: %d bytes", len(content))
	}
	return state, content, left
}

// replacement returns the system calls of a replacement that nothing disturbs.
func replacement(t *testing.T) []tracedCall {
	t.Helper()
	dir := t.TempDir()
	state, calls := strace(t, dir)
	if !state.Success() {
		t.Fatalf("child: %v", state)
	}
	for _, name := range []string{"openat", "fchmod", "write", "fsync", "renameat", "close"} {
		if !slices.ContainsFunc(calls, func(c tracedCall) bool { return strings.HasPrefix(c.name, name) }) {
			t.Fatalf("no %s among %v", name, calls)
		}
	}
	return calls
}

// D03: a kill before each system call of a replacement.
func TestKillAtEachSystemCall(t *testing.T) {
	swept, isNew := 0, 0
	for _, c := range replacement(t) {
		state, content, left := replaced(t, fmt.Sprintf("inject=%s:signal=KILL:when=%d", c.name, c.n))
		if status, ok := state.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
			t.Errorf("%v: child: %v, want death by SIGKILL", c, state)
		}
		swept += len(left)
		if content == newContent {
			isNew++
		}
	}
	if swept == 0 || isNew == 0 {
		t.Errorf("%d kills left a temporary file, %d came after the new file was in place; want some of both", swept, isNew)
	}
}

// faults are the errors of a full or failing disk.
var faults = map[string]syscall.Errno{"ENOSPC": syscall.ENOSPC, "EIO": syscall.EIO, "EROFS": syscall.EROFS, "EDQUOT": syscall.EDQUOT}

// checkFault looks at how a child ended that met errno.
func checkFault(t *testing.T, errno syscall.Errno, state *os.ProcessState, content string) {
	t.Helper()
	want := oldContent
	switch state.ExitCode() {
	case int(errno):
	case 0, int(errno) | notFlushed:
		want = newContent
	default:
		t.Errorf("child: %v, want success or an error that wraps %v", state, errno)
	}
	if content != want {
		t.Errorf("after %v the file is %.20q, want %.20q", state, content, want)
	}
}

// D04: each system call of a replacement fails once.
func TestFaultAtEachSystemCall(t *testing.T) {
	calls := replacement(t)
	for name, errno := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range calls {
				state, content, left := replaced(t, fmt.Sprintf("inject=%s:error=%s:when=%d", c.name, name, c.n))
				checkFault(t, errno, state, content)
				if len(left) > 0 {
					t.Errorf("%v left %v", c, left)
				}
				if state.Success() && !slices.Contains(harmless, c.name) {
					t.Errorf("a failure of %v was not noticed", c)
				}
				if t.Failed() {
					t.Fatalf("at %v", c)
				}
			}
		})
	}
}

// harmless are calls without which a file is replaced as well: Go asks what kind of
// file it has, and nothing is written by a close that was synced before.
var harmless = []string{"close", "fcntl", "epoll_ctl", "fstat", "newfstatat"}

// D04: from each system call of a replacement on, all fail, those that would
// clean up included.
func TestDiskThatDies(t *testing.T) {
	calls := replacement(t)
	for name, errno := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			swept := 0
			for i, c := range calls {
				before := make(map[string]int) // the last that succeeds
				for _, other := range append(slices.Clone(calls), tracedCall{name: "unlinkat", n: 1}) {
					if _, known := before[other.name]; !known {
						before[other.name] = other.n - 1
					}
				}
				for _, other := range calls[:i] {
					before[other.name] = other.n
				}
				var rules []string
				for other, n := range before {
					rules = append(rules, fmt.Sprintf("inject=%s:error=%s:when=%d+", other, name, n+1))
				}
				state, content, left := replaced(t, rules...)
				checkFault(t, errno, state, content)
				if t.Failed() {
					t.Fatalf("from %v on", c)
				}
				swept += len(left)
			}
			if swept == 0 {
				t.Error("the disk never died between the creation of a temporary file and its removal")
			}
		})
	}
}
