//go:build unix

package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
)

// vanish lists ways in which a step can remove its files.
var vanish = []struct {
	name string
	do   func(dir string) error
}{
	{"everything in it", func(dir string) error { // git clean -ffdx
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
		return err
	}},
	{"the directory", os.RemoveAll},
	{"the directory, and it makes another", func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755)) }},
	{"the directory, by another name", func(dir string) error { return os.Rename(dir, dir+"-moved") }},
}

// contents returns the files below dir with their contents, and its directories.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, dir)
		if found[name] = "a directory"; !d.IsDir() {
			found[name] = read(t, path)
		}
		if info, err := d.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// D01 D02: files that the step has removed are restored at the next check.
func TestVanishedFilesComeBack(t *testing.T) {
	for _, tt := range vanish {
		t.Run(tt.name, func(t *testing.T) {
			config := brokerConfig(t, newCloud("gcp"))
			synctest.Test(t, func(t *testing.T) {
				step := newStep(t, start(t, config), scope("payments", "ledger"))
				for name, text := range map[string]string{"plain": "no token", "etc/app/jwt": `<+secrets.getJWT("account.vault")>`, "access": access} {
					if _, err := step.WriteFile(t.Context(), name, text); err != nil {
						t.Fatal(err)
					}
				}
				expand(t, step, `<+secrets.getGCPCredentialsFile("account.gcp_prod")>`)
				dir, err := step.Dir()
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					want := contents(t, dir)
					if err := tt.do(dir); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Minute)
					synctest.Wait()
					if diff := cmp.Diff(want, contents(t, dir)); diff != "" {
						t.Errorf("after a minute (-want +got):\n%s", diff)
					}
					if err := os.RemoveAll(dir + "-moved"); err != nil {
						t.Fatal(err)
					}
				}
				if err := step.Close(); err != nil {
					t.Fatal(err)
				}
				if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("Close left the directory: %v", err)
				}
			})
		})
	}
}

// Another delivery restores files that the step has removed.
func TestVanishedFilesAreDeliveredAgain(t *testing.T) {
	for _, tt := range vanish {
		t.Run(tt.name, func(t *testing.T) {
			step := newStep(t, newBroker(t, newCloud("gcp")), scope("payments", "ledger"))
			deliver := func() {
				t.Helper()
				if err := step.Deliver(t.Context(), "account.gcp_prod"); err != nil {
					t.Fatal(err)
				}
				for name, text := range map[string]string{"plain": "no token", "etc/app/jwt": `<+secrets.getJWT("account.vault")>`} {
					if _, err := step.WriteFile(t.Context(), name, text); err != nil {
						t.Fatal(err)
					}
				}
			}
			deliver()
			dir, err := step.Dir()
			if err != nil {
				t.Fatal(err)
			}
			want := contents(t, dir)
			if err := tt.do(dir); err != nil {
				t.Fatal(err)
			}
			deliver()
			if diff := cmp.Diff(want, contents(t, dir)); diff != "" {
				t.Errorf("delivered again (-want +got):\n%s", diff)
			}
		})
	}
}

// A link in the place of the step's directory is not followed.
func TestDirectoryReplacedByALink(t *testing.T) {
	config := brokerConfig(t, newCloud("gcp"))
	outside := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		step := newStep(t, start(t, config), scope("payments", "ledger"))
		if _, err := step.WriteFile(t.Context(), "access", access); err != nil {
			t.Fatal(err)
		}
		dir, err := step.Dir()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.RemoveAll(dir), os.Symlink(outside, dir)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if _, err := step.WriteFile(t.Context(), "access", access); err == nil {
			t.Error("a file was written again through the link")
		}
		if _, err := step.WriteFile(t.Context(), "new", "text"); err == nil {
			t.Error("a new file was written through the link")
		}
		if left := list(t, outside); len(left) != 0 {
			t.Errorf("outside is %v", left)
		}
		if err := step.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(outside); err != nil {
			t.Error(err)
		}
	})
}

// If a file vanishes while the host's store or the cloud is unavailable, it is restored with
// its last content until that expires.
func TestVanishedDuringAnOutage(t *testing.T) {
	google := newCloud("gcp")
	config := brokerConfig(t, google)
	connectors := config.Connectors
	var away atomic.Bool
	config.Connectors = lookupFunc(func(ctx context.Context, key broker.ConnectorKey) (*broker.Connector, error) {
		if away.Load() {
			return nil, errors.New("the database is away")
		}
		return connectors.Connector(ctx, key)
	})
	synctest.Test(t, func(t *testing.T) {
		step := newStep(t, start(t, config), scope("payments", "ledger"))
		path, err := step.WriteFile(t.Context(), "access", access)
		if err != nil {
			t.Fatal(err)
		}
		want := read(t, path)
		outage := error(&exchange.Error{Provider: "gcp", Op: "sts:token", Status: 503, Retryable: true})
		google.fail.Store(&outage)
		away.Store(true)
		time.Sleep(59 * time.Minute)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := step.WriteFile(t.Context(), "access", access); err != nil {
			t.Errorf("WriteFile: %v", err)
		}
		if got := read(t, path); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an expired credential is there: %v", err)
		}
		if _, err := step.WriteFile(t.Context(), "access", access); err == nil {
			t.Error("it is written again")
		}
	})
}

// A vanished file is not restored for a connector that the step may no longer have.
func TestVanishedAndRevoked(t *testing.T) {
	config := brokerConfig(t, newCloud("gcp"))
	connectors := &store{connectors: config.Connectors.(broker.ConnectorMap)}
	config.Connectors = connectors
	synctest.Test(t, func(t *testing.T) {
		step := newStep(t, start(t, config), scope("payments", "ledger"))
		path, err := step.WriteFile(t.Context(), "access", access)
		if err != nil {
			t.Fatal(err)
		}
		connectors.set(gcpProd, nil)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := step.WriteFile(t.Context(), "access", access); !errors.Is(err, broker.ErrNoConnector) {
			t.Errorf("got %v", err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it is there: %v", err)
		}
	})
}

// A text without a token is rendered once. A later change of a variable does not change the
// file.
func TestFixedFilesAreNotRendered(t *testing.T) {
	config := brokerConfig(t, newCloud("gcp"))
	synctest.Test(t, func(t *testing.T) {
		value := "first"
		step, err := start(t, config).NewStep(broker.StepConfig{
			Scope: scope("payments", "ledger"),
			Variables: map[string]func(string) (string, bool){
				"stage": func(string) (string, bool) { return value, true },
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer step.Close()
		path, err := step.WriteFile(t.Context(), "plain", "<+stage.variables.x>")
		if err != nil {
			t.Fatal(err)
		}
		value = "second"
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := read(t, path); got != "first" {
			t.Errorf("the file holds %q", got)
		}
	})
}

// Parts of a delivery have no events of their own.
func TestDeliveredEvents(t *testing.T) {
	audited := new(audits)
	config := brokerConfig(t, newCloud("gcp"))
	config.Audit = audited.add
	step := newStep(t, start(t, config), scope("payments", "ledger"))
	if err := step.Deliver(t.Context(), "account.gcp_prod"); err != nil {
		t.Fatal(err)
	}
	audited.mu.Lock()
	defer audited.mu.Unlock()
	var files []string
	for _, e := range audited.events {
		if e.File != "" {
			files = append(files, e.Connector)
		}
		if _, err := json.Marshal(e); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]string{"account.gcp_prod"}, files); diff != "" {
		t.Errorf("events of files (-want +got):\n%s", diff)
	}
}
