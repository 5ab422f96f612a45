package atomicfile_test

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/oidctoken/oidctoken/internal/atomicfile"
)

// taskOnLinux does what other systems have no means for.
func taskOnLinux(task, dir string) error {
	if task == "replace" {
		return replaceTraced(dir)
	}
	return taskOnTmpfs(task, dir)
}

// taskOnTmpfs mounts a file system of 64 KiB on the working directory and lets
// Write meet its limits. It runs in a new mount namespace.
func taskOnTmpfs(task, dir string) error {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		return fmt.Errorf("%w: %w", errNoMount, err)
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	if err := atomicfile.Write("jwt", []byte("old")); err != nil {
		return err
	}
	var err error
	switch task {
	case "full":
		err = wantErrno(atomicfile.Write("jwt", make([]byte, 256<<10)), syscall.ENOSPC)
	case "read-only":
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("remount: %w", err)
		}
		err = wantErrno(atomicfile.Write("jwt", []byte("new")), syscall.EROFS)
	default:
		err = fmt.Errorf("unknown task %q", task)
	}
	content, readErr := os.ReadFile("jwt")
	entries, listErr := os.ReadDir(".")
	if string(content) != "old" || len(entries) != 1 {
		err = errors.Join(err, fmt.Errorf("content %q, %d entries, want old, 1", content, len(entries)))
	}
	return errors.Join(err, readErr, listErr)
}

// D04
func TestRealFileSystemErrors(t *testing.T) {
	for _, task := range []string{"full", "read-only"} {
		t.Run(task, func(t *testing.T) {
			dir := t.TempDir()
			cmd := childCommand(t, dir, task, dir)
			cmd.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
				UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
				GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
			}
			out, err := cmd.CombinedOutput()
			if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) ||
				cmd.ProcessState.ExitCode() == exitNoMount {
				t.Skipf("no user namespace to mount a file system in: %v %s", err, out)
			}
			if err != nil {
				t.Fatalf("child: %v\n%s", err, out)
			}
		})
	}
}
