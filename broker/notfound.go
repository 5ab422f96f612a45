package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/near"
)

// maxSuggestions is the number of connectors that are tried as a suggestion.
const maxSuggestions = 3

// notFound returns err, which wraps ErrNoConnector, with the searched level and the nearest
// connector that the step may use. It names no other connector, so that a step does not learn
// which others exist.
func (s *Step) notFound(ctx context.Context, r Ref, err error) error {
	if key, missing := r.key(&s.config.Scope); missing == nil {
		err = fmt.Errorf("%w in %s", err, key.level())
	}
	for _, other := range s.candidates(r) {
		rc, notUsable := s.lookup(ctx, other, "")
		if notUsable == nil && rc.connector.Rules.admit(&rc.scope, rc.claims) == nil {
			return fmt.Errorf("%w; did you mean %s?", err, other)
		}
	}
	return err
}

// candidates returns the references that r probably means, the nearest first. It tries the same
// ID at the step's other levels and, with a ConnectorMap, similar IDs at all of the step's
// levels.
func (s *Step) candidates(r Ref) []Ref {
	ids := []string{r.ID}
	connectors, listed := s.broker.config.Connectors.(ConnectorMap)
	var found []Ref
	distances := make(map[string]int)
	for _, level := range []oidctoken.Level{oidctoken.ProjectLevel, oidctoken.OrganizationLevel, oidctoken.AccountLevel} {
		searched, err := Ref{level, r.ID}.key(&s.config.Scope)
		if err != nil {
			continue
		}
		if listed {
			ids = ids[:0]
			for key, c := range connectors {
				if id := key.ID; c != nil {
					if key.ID = searched.ID; key == searched {
						ids = append(ids, id)
					}
				}
			}
		}
		for _, id := range ids {
			if other := (Ref{level, id}); other != r {
				if d, similar := distance(r.ID, id); similar {
					distances[id] = d
					found = append(found, other)
				}
			}
		}
	}
	slices.SortFunc(found, func(a, b Ref) int {
		return cmp.Or(
			cmp.Compare(distances[a.ID], distances[b.ID]),
			cmp.Compare(a.levelDistance(r), b.levelDistance(r)),
			strings.Compare(a.String(), b.String()),
		)
	})
	return found[:min(len(found), maxSuggestions)]
}

// distance returns the distance of two IDs, and whether they are similar. If one is the
// beginning of the other, the distance is one.
func distance(written, id string) (_ int, similar bool) {
	switch longest := max(len(written), len(id)); {
	case written == id:
		return 0, true
	case strings.EqualFold(written, id), strings.HasPrefix(written, id), strings.HasPrefix(id, written):
		return 1, true
	case longest > 64:
		return 0, false
	default:
		d := near.Distance(written, id)
		return d, d <= min((longest+1)/3, 3)
	}
}

// levelDistance returns 0 if a has the level of r, and 1 otherwise.
func (a Ref) levelDistance(r Ref) int {
	if a.Level == r.Level {
		return 0
	}
	return 1
}

// find is like lookup, with a suggestion in the error if the connector does not exist.
func (s *Step) find(ctx context.Context, r Ref, audience string) (*resolvedConnector, error) {
	rc, err := s.lookup(ctx, r, audience)
	if errors.Is(err, ErrNoConnector) {
		return nil, s.notFound(ctx, r, err)
	}
	return rc, err
}
