//go:build unix

package main_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// umask sets the process's umask and returns what sets it back.
func umask(mask int) (restore func()) {
	old := syscall.Umask(mask)
	return func() { syscall.Umask(old) }
}

// D01 D02: for every umask, a step's files are in a private directory. Its
// command starts in another one, which is empty and private. Both are removed
// after the step.
func TestDirectory(t *testing.T) {
	const look = `[ "$(pwd -P)" = "$(cd "$STEP_WORKDIR" && pwd -P)" ] || exit 9
[ "$(dirname "$STEP_DIR")" = "$(dirname "$STEP_WORKDIR")" ] || exit 8
ls -A
ls -ld . | cut -c1-10
cd "$STEP_DIR"
ls -ld . .oidctoken .oidctoken/run.sh sub sub/dir sub/dir/conf jwt | cut -c1-10
cat sub/dir/conf
echo "$STEP_DIR $STEP_WORKDIR" >>"$OUT/dirs"
touch "$STEP_WORKDIR/left"`
	for _, mask := range []int{0, 0o022, 0o077} {
		file, out := step(t, look, "files:", "  sub/dir/conf: plain", `  jwt: <+secrets.getJWT("mine")>`)
		file += strings.Replace(file[strings.Index(file, "  - id: list"):], "id: list", "id: again", 1)
		restore := umask(mask)
		r := run(t, file)
		restore()
		const private = "drwx------\ndrwx------\ndrwx------\n-rw-------\n-rw-------\ndrwx------\ndrwx------\n-rw-------\nplain"
		if r.code != 0 || r.stdout != private+private {
			t.Errorf("umask %04o: %+v", mask, r)
		}
		dirs := strings.Fields(read(t, out, "dirs"))
		if slices.Sort(dirs); len(slices.Compact(dirs)) != 4 {
			t.Errorf("the steps' directories are %v", dirs)
		}
		for _, dir := range dirs {
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", dir, err)
			}
		}
	}
}

// A step may pack, clean, delete or replace the directory that it starts in: the
// files that it was given stay, and none of them is found there.
func TestWorkDir(t *testing.T) {
	for _, tt := range []struct{ name, run string }{
		{"packed", `[ "$(tar c . | tar t)" = ./ ]`},
		{"cleaned", "git init -q . && touch mine && git clean -qffdx && [ ! -e mine ]"},
		{"cloned into", `git init -q "$OUT/repo" && git clone -q "$OUT/repo" . 2>/dev/null && [ -d .git ]`},
		{"deleted", `cd / && rm -rf "$STEP_WORKDIR"`},
		{"replaced by a file", `cd / && rmdir "$STEP_WORKDIR" && echo mine >"$STEP_WORKDIR"`},
		{"replaced by a link", `cd / && rmdir "$STEP_WORKDIR" && ln -s "$OUT" "$STEP_WORKDIR" && touch "$STEP_WORKDIR/kept"`},
		{"unreadable", `mkdir -p a/b && touch a/b/c && chmod 0 a/b a .`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, out := step(t, tt.run+"\nexpr \"$(cat \"$STEP_DIR/jwt\")\" : eyJ >/dev/null", `files: {jwt: '<+secrets.getJWT("mine")>'}`)
			if r := run(t, file); r.code != 0 || r.stdout != "" {
				t.Errorf("%+v", r)
			}
			if _, err := os.Stat(filepath.Join(out, "kept")); tt.name == "replaced by a link" && err != nil {
				t.Errorf("what the link leads to was removed: %v", err)
			}
		})
	}
}

// A script ends at its first command that fails, unless the step has keepGoing.
func TestScriptStops(t *testing.T) {
	for _, tt := range []struct {
		name, more string
		want       result
	}{
		{"by default", "keepGoing: false", result{"before\n", "--- build/list\n--- build/list failed: exit code 1\n", 1}},
		{"not", "keepGoing: true", result{"before\nafter\n", "--- build/list\n", 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, _ := step(t, "echo before\nfalse\necho after", tt.more)
			if diff := cmp.Diff(tt.want, run(t, file), cmp.AllowUnexported(result{})); diff != "" {
				t.Errorf("run (-want +got):\n%s", diff)
			}
		})
	}
}
