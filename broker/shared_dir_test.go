//go:build unix

package broker_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/oidctoken/oidctoken/broker"
)

// D03: agents overlap during an update. A broker does not touch the steps of another living
// process, and removes them after that process was killed.
func TestBrokersOfTwoProcesses(t *testing.T) {
	if dir := os.Getenv(killedDir); dir != "" {
		renewForever(t, dir)
		return
	}
	config := brokerConfig(t, newCloud("gcp"))
	first := startRenewing(t, config.Dir)
	second := start(t, config)
	step := newStep(t, second, scope("payments", "ledger"))
	path, err := step.WriteFile(t.Context(), "jwt", `<+secrets.getJWT("account.vault")>`)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // the first process keeps running
		first.tick(t)
		if err := first.read(); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := first.command.Wait(); err == nil {
		t.Fatal("the process was not killed")
	}
	start(t, config)
	read(t, path)
	if _, err := os.Stat(first.step); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the files of the killed process still exist: %v", err)
	}
}

// D03: the same within one process.
func TestBrokersOfOneProcess(t *testing.T) {
	var log bytes.Buffer
	config := brokerConfig(t, newCloud("gcp"))
	config.Logger = slog.New(slog.NewTextHandler(&log, nil))
	first := start(t, config)
	step := newStep(t, first, scope("payments", "ledger"))
	path, err := step.WriteFile(t.Context(), "jwt", `<+secrets.getJWT("account.vault")>`)
	if err != nil {
		t.Fatal(err)
	}
	start(t, config)
	read(t, path)
	first.Close() // the step stays open
	start(t, config)
	read(t, path)
	if err := step.Close(); err != nil {
		t.Fatal(err)
	}
	if left := list(t, config.Dir); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
	if log.Len() != 0 {
		t.Errorf("the log says %s", &log)
	}
}

// A step never loses its directory to a broker that starts while the directory is created.
func TestBrokersThatStartAtOnce(t *testing.T) {
	config := brokerConfig(t, newCloud("gcp"))
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 25 {
				b, err := broker.New(config)
				if err != nil {
					t.Error(err)
					return
				}
				step, err := b.NewStep(broker.StepConfig{Scope: scope("payments", "ledger")})
				if err != nil {
					t.Error(err)
					return
				}
				path, err := step.WriteFile(t.Context(), "note", "text")
				if err != nil {
					t.Error(err)
				} else if _, err := os.Stat(path); err != nil {
					t.Error(err)
				}
				if err := step.Close(); err != nil {
					t.Error(err)
				}
				b.Close()
			}
		})
	}
	group.Wait()
	if left := list(t, config.Dir); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

// D02: a link in the place of a step's directory is not followed.
func TestSweepFollowsNoLink(t *testing.T) {
	config := brokerConfig(t, newCloud("gcp"))
	if err := os.Mkdir(config.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "theirs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(config.Dir, "step-link")); err != nil {
		t.Fatal(err)
	}
	start(t, config)
	read(t, filepath.Join(outside, "theirs"))
}
