//go:build unix

package main_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// alive makes a FIFO in out. The function returned waits until no process has it
// open any more.
func alive(t *testing.T, out string) (gone func()) {
	t.Helper()
	path := filepath.Join(out, "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		f, err := os.Open(path) // waits for the first writer
		if err == nil {
			_, err = io.Copy(io.Discard, f) // until the last writer ends
			f.Close()
		}
		done <- err
	}()
	return func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-ctx.Done():
			t.Error("what the step started is still running")
		}
	}
}

// A signal to the runner ends the step with all of its processes, and nothing is
// left behind.
func TestSignals(t *testing.T) {
	// A signal that this process catches is not ignored in its children, even if the
	// tests run under nohup.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(caught) })
	for _, tt := range []struct {
		name   string
		signal syscall.Signal
		run    string
		want   int
	}{
		{"SIGTERM", syscall.SIGTERM, "exec 9>\"$OUT/fifo\"\necho ready\nsleep 300", 143},
		{"SIGHUP", syscall.SIGHUP, "exec 9>\"$OUT/fifo\"\ntrap 'exit 0' TERM\necho ready\nsleep 300 & wait", 129},
		{"SIGQUIT", syscall.SIGQUIT, "exec 9>\"$OUT/fifo\"\ntrap 'exit 0' TERM\necho ready\nsleep 300 & wait", 131},
		{"SIGABRT", syscall.SIGABRT, "exec 9>\"$OUT/fifo\"\ntrap 'exit 0' TERM\necho ready\nsleep 300 & wait", 134},
		{"SIGINT", syscall.SIGINT, "exec 9>\"$OUT/fifo\"\necho ready\nsleep 300", 143}, // the step is asked by SIGTERM
		{"a step that cleans up", syscall.SIGINT, "exec 9>\"$OUT/fifo\"\ntrap 'exit 0' TERM\necho ready\nsleep 300 & wait", 130},
		{"a step with a code of its own", syscall.SIGTERM, "exec 9>\"$OUT/fifo\"\ntrap 'exit 9' TERM\necho ready\nsleep 300 & wait", 9},
		{"a step that will not end", syscall.SIGTERM, "exec 9>\"$OUT/fifo\"\ntrap '' TERM\necho ready\nsleep 300\nsleep 300", 137},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file, out := step(t, tt.run, "connectors: [account.gcp_prod]")
			file += "  - {id: next, run: touch " + out + "/next}\n"
			gone := alive(t, out)
			command := start(t, writeFile(t, file))
			var stderr bytes.Buffer
			command.Stderr = &stderr
			stdout, err := command.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(stdout)
			if line, err := lines.ReadString('\n'); line != "ready\n" {
				t.Fatalf("%q, %v; %s", line, err, stderr.String())
			}
			if err := command.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, lines); err != nil {
				t.Error(err)
			}
			if err := command.Wait(); err == nil {
				t.Error("the runner succeeded")
			}
			if got := command.ProcessState.ExitCode(); got != tt.want {
				t.Errorf("exit code %d, want %d: %s", got, tt.want, stderr.String())
			}
			gone()
			if _, err := os.Stat(filepath.Join(out, "next")); !os.IsNotExist(err) {
				t.Errorf("the next step ran: %v", err)
			}
		})
	}
}

// A reader of the runner's output that goes away ends the step with all of its
// processes, and nothing is left behind: the step's later output would be lost.
func TestBrokenOutput(t *testing.T) {
	const forever = "exec 9>\"$OUT/fifo\"\necho ready\ncat \"$OUT/go\"\n"
	for _, tt := range []struct {
		name string
		run  string // after which nothing is written any more
		want int
	}{
		{"stdout", forever + "echo more\nsleep 300", 141},
		{"stderr", forever + "echo more >&2\nsleep 300", 141},
		{"both and a step that does not end", forever + "trap '' TERM\necho more\necho more >&2\nsleep 300\nsleep 300", 141},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file, out := step(t, tt.run, "connectors: [account.gcp_prod]")
			file += "  - {id: next, run: touch " + out + "/next}\n"
			gone := alive(t, out)
			if err := syscall.Mkfifo(filepath.Join(out, "go"), 0o600); err != nil {
				t.Fatal(err)
			}
			command := start(t, writeFile(t, file))
			stdout, err := command.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			stderr, err := command.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
				text, _ := io.ReadAll(stderr)
				t.Fatalf("%q, %v: %s", line, err, text)
			}
			stdout.Close()
			stderr.Close()
			if err := os.WriteFile(filepath.Join(out, "go"), nil, 0); err != nil { // waits for the step to read it
				t.Fatal(err)
			}
			command.Wait() // its code is looked at
			if got := command.ProcessState.ExitCode(); got != tt.want {
				t.Errorf("exit code %d, want %d", got, tt.want)
			}
			gone()
			if _, err := os.Stat(filepath.Join(out, "next")); !os.IsNotExist(err) {
				t.Errorf("the next step ran: %v", err)
			}
		})
	}
}

