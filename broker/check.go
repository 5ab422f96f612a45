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

// checkAll checks the connectors of a ConnectorMap. If several are wrong, it always returns the
// same error.
func (b *Broker) checkAll() error {
	connectors, ok := b.config.Connectors.(ConnectorMap)
	if !ok {
		return nil
	}
	keys := slices.SortedFunc(maps.Keys(connectors), func(a, b ConnectorKey) int { return strings.Compare(a.cacheKey(), b.cacheKey()) })
	for _, key := range keys {
		connector := connectors[key]
		if connector == nil {
			continue // a nil entry means that the connector does not exist
		}
		if err := b.check(context.Background(), key, connector); err != nil {
			return fmt.Errorf("broker: Config.Connectors[%s of %s]: %w", key.ID, key.level(), err)
		}
	}
	return nil
}

// check refuses a connector that can never work. It warns about a connector that may not do
// what its host wants.
func (b *Broker) check(ctx context.Context, key ConnectorKey, c *Connector) error {
	if err := c.check(key); err != nil {
		return err
	}
	if err := b.checkKeys(ctx, key, c); err != nil {
		return err
	}
	for _, stageType := range c.Rules.StageTypes {
		if !slices.Contains(stageTypes, stageType) && b.notes.add(key, "stage type "+stageType) {
			b.config.Logger.LogAttrs(ctx, slog.LevelWarn, "a connector's Rules.StageTypes has a type that package oidctoken does not know; only a stage type of the host can match it",
				slog.String("connector", key.ID), slog.String("of", key.level()), slog.String("type", stageType),
				slog.String("nearest", near.Nearest(stageType, stageTypes)))
		}
	}
	return nil
}

// checkKeys refuses a connector if the issuer has no key for its algorithms. It checks each set
// of algorithms until it has found a key once. Later, cached tokens and credentials may be used
// without a key, and Mint reports a missing key itself.
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
		return &ConnectorError{Key: key, Field: "Profile.Algorithms", Reason: "have no key in the issuer", Err: err}
	}
	b.notes.add(ConnectorKey{}, note)
	return nil
}

// current checks c after a lookup. It returns c with the Exchanger that holds its credentials.
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

// noteSet remembers findings about connectors: algorithms that have a key, and warnings that
// were logged. The zero value is empty.
type noteSet struct {
	mu    sync.Mutex
	notes map[note]struct{}
}

type note struct {
	key  ConnectorKey
	text string
}

const maxNotes = 1000

// has reports whether the set contains the note.
func (n *noteSet) has(key ConnectorKey, text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.notes[note{key, text}]
	return ok
}

// add adds a note. It returns false if the set already contains the note, or is full.
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
