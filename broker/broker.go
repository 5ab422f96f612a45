// Package broker hands tokens and cloud credentials to running steps: it
// resolves connectors and expressions in the context of a step, exchanges what
// has to be exchanged, writes files and keeps them fresh, and masks what the
// step prints.
//
// A [Broker] serves a process, a [Step] one execution of one step.
package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken"
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
	// crashed left in it is removed. Optional: without it, a step cannot be
	// given files.
	Dir string

	// Logger hears of credentials and files that could not be renewed, with
	// the step's secrets masked. Optional; nothing is logged by default.
	Logger *slog.Logger

	// Now is the clock. Optional, time.Now by default.
	Now func() time.Time
}

// Broker makes steps. It is safe for concurrent use.
type Broker struct{ config Config }

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
			if err := connector.check(); err != nil {
				return nil, fmt.Errorf("broker: Config.Connectors[%s]: %w", home.ID, err)
			}
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Dir != "" {
		if err := sweep(c.Dir); err != nil {
			return nil, fmt.Errorf("broker: Config.Dir: %w", err)
		}
	}
	return &Broker{c}, nil
}

const stepDirPrefix = "step-"

// sweep makes dir, or removes the steps' directories that are left in it.
func sweep(dir string) error {
	if err := atomicfile.MkdirPrivate(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), stepDirPrefix) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
