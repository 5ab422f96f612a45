package broker_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type counter struct {
	slog.Handler
	n *atomic.Int64
}

func (c counter) Enabled(context.Context, slog.Level) bool { return true }
func (c counter) Handle(context.Context, slog.Record) error {
	if c.n.Add(1) > 10_000 {
		panic("the keeper spins")
	}
	return nil
}

// A failed removal of a file is repeated at intervals, not at once.
func TestFileCannotBeRemoved(t *testing.T) {
	google := newCloud("gcp")
	google.lifetime = 10 * time.Minute
	config := brokerConfig(t, google)
	var n atomic.Int64
	config.Logger = slog.New(counter{slog.DiscardHandler, &n})
	synctest.Test(t, func(t *testing.T) {
		b := start(t, config)
		step := newStep(t, b, scope("payments", "ledger"))
		path, err := step.WriteFile(t.Context(), "conf/token", access)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Dir(path), filepath.Dir(path)+".old"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Dir(path), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n.Load() == 0 || n.Load() > 400 {
			t.Errorf("%d warnings in an hour", n.Load())
		}
	})
}
