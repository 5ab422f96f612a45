//go:build unix

// Package blocks compares how much processor time ways of doing one thing take,
// on a machine that does other things, too: all candidates run in short blocks,
// in a new order every round, and what counts of each is the tenth percentile.
package blocks

import (
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

const (
	blockTime = 3 * time.Millisecond
	// ControlBand is how far the second run of the baseline may be from the
	// first for a result to count.
	ControlBand = 0.01
)

// Candidate is one way. Run does it n times.
type Candidate struct {
	Name string
	Run  func(n int)
}

// Result is what Compare found.
type Result struct {
	Names   []string
	PerOp   []time.Duration // processor time of one operation, tenth percentile
	Ratio   []float64       // to the baseline, which is the first
	Control float64         // ratio of the baseline to itself
}

// Compare runs the candidates, the first of which is the baseline, for that
// many rounds. It repeats the whole until the control is within its band, tries
// times at most; the last result is returned whether it counts or not.
func Compare(rounds, tries int, candidates ...Candidate) (Result, bool) {
	for {
		tries--
		r := compare(rounds, candidates)
		ok := r.Control > 1-ControlBand && r.Control < 1+ControlBand
		if ok || tries <= 0 {
			return r, ok
		}
	}
}

func compare(rounds int, candidates []Candidate) Result {
	all := append(slices.Clone(candidates), candidates[0]) // the control
	sizes := make([]int, len(all))
	for i, c := range all {
		sizes[i] = calibrate(c)
	}
	sizes[len(all)-1] = sizes[0]
	samples := make([][]float64, len(all))
	for range rounds {
		for _, i := range rand.Perm(len(all)) {
			start := cpuTime()
			all[i].Run(sizes[i])
			samples[i] = append(samples[i], float64(cpuTime()-start)/float64(sizes[i]))
		}
	}
	var r Result
	base := tenth(samples[0])
	for i, c := range candidates {
		r.Names = append(r.Names, c.Name)
		r.PerOp = append(r.PerOp, time.Duration(tenth(samples[i])))
		r.Ratio = append(r.Ratio, tenth(samples[i])/base)
	}
	r.Control = tenth(samples[len(all)-1]) / base
	return r
}

// calibrate finds how many operations fill a block.
func calibrate(c Candidate) int {
	for n := 1; ; n *= 2 {
		start := cpuTime()
		c.Run(n)
		if took := cpuTime() - start; took > blockTime {
			return max(1, int(float64(n)*float64(blockTime)/float64(took)))
		}
	}
}

func tenth(samples []float64) float64 {
	s := slices.SortedFunc(slices.Values(samples), cmp.Compare[float64])
	return s[len(s)/10]
}

// cpuTime is the processor time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it has no way to fail
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Print writes a table of r.
func (r Result) Print(w io.Writer, counts bool) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for i, name := range r.Names {
		fmt.Fprintf(table, "%s\t%v\t%.3f\t\n", name, r.PerOp[i], r.Ratio[i])
	}
	verdict := "it counts"
	if !counts {
		verdict = "it does NOT count"
	}
	fmt.Fprintf(table, "control\t\t%.3f\t %s\n", r.Control, verdict)
	return table.Flush()
}