// SIGHUP stays ignored if it was when the runner started, as nohup requires.
func TestIgnoredSignal(t *testing.T) {
	t.Parallel()
	file, out := step(t, "echo ready\ncat \"$OUT/go\"\necho done")
	if err := syscall.Mkfifo(filepath.Join(out, "go"), 0o600); err != nil {
		t.Fatal(err)
	}
	command := start(t, writeFile(t, file))
	command.Args = append([]string{"sh", "-c", `trap '' HUP; exec "$@"`, "sh", command.Path}, command.Args[1:]...)
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	command.Path = sh
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	if line, err := lines.ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := command.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	// A step that was ended never reads it.
	go os.WriteFile(filepath.Join(out, "go"), nil, 0)
	rest, err := io.ReadAll(lines)
	if err != nil || string(rest) != "done\n" {
		t.Errorf("%q, %v", rest, err)
	}
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}

// A signal also ends the work before a step's command.
func TestSignalDuringExchange(t *testing.T) {
	asked := make(chan struct{}, 1)
	release := make(chan struct{})
	cloud := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer cloud.Close()
	defer close(release)
	file, _ := step(t, "true", "  TOKEN: <+secrets.getGCPAccessToken(\"account.gcp_prod\")>")
	command := start(t, "-set", "connectors[account.gcp_prod].gcp.tokenURL="+cloud.URL+"/v1/token", writeFile(t, file))
	var stderr bytes.Buffer
	command.Stderr = &stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	command.Wait() // its code is looked at
	want := "--- build/list\nrunner: terminated\n--- build/list failed: exit code 143\n"
	if diff := cmp.Diff(want, stderr.String()); diff != "" || command.ProcessState.ExitCode() != 143 {
		t.Errorf("exit code %d, stderr (-want +got):\n%s", command.ProcessState.ExitCode(), diff)
	}
}

// A process that a step leaves running does not delay the runner, even if it
// keeps the step's output open.
func TestBackgroundProcess(t *testing.T) {
	t.Parallel()
	file, out := step(t, `cat "$OUT/fifo" &
echo started`)
	file += "  - {id: next, run: echo next}\n"
	path := filepath.Join(out, "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r := finish(t, start(t, writeFile(t, file)))
	if r.code != 0 || r.stdout != "started\nnext\n" {
		t.Errorf("%+v", r)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0) // waits for the reader, and so shows that it runs
	if err != nil {
		t.Fatal(err)
	}
	f.Close() // ends it
}

// A run removes directories that a step made unwritable for their owner. Root
// could write to them, so the test runs as another user.
func TestReadOnlyDirectories(t *testing.T) {
	file, _ := step(t, "mkdir -p mod/cache; touch mod/cache/file; ln -s / mod/root; chmod 0555 mod/cache mod; chmod 0 \"$STEP_DIR/.oidctoken\"")
	path := writeFile(t, strings.Replace(file, "  OUT: ", "  UNUSED: ", 1))
	command := start(t, path)
	var dir string
	for _, v := range command.Env {
		if value, ok := strings.CutPrefix(v, "TMPDIR="); ok {
			dir = value // the last counts
		}
	}
	if os.Geteuid() == 0 {
		const nobody = 65534
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		for name, mode := range map[string]os.FileMode{dir: 0o700, path: 0o644, filepath.Dir(path): 0o755, filepath.Dir(filepath.Dir(path)): 0o755} {
			if err := os.Chmod(name, mode); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	if r := finish(t, command); r.code != 0 {
		t.Errorf("%+v", r)
	}
	checkEmpty(t, dir)
}

// D03: a run removes the files of a killed run, and leaves those of living
// runs.
func TestKill(t *testing.T) {
	dir, outs := t.TempDir(), t.TempDir()
	ready := func(name string) *exec.Cmd { // a run whose step waits for fifo NAME to be opened
		t.Helper()
		if err := syscall.Mkfifo(filepath.Join(outs, name), 0o600); err != nil {
			t.Fatal(err)
		}
		file, _ := step(t, "echo ready\ncat "+outs+"/"+name, `files: {jwt: '<+secrets.getJWT("mine")>'}`)
		command := start(t, writeFile(t, file))
		command.Env = append(command.Env, "TMPDIR="+dir)
		stdout, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
			t.Fatalf("%q, %v", line, err)
		}
		return command
	}
	end := func(name string) { // opens and closes the fifo
		t.Helper()
		if err := os.WriteFile(filepath.Join(outs, name), nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	jwts := func() []string {
		t.Helper()
		found, err := filepath.Glob(dir + "/oidctoken-runner-*/step-*/jwt")
		if err != nil {
			t.Fatal(err)
		}
		return found
	}

	killed := ready("killed")
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed.Wait() // it was killed
	end("killed")
	before := jwts()
	living := ready("living") // removes the leftover
	during := jwts()
	if len(before) != 1 || len(during) != 1 || before[0] == during[0] {
		t.Errorf("after the kill there is %v, after the next start %v", before, during)
	}
	next := start(t, writeFile(t, steps("id: a\nrun: echo next")))
	next.Env = append(next.Env, "TMPDIR="+dir)
	if r := finish(t, next); r.code != 0 || r.stdout != "next\n" {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff(during, jwts()); diff != "" {
		t.Errorf("the files of the run that lives (-before +after):\n%s", diff)
	}
	end("living")
	if err := living.Wait(); err != nil {
		t.Error(err)
	}
	checkEmpty(t, dir)
}
