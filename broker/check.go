package broker

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/oidctoken/oidctoken/internal/near"
)

// checkAll checks the connectors of a ConnectorMap. Of several errors it returns
// the same each time.
func (b *Broker) checkAll() error {
	connectors, ok := b.config.Connectors.(ConnectorMap)
	if !ok {
		return nil
	}
	homes := slices.SortedFunc(maps.Keys(connectors), func(a, b Home) int { return strings.Compare(a.name(), b.name()) })
	for _, home := range homes {
		connector := connectors[home]
		if connector == nil {
			continue // it does not exist
		}
		if err := b.check(context.Background(), home, connector); err != nil {
			return fmt.Errorf("broker: Config.Connectors[%s of %s]: %w", home.ID, home.place(), err)
		}
	}
	return nil
}

// check refuses a connector that could never work, and warns of one that may not
// do what its host wants.
func (b *Broker) check(ctx context.Context, home Home, c *Connector) error {
	if err := c.check(home); err != nil {
		return err
	}
	for _, stageType := range c.Rules.StageTypes {
		if !slices.Contains(stageTypes, stageType) && b.warned.first(home, stageType) {
			b.config.Logger.LogAttrs(ctx, slog.LevelWarn, "a connector's Rules.StageTypes has a type that only the host's own stages can have",
				slog.String("connector", home.ID), slog.String("of", home.place()), slog.String("type", stageType),
				slog.String("nearest", near.Nearest(stageType, stageTypes)))
		}
	}
	return nil
}

// current checks c, which was just looked up, and returns it with the Exchanger
// that has its credentials.
func (b *Broker) current(ctx context.Context, home Home, c *Connector) (*Connector, error) {
	if err := b.check(ctx, home, c); err != nil {
		return nil, err
	}
	c, replaced := b.exchangers.of(home, c, b.config.MaxEntries)
	if replaced {
		b.credentials.Purge(home.name())
	}
	return c, nil
}

// warned remembers what was logged, so that it is logged once. The zero value is
// empty.
type warned struct {
	mu   sync.Mutex
	seen map[warning]struct{}
}

type warning struct {
	home Home
	text string
}

const mostWarnings = 1000

// first reports whether that text is new for that connector, and there is room to
// remember it.
func (w *warned) first(home Home, text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := warning{home, text}
	if _, seen := w.seen[key]; seen || len(w.seen) >= mostWarnings {
		return false
	}
	if w.seen == nil {
		w.seen = make(map[warning]struct{})
	}
	w.seen[key] = struct{}{}
	return true
}
