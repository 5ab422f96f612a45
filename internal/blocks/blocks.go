//go:build unix

// Package blocks compares how much processor time ways of doing one thing take,
// on a machine that does other things, too: all candidates run in short blocks,
// in a new order every round, and what counts of each is the tenth percentile.
package blocks

import (
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

// Plan is how candidates are compared.
type Plan struct {
	// Rounds is how often each candidate runs a block. Required.
	Rounds int
	// Tries is how often all is measured at most, until it counts. Required.
	Tries int
	// Clock is what a block takes. Optional, the processor time of this process.
	Clock func() time.Duration
}

// Result is what Compare found.
type Result struct {
	Names   []string
	PerOp   []time.Duration // what one operation takes, tenth percentile
	Ratio   []float64       // to the baseline, which is the first
	Control float64         // ratio of the baseline to itself
}

// Counts reports whether the machine was quiet enough for r to mean something.
func (r Result) Counts() bool {
	return r.Control >= 1-ControlBand && r.Control <= 1+ControlBand
}

// Compare runs the candidates, the first of which is the baseline. The last
// result is returned whether it counts or not.
func (p Plan) Compare(candidates ...Candidate) Result {
	if p.Clock == nil {
		p.Clock = cpuTime
	}
	for try := 1; ; try++ {
		if r := p.compare(candidates); r.Counts() || try >= p.Tries {
			return r
		}
	}
}

func (p Plan) compare(candidates []Candidate) Result {
	all := append(slices.Clone(candidates), candidates[0]) // the control
	sizes := make([]int, len(all))
	for i, c := range candidates {
		sizes[i] = p.calibrate(c)
	}
	sizes[len(candidates)] = sizes[0]
	samples := make([][]float64, len(all))
	for range p.Rounds {
		for _, i := range rand.Perm(len(all)) {
			start := p.Clock()
			all[i].Run(sizes[i])
			samples[i] = append(samples[i], float64(p.Clock()-start)/float64(sizes[i]))
		}
	}
	var r Result
	base := tenth(samples[0])
	for i, c := range candidates {
		r.Names = append(r.Names, c.Name)
		r.PerOp = append(r.PerOp, time.Duration(tenth(samples[i])))
		r.Ratio = append(r.Ratio, tenth(samples[i])/base)
	}
	r.Control = tenth(samples[len(candidates)]) / base
	return r
}

// calibrate finds how many operations fill a block.
func (p Plan) calibrate(c Candidate) int {
	for n := 1; ; n *= 2 {
		start := p.Clock()
		c.Run(n)
		if took := p.Clock() - start; took > blockTime {
			return max(1, int(float64(n)*float64(blockTime)/float64(took)))
		}
	}
}

// tenth is the tenth percentile: what a block takes when nothing disturbs it.
func tenth(samples []float64) float64 {
	s := slices.Sorted(slices.Values(samples))
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
func (r Result) Print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for i, name := range r.Names {
		fmt.Fprintf(table, "%s\t%v\t%.3f\t\n", name, r.PerOp[i], r.Ratio[i])
	}
	fmt.Fprintf(table, "control\t\t%.3f\t %s\n", r.Control, r.Verdict())
	return table.Flush()
}

// Verdict says whether r counts.
func (r Result) Verdict() string {
	if r.Counts() {
		return "it counts"
	}
	return "it does NOT count"
}
