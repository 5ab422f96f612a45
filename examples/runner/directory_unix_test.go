//go:build unix

package main_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// umask sets the process's umask and returns what sets it back.
func umask(mask int) (restore func()) {
	old := syscall.Umask(mask)
	return func() { syscall.Umask(old) }
}

// D01 D02: whatever the umask, a step works in a private directory of its own,
// which is gone after it.
func TestDirectory(t *testing.T) {
	const look = `[ "$(pwd -P)" = "$(cd "$STEP_DIR" && pwd -P)" ] || exit 9
ls -ld . .oidctoken .oidctoken/run.sh sub sub/dir sub/dir/conf jwt | cut -c1-10
cat sub/dir/conf
echo "$STEP_DIR" >>"$OUT/dirs"`
	for _, mask := range []int{0, 0o022, 0o077} {
		file, out := step(t, look, "files:", "  sub/dir/conf: plain", `  jwt: <+secrets.getJWT("mine")>`)
		file += strings.Replace(file[strings.Index(file, "  - id: list"):], "id: list", "id: again", 1)
		restore := umask(mask)
		r := run(t, file)
		restore()
		const private = "drwx------\ndrwx------\n-rw-------\n-rw-------\ndrwx------\ndrwx------\n-rw-------\nplain"
		if r.code != 0 || r.stdout != private+private {
			t.Errorf("umask %04o: %+v", mask, r)
		}
		dirs := strings.Fields(read(t, out, "dirs"))
		if len(dirs) != 2 || dirs[0] == dirs[1] {
			t.Errorf("the steps' directories are %v", dirs)
		}
		for _, dir := range dirs {
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", dir, err)
			}
		}
	}
}
