//go:build unix

package blocks_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/oidctoken/oidctoken/internal/blocks"
)

// ways makes candidates for a clock that only the candidates move, so that their times are
// known.
type ways struct{ now time.Duration }

func (w *ways) clock() time.Duration { return w.now }

// takes returns a candidate whose k-th block costs perOp(k) for each operation.
func (w *ways) takes(name string, perOp func(block int) time.Duration) blocks.Candidate {
	block := 0
	return blocks.Candidate{Name: name, Run: func(n int) {
		w.now += time.Duration(n) * perOp(block)
		block++
	}}
}

func always(d time.Duration) func(int) time.Duration {
	return func(int) time.Duration { return d }
}

func TestCompare(t *testing.T) {
	var w ways
	// The slow candidate is disturbed in four blocks of five. That changes a mean or a median,
	// but not the tenth percentile.
	disturbed := func(block int) time.Duration {
		if block%5 == 0 {
			return 3 * time.Microsecond
		}
		return 500 * time.Microsecond
	}
	plan := blocks.Plan{Rounds: 100, Tries: 1, Clock: w.clock}
	got := plan.Compare(
		w.takes("base", always(2*time.Microsecond)),
		w.takes("half", always(time.Microsecond)),
		w.takes("disturbed", disturbed),
	)
	want := blocks.Result{
		Names:   []string{"base", "half", "disturbed"},
		PerOp:   []time.Duration{2 * time.Microsecond, time.Microsecond, 3 * time.Microsecond},
		Ratio:   []float64{1, 0.5, 1.5},
		Control: 1,
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Errorf("Compare (-want +got):\n%s", diff)
	}
	if !got.Counts() {
		t.Errorf("a control of %v does not count", got.Control)
	}
}

// A candidate runs in blocks of equal time, whatever the time of one operation is.
func TestBlocksAreEquallyLong(t *testing.T) {
	for _, perOp := range []time.Duration{time.Microsecond, 40 * time.Microsecond, 700 * time.Microsecond, time.Second} {
		var w ways
		var last int
		plan := blocks.Plan{Rounds: 1, Tries: 1, Clock: w.clock}
		plan.Compare(blocks.Candidate{Name: "base", Run: func(n int) {
			w.now += time.Duration(n) * perOp
			last = n
		}})
		want := max(1, int(3*time.Millisecond/perOp))
		if math.Abs(float64(last-want)) > 1 {
			t.Errorf("%v an operation: a block has %d, want %d", perOp, last, want)
		}
	}
}

// A measurement is repeated until the control is within its band, at most as often as the plan
// allows.
func TestTries(t *testing.T) {
	for _, tt := range []struct {
		name       string
		stableFrom int // from this try on, the baseline costs the same in every block
		tries      int
		want       int // the number of tries
		counts     bool
	}{
		{"at once", 1, 4, 1, true},
		{"at the third", 3, 4, 3, true},
		{"never", 9, 4, 4, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w ways
			made, before := 0, 0
			plan := blocks.Plan{Rounds: 1, Tries: tt.tries, Clock: w.clock}
			got := plan.Compare(blocks.Candidate{Name: "base", Run: func(n int) {
				// With one round, a try has two blocks after the blocks of the calibration,
				// which begins with one operation.
				if n == 1 && before != 1 {
					made++
				}
				before = n
				perOp := time.Microsecond
				if made < tt.stableFrom {
					perOp += w.now / 1000 // slower with time
				}
				w.now += time.Duration(n) * perOp
			}})
			if made != tt.want || got.Counts() != tt.counts {
				t.Errorf("%d tries, Counts %v with a control of %v; want %d, %v", made, got.Counts(), got.Control, tt.want, tt.counts)
			}
		})
	}
}

func TestCounts(t *testing.T) {
	for control, want := range map[float64]bool{0.989: false, 0.991: true, 1: true, 1.009: true, 1.011: false, math.NaN(): false} {
		r := blocks.Result{Control: control}
		if got := r.Counts(); got != want {
			t.Errorf("a control of %v: Counts = %v, want %v", control, got, want)
		}
		if got := strings.Contains(r.Verdict(), "NOT"); got == want {
			t.Errorf("a control of %v: %q", control, r.Verdict())
		}
	}
}
