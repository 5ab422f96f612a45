package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/near"
)

// checkAll checks the connectors of a ConnectorMap. Of several errors it returns
// the same each time.
func (b *Broker) checkAll() error {
	connectors, ok := b.config.Connectors.(ConnectorMap)
	if !ok {
		return nil
	}
	keys := slices.SortedFunc(maps.Keys(connectors), func(a, b ConnectorKey) int { return strings.Compare(a.cacheKey(), b.cacheKey()) })
	for _, key := range keys {
		connector := connectors[key]
		if connector == nil {
			continue // it does not exist
		}
		if err := b.check(context.Background(), key, connector); err != nil {
			return fmt.Errorf("broker: Config.Connectors[%s of %s]: %w", key.ID, key.level(), err)
		}
	}
	return nil
}

// check refuses a connector that could never work, and warns of one that may not
// do what its host wants.
func (b *Broker) check(ctx context.Context, key ConnectorKey, c *Connector) error {
	if err := c.check(key); err != nil {
		return err
	}
	if err := b.checkKeys(ctx, key, c); err != nil {
		return err
	}
	for _, stageType := range c.Rules.StageTypes {
		if !slices.Contains(stageTypes, stageType) && b.notes.add(key, "stage type "+stageType) {
			b.config.Logger.LogAttrs(ctx, slog.LevelWarn, "a connector's Rules.StageTypes has a type that only the host's own stages can have",
				slog.String("connector", key.ID), slog.String("of", key.level()), slog.String("type", stageType),
				slog.String("nearest", near.Nearest(stageType, stageTypes)))
		}
	}
	return nil
}

// checkKeys refuses a connector for whose algorithms the issuer has no key. It asks
// for each set of algorithms until there was a key. Later, tokens and credentials
// that were kept may serve without one, and Mint says the same.
func (b *Broker) checkKeys(ctx context.Context, key ConnectorKey, c *Connector) error {
	profile := c.profile()
	note := "keys"
	if profile != nil {
		note += " for " + strings.Join(profile.Algorithms, " ")
	}
	if b.notes.has(ConnectorKey{}, note) {
		return nil
	}
	if err := b.config.Issuer.CheckProfile(ctx, profile); errors.Is(err, oidctoken.ErrNoKey) {
		return &ConnectorError{Key: key, Field: "Profile.Algorithms", Reason: "are those of no key of the issuer", Err: err}
	}
	b.notes.add(ConnectorKey{}, note)
	return nil
}

// current checks c, which was just looked up, and returns it with the Exchanger
// that has its credentials.
func (b *Broker) current(ctx context.Context, key ConnectorKey, c *Connector) (*Connector, error) {
	if err := b.check(ctx, key, c); err != nil {
		return nil, err
	}
	c, replaced := b.exchangers.of(key, c, b.config.MaxEntries)
	if replaced {
		b.credentials.Purge(key.cacheKey())
	}
	return c, nil
}

// noted remembers what was found out about connectors. The zero value is empty.
type noteSet struct {
	mu    sync.Mutex
	notes map[note]struct{}
}

type note struct {
	key  ConnectorKey
	text string
}

const maxNotes = 1000

// has reports whether there is such a note.
func (n *noteSet) has(key ConnectorKey, text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.notes[note{key, text}]
	return ok
}

// add reports whether there was no such note yet, and room for it.
func (n *noteSet) add(key ConnectorKey, text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	entry := note{key, text}
	if _, ok := n.notes[entry]; ok || len(n.notes) >= maxNotes {
		return false
	}
	if n.notes == nil {
		n.notes = make(map[note]struct{})
	}
	n.notes[entry] = struct{}{}
	return true
}
