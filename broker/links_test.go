package broker_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// D02: a step owns its directory and may be confined to it, for example in a container, while
// the broker is not. Links in the directory never lead the broker outside.
func TestStepsLinks(t *testing.T) {
	for _, tt := range []struct{ name, link, to string }{
		{"absolute", "conf", "ABSOLUTE"},
		{"relative", "conf", "../../outside"},
		{"of a directory further up", "etc", "ABSOLUTE"},
		{"of the broker's own", ".oidctoken", "ABSOLUTE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			google := newCloud("gcp")
			config := brokerConfig(t, google)
			outside := filepath.Join(filepath.Dir(config.Dir), "outside")
			for _, dir := range []string{outside, filepath.Join(outside, "conf")} {
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Test(t, func(t *testing.T) {
				b := start(t, config)
				step := newStep(t, b, scope("payments", "ledger"))
				var paths []string
				for _, name := range []string{"conf/known", "etc/conf/known"} {
					path, err := step.WriteFile(t.Context(), name, "chosen by the step: "+access)
					if err != nil {
						t.Fatal(err)
					}
					paths = append(paths, path)
				}
				if path := expand(t, step, `<+secrets.getJWTFile("account.vault")>`); path != "" {
					paths = append(paths, path)
				}
				dir, err := step.Dir()
				if err != nil {
					t.Fatal(err)
				}
				// These files outside have the names of the step's files.
				for _, name := range []string{"known", "conf/known", filepath.Base(paths[2])} {
					if err := os.WriteFile(filepath.Join(outside, name), []byte("the host's"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.Rename(filepath.Join(dir, tt.link), filepath.Join(dir, "moved")); err != nil {
					t.Fatal(err)
				}
				to := tt.to
				if to == "ABSOLUTE" {
					to = outside
				}
				if err := os.Symlink(to, filepath.Join(dir, tt.link)); err != nil {
					t.Fatal(err)
				}
				if _, err := step.WriteFile(t.Context(), tt.link+"/new", "new"); err == nil {
					t.Error("a new file was written through the link")
				}
				time.Sleep(50 * time.Minute) // the files were renewed
				synctest.Wait()
				refused := error(errors.New("refused"))
				google.fail.Store(&refused)
				time.Sleep(3 * time.Hour) // the files expired and were removed
				synctest.Wait()
				for _, name := range []string{"known", "conf/known", filepath.Base(paths[2])} {
					if got := read(t, filepath.Join(outside, name)); got != "the host's" {
						t.Errorf("%s outside holds %.60q", name, got)
					}
				}
				if _, err := os.Stat(filepath.Join(outside, "new")); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("a new file outside: %v", err)
				}
				if err := step.Close(); err != nil {
					t.Error(err)
				}
				if _, err := os.Stat(filepath.Join(outside, "known")); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		})
	}
}
