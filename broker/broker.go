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

	// Dir is an absolute directory, of this broker alone, for the private
	// directories of steps. It is made if it is missing; what a process that
	// crashed left in it is removed, or logged if that cannot be. Optional:
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

	mu    sync.Mutex
	steps map[*Step]struct{} // that were not closed
}

// New checks c, and makes or sweeps c.Dir. It fails when a required field is
// missing, and when Dir is not absolute or not private: a directory that is
// there is of this user, and closed to all others (mode 0700).
func New(c Config) (*Broker, error) {
	switch {
	case c.Issuer == nil:
		return nil, errors.New("broker: Config.Issuer is required")
	case c.Connectors == nil:
		return nil, errors.New("broker: Config.Connectors is required")
	case c.Dir != "" && !filepath.IsAbs(c.Dir):
		return nil, errors.New("broker: Config.Dir is not absolute")
	}
	if connectors, ok := c.Connectors.(ConnectorMap); ok {
		for home, connector := range connectors {
			if connector == nil {
				continue // it does not exist
			}
			if err := connector.check(home); err != nil {
				return nil, fmt.Errorf("broker: Config.Connectors[%s]: %w", home.ID, err)
			}
		}
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
	if c.Dir != "" {
		if err := sweep(c.Dir, c.Logger); err != nil {
			return nil, fmt.Errorf("broker: Config.Dir: %w", err)
		}
	}
	b := &Broker{config: c, steps: make(map[*Step]struct{})}
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
func (b *Broker) Purge(home Home) {
	b.credentials.Purge(home.name())
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.steps {
		s.look()
	}
}

// Stats is what is kept for all steps together.
type Stats struct {
	Tokens      oidctoken.CacheStats
	Credentials exchange.CacheStats
}

// Stats says what is kept now.
func (b *Broker) Stats() Stats { return Stats{b.tokens.Stats(), b.credentials.Stats()} }

// Close ends the exchanges that are under way, and forgets all that was kept.
// The steps are closed before. To close it again is no error.
func (b *Broker) Close() {
	b.credentials.Close()
	b.tokens.Close()
}

const stepDirPrefix = "step-"

// sweep makes dir, or removes the steps' directories that are left in it. What
// cannot be removed, as if a step has mounted something there, is no reason not
// to serve others.
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
			if err := atomicfile.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				logger.Warn("what a step has left cannot be removed", slog.String("dir", e.Name()), slog.Any("error", err))
			}
		}
	}
	return nil
}
