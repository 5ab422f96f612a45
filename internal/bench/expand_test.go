//go:build unix

package main

import (
	"testing"

	"github.com/oidctoken/oidctoken/internal/blocks"
)

// The texts are of the sizes that the targets speak of, and end as the shapes
// say.
func TestShapes(t *testing.T) {
	for _, s := range shapes {
		for _, size := range []int{1 << 20, 4 << 20} {
			// The middle is repeated, so that the size is not met exactly.
			if got := len(s.text(size)); got > size || got < size-len(s.middle) {
				t.Errorf("%s: %d bytes, want %d", s.name, got, size)
			}
		}
		tb, err := measureShape(s, blocks.Plan{Rounds: 1, Tries: 1})
		if err != nil {
			t.Error(err)
			continue
		}
		if s.memory {
			if len(tb.rows) != 2 || tb.targets != nil {
				t.Errorf("%s: %d rows, targets %+v; want 2 and none", s.name, len(tb.rows), tb.targets)
			}
			continue
		}
		if len(tb.rows) != 2 || len(tb.targets) != 1 || tb.targets[0].limit != 4.4 || tb.targets[0].got != tb.result.Ratio[1] {
			t.Errorf("%s: %d rows, targets %+v", s.name, len(tb.rows), tb.targets)
		}
	}
}
