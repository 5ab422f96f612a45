// Package broker gives tokens and cloud credentials to running steps. It resolves connectors
// and expressions in the context of a step, exchanges tokens at clouds, writes files and keeps
// them fresh, and masks secrets in the output of the step.
//
// A [Broker] serves a process. A [Step] serves one execution of one step.
package broker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/atomicfile"
)

// Config configures a [Broker].
type Config struct {
	// Issuer mints the tokens. Required.
	Issuer *oidctoken.Issuer

	// Connectors looks up the connectors that steps may refer to. Required.
	Connectors Connectors

	// Dir is an absolute directory for the private directories of steps. New creates it if it
	// does not exist, and removes the directories that crashed processes left in it. Several
	// brokers of one machine may share it, in one process or in several: New does not touch the
	// directories of living steps. It recognizes them by their locks (flock). If the file
	// system or the operating system has no such locks, New removes nothing and logs the
	// directories. Optional: without it, a step can have no files.
	Dir string

	// Logger receives failures to renew credentials and files, with the step's secrets masked.
	// Optional; by default, nothing is logged.
	Logger *slog.Logger

	// Audit is called for every delivery to a step, every exchange and every refusal. It must
	// not block for long, close the broker or a step, or change what the Scope points to.
	// Optional.
	Audit func(context.Context, Event)

	// MaxEntries and MaxBytes limit the caches that all steps share: MaxEntries limits the
	// number of tokens and the number of credentials, and MaxBytes the bytes of the
	// credentials. An evicted token is minted again when a step needs it, and an evicted
	// credential exchanged again. Optional, 10,000 and 64 MiB by default.
	MaxEntries int
	MaxBytes   int64

	// Now is the clock. Optional, time.Now by default.
	Now func() time.Time
}

const (
	defaultEntries = 10_000
	defaultBytes   = 64 << 20
)

// Broker makes steps. It is safe for concurrent use. The host ends it with Close.
type Broker struct {
	config      Config
	tokens      *oidctoken.Cache
	credentials *exchange.Cache

	exchangers exchangers
	notes      noteSet

	closed atomic.Bool // set while mu is held
	mu     sync.Mutex
	steps  map[*Step]struct{} // the steps that are not closed
}

// New checks c and creates or sweeps c.Dir. It fails if a field of c is missing or wrong (a
// *[oidctoken.ConfigError]), if a connector of a ConnectorMap cannot work (a
// *[ConnectorError]), or if Dir is not private. An existing Dir must belong to this user and be
// closed to all others (mode 0700).
func New(c Config) (*Broker, error) {
	switch {
	case c.Issuer == nil:
		return nil, configError("Config.Issuer", "is required")
	case c.Connectors == nil:
		return nil, configError("Config.Connectors", "is required")
	case c.Dir != "" && !filepath.IsAbs(c.Dir):
		return nil, configError("Config.Dir", "is not absolute")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	now := c.Now // stays nil for the caches, which then need no lock
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.MaxEntries <= 0 {
		c.MaxEntries = defaultEntries
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = defaultBytes
	}
	b := &Broker{config: c, steps: make(map[*Step]struct{})}
	if err := b.checkAll(); err != nil {
		return nil, err
	}
	if c.Dir != "" {
		if err := sweep(c.Dir, c.Logger); err != nil {
			return nil, fmt.Errorf("broker: Config.Dir: %w", err)
		}
	}
	b.tokens = oidctoken.NewCache(c.Issuer, oidctoken.CacheConfig{MaxEntries: c.MaxEntries})
	b.credentials = exchange.NewCache(exchange.CacheConfig{MaxEntries: c.MaxEntries, MaxBytes: c.MaxBytes, Now: now, Observe: b.observe})
	return b, nil
}

// configError returns an error for a field of Config or StepConfig.
func configError(field, reason string) *oidctoken.ConfigError {
	return &oidctoken.ConfigError{Package: "broker", Field: field, Reason: reason}
}

// Purge drops the credentials of a connector at once. A host calls it after it has changed or
// revoked the connector. The next step that needs a credential gets a new one, and the files of
// running steps are checked. Purge removes files of a connector that Config.Connectors no
// longer has, or whose Rules deny the step. Without Purge, files follow a change within a
// minute, and an endpoint at once. A token or credential that a step has read stays valid until
// it expires. After Close, Purge does nothing.
func (b *Broker) Purge(key ConnectorKey) {
	b.exchangers.forget(key)
	b.credentials.Purge(key.cacheKey())
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.steps {
		s.checkFiles()
	}
}

// Stats counts the contents of the caches that all steps share.
type Stats struct {
	Tokens      oidctoken.CacheStats
	Credentials exchange.CacheStats
}

// Stats returns the current counts. After Close, they are zero.
func (b *Broker) Stats() Stats { return Stats{b.tokens.Stats(), b.credentials.Stats()} }

// Close cancels the exchanges in progress and drops all tokens and credentials. Close the steps
// first: after Close, NewStep and everything that a step mints, exchanges or writes fail with
// ErrClosed. Close may be called more than once.
func (b *Broker) Close() {
	b.mu.Lock()
	b.closed.Store(true)
	b.mu.Unlock()
	b.credentials.Close()
	b.tokens.Close()
}

const stepDirPrefix = "step-"

// sweep creates dir, or removes the directories of steps whose processes have ended. If a
// directory cannot be removed, for example because a step mounted something in it, sweep logs
// that and goes on.
func sweep(dir string, logger *slog.Logger) error {
	if err := atomicfile.MkdirPrivate(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), stepDirPrefix) {
			if _, err := atomicfile.RemoveUnlocked(filepath.Join(dir, e.Name())); err != nil {
				logger.Warn("failed to remove the directory of a step that has ended", slog.String("dir", e.Name()), slog.Any("error", err))
			}
		}
	}
	return nil
}
