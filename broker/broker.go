// Package broker hands tokens and cloud credentials to running steps: it
// resolves connectors and expressions in the context of a step, exchanges what
// has to be exchanged, writes files and keeps them fresh, and masks what the
// step prints.
//
// A [Broker] serves a process, a [Step] one execution of one step.
package broker

import (
	"context"
	"errors"
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

// Config is a broker's configuration.
type Config struct {
	// Issuer mints the tokens. Required.
	Issuer *oidctoken.Issuer

	// Connectors has the connectors that steps may refer to. Required.
	Connectors Connectors

	// Dir is an absolute directory for the private directories of steps. New
	// makes it if it does not exist, and removes from it what crashed processes
	// left. Several brokers may share it, of one process or of several on one
	// machine: New leaves the directories of living steps alone. It recognizes
	// them by their locks (flock). On a file system or an operating system
	// without such locks, New removes nothing and logs what is there. Optional:
	// without it, a step cannot be given files.
	Dir string

	// Logger hears of credentials and files that could not be renewed, with
	// the step's secrets masked. Optional; nothing is logged by default.
	Logger *slog.Logger

	// Audit is told of what steps are refused and given. It must not block for
	// long, nor close the broker or a step, nor change what the Scope points to.
	// Optional.
	Audit func(context.Context, Event)

	// MaxEntries and MaxBytes bound what is kept for all steps together: so many
	// tokens and so many credentials, of which the latter take so many bytes. What
	// is needed and was dropped is minted and exchanged again. Optional, 10,000
	// and 64 MiB by default.
	MaxEntries int
	MaxBytes   int64

	// Now is the clock. Optional, time.Now by default.
	Now func() time.Time
}

const (
	defaultEntries = 10_000
	defaultBytes   = 64 << 20
)

// Broker makes steps. It is safe for concurrent use. Close ends it.
type Broker struct {
	config      Config
	tokens      *oidctoken.Cache
	credentials *exchange.Cache

	exchangers exchangers
	notes      noteSet

	closed atomic.Bool // set with mu held
	mu     sync.Mutex
	steps  map[*Step]struct{} // that were not closed
}

// New checks c, and makes or sweeps c.Dir. It fails when a required field is
// missing, when a connector of a ConnectorMap cannot work (a *[ConnectorError]), and
// when Dir is not absolute or not private: a directory that is there is of this
// user, and closed to all others (mode 0700).
func New(c Config) (*Broker, error) {
	switch {
	case c.Issuer == nil:
		return nil, errors.New("broker: Config.Issuer is required")
	case c.Connectors == nil:
		return nil, errors.New("broker: Config.Connectors is required")
	case c.Dir != "" && !filepath.IsAbs(c.Dir):
		return nil, errors.New("broker: Config.Dir is not absolute")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	now := c.Now // nil for the caches, which then need no lock
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

// Purge forgets at once the credentials that came from a connector, for a host
// that has changed or revoked it: the next step that asks gets a new one, and
// the files of running steps are looked at. Files of a connector that
// Config.Connectors has no longer, or whose Rules refuse the step, are removed.
// Without Purge, that is noticed within a minute, and by an endpoint at once.
// What a step has read, and what a cloud has issued, lives until it expires.
// After Close, Purge does nothing.
func (b *Broker) Purge(key ConnectorKey) {
	b.exchangers.forget(key)
	b.credentials.Purge(key.cacheKey())
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.steps {
		s.checkFiles()
	}
}

// Stats is what is kept for all steps together.
type Stats struct {
	Tokens      oidctoken.CacheStats
	Credentials exchange.CacheStats
}

// Stats returns what is kept now; after Close, nothing.
func (b *Broker) Stats() Stats { return Stats{b.tokens.Stats(), b.credentials.Stats()} }

// Close ends the exchanges that are under way, and drops all tokens and
// credentials. Close the steps before: after it, NewStep and all that a step mints,
// exchanges or writes fail with ErrClosed. Close may be called more than once.
func (b *Broker) Close() {
	b.mu.Lock()
	b.closed.Store(true)
	b.mu.Unlock()
	b.credentials.Close()
	b.tokens.Close()
}

const stepDirPrefix = "step-"

// sweep makes dir, or removes the directories of steps whose processes have ended.
// A directory that cannot be removed, such as one where a step has mounted
// something, does not keep the broker from serving others.
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
				logger.Warn("what a step has left cannot be removed", slog.String("dir", e.Name()), slog.Any("error", err))
			}
		}
	}
	return nil
}
