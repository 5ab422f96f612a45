//go:build unix

package main

import (
	"testing"

	"github.com/oidctoken/oidctoken/internal/blocks"
)

// The texts have the sizes of the target.
func TestShapes(t *testing.T) {
	for _, s := range shapes {
		for _, size := range []int{1 << 20, 4 << 20} {
			// The middle is repeated as a whole, so the size is not exact.
			if got := len(s.text(size)); got > size || got < size-len(s.middle) {
				t.Errorf("%s: %d bytes, want %d", s.name, got, size)
			}
		}
	}
}

// A shape has a target for its ratio, unless it measures memory. measure fails if the
// result of a shape differs from its field fails.
func TestMeasureShape(t *testing.T) {
	for _, s := range shapes {
		if s.slow {
			continue // they differ only in the text
		}
		tb, err := s.measure(blocks.Plan{Rounds: 1, Tries: 1})
		if err != nil {
			t.Error(err)
			continue
		}
		if len(tb.rows) != 2 || (len(tb.targets) == 0) != s.memory {
			t.Errorf("%s: %d rows, targets %+v", s.name, len(tb.rows), tb.targets)
		}
		for _, g := range tb.targets {
			if g.id != "P8" || g.got != tb.result.Ratio[1] || g.limit != 4.4 {
				t.Errorf("%s: target %+v for a ratio of %v", s.name, g, tb.result.Ratio[1])
			}
		}
		s.fails = !s.fails
		if _, err := s.measure(blocks.Plan{Rounds: 1, Tries: 1}); err == nil {
			t.Errorf("%s: measure accepted another result than the shape has", s.name)
		}
	}
}
