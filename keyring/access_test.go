//go:build darwin || freebsd || linux || netbsd || openbsd

package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/oidctoken/oidctoken/keyring"
)

// childTask names the task of a child process.
const childTask = "KEYRING_TEST_CHILD"

func init() {
	switch path := os.Getenv(childTask + "_PATH"); os.Getenv(childTask) {
	case "start":
		ring, err := keyring.New(context.Background(), keyring.Config{Store: must(keyring.NewFileStore(path)), Wrapper: exampleWrapper(), Algorithms: []string{"ES256"}})
		if err == nil {
			ring.Close()
			fmt.Print("it starts")
		}
		report(err)
	case "read":
		key, err := keyring.ReadWrappingKey(path)
		fmt.Print(key)
		report(err)
	}
}

func report(err error) {
	if err != nil {
		fmt.Print(err)
	}
	os.Exit(0)
}

func exampleWrapper() keyring.Wrapper {
	return must(keyring.NewWrapper(must(keyring.ParseWrappingKey(exampleKey))))
}

// otherUser returns the user of a child process: another one, if this one can choose.
func otherUser() int {
	if uid := os.Geteuid(); uid != 0 {
		return uid
	}
	return 65534
}

// publicDir returns a directory that otherUser reaches.
func publicDir(t *testing.T) string {
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// asOther runs a task in a process of otherUser and returns its output.
func asOther(t *testing.T, task, path string) string {
	t.Helper()
	program := filepath.Join(publicDir(t), "child")
	in := must(os.Open(must(os.Executable())))
	defer in.Close()
	out := must(os.OpenFile(program, os.O_CREATE|os.O_WRONLY, 0o755))
	_, err := io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), childTask+"="+task, childTask+"_PATH="+path)
	cmd.Dir = filepath.Dir(program)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(otherUser()), Gid: uint32(otherUser())}}
	}
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return string(text)
}

// A wrapping key that others can open is refused, by its owner and mode; a link
// to a good file, as an orchestrator mounts secrets, is followed.
func TestReadWrappingKeyAccess(t *testing.T) {
	dir := publicDir(t)
	path := filepath.Join(dir, "key")
	if err := os.WriteFile(path, []byte(exampleKey), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, path+".link"); err != nil {
		t.Fatal(err)
	}
	for mode, ok := range map[os.FileMode]bool{
		0o600: true, 0o400: true, 0o700: true,
		0o640: false, 0o620: false, 0o610: false, 0o604: false, 0o602: false, 0o601: false, 0o644: false, 0o444: false, 0o666: false, 0o777: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{path, path + ".link"} {
			_, err := keyring.ReadWrappingKey(p)
			if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), fmt.Sprintf("%s has mode %04o", p, mode)) {
				t.Errorf("ReadWrappingKey of a file of mode %v: %v", mode, err)
			}
		}
	}
	if os.Geteuid() != 0 {
		return // only root can give files to another user
	}
	for _, tt := range []struct {
		uid, gid int
		mode     os.FileMode
		want     string
	}{
		{65534, 65534, 0o600, "WrappingKey(624fc146fece8734)"},
		{65534, 65534, 0o640, "has mode 0640"},
		{0, 65534, 0o640, "WrappingKey(624fc146fece8734)"},
		{0, 65534, 0o440, "WrappingKey(624fc146fece8734)"},
		{0, 65534, 0o660, "has mode 0660"},
		{0, 65534, 0o644, "has mode 0644"},
		{1, 65534, 0o640, "belongs to another user"},
	} {
		if err := errors.Join(os.Chown(path, tt.uid, tt.gid), os.Chmod(path, tt.mode)); err != nil {
			t.Fatal(err)
		}
		if got := asOther(t, "read", path); !strings.Contains(got, tt.want) || strings.Contains(got, exampleKey[:6]) {
			t.Errorf("a process of user %d reads a file of %d with mode %v: %s, want %q", otherUser(), tt.uid, tt.mode, got, tt.want)
		}
	}
	if _, err := keyring.ReadWrappingKey(path); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
		t.Errorf("root reads a file of another user: %v", err)
	}
}
