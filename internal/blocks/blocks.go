//go:build unix

// Package blocks compares the processor time of several ways to do the same thing, on a machine
// with other work. All candidates run in short blocks, in a new order in every round. The
// result of each is the tenth percentile of its blocks.
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
	// ControlBand is the largest difference between the two runs of the baseline for which a
	// result counts.
	ControlBand = 0.01
)

// Candidate is one way to do the thing. Run does it n times.
type Candidate struct {
	Name string
	Run  func(n int)
}

// Plan configures a comparison.
type Plan struct {
	// Rounds is the number of blocks of each candidate. Required.
	Rounds int
	// Tries is the highest number of measurements. They end with the first one that counts.
	// Required.
	Tries int
	// Clock returns the time that has been used. Optional, by default the processor time of
	// this process.
	Clock func() time.Duration
}

// Result is the result of Compare.
type Result struct {
	Names   []string
	PerOp   []time.Duration // time of one operation, tenth percentile
	Ratio   []float64       // to the baseline, which is the first candidate
	Control float64         // ratio of the baseline to itself
}

// Counts reports whether the machine was quiet enough for r to be meaningful.
func (r Result) Counts() bool {
	return r.Control >= 1-ControlBand && r.Control <= 1+ControlBand
}

// Compare measures the candidates. The first one is the baseline. Compare returns the last
// result, even if it does not count.
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

// calibrate returns the number of operations that fill a block.
func (p Plan) calibrate(c Candidate) int {
	for n := 1; ; n *= 2 {
		start := p.Clock()
		c.Run(n)
		if took := p.Clock() - start; took > blockTime {
			return max(1, int(float64(n)*float64(blockTime)/float64(took)))
		}
	}
}

// tenth returns the tenth percentile: the time of a block without disturbance.
func tenth(samples []float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	return s[len(s)/10]
}

// cpuTime returns the processor time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // cannot happen
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

// Verdict returns whether r counts, as a text.
func (r Result) Verdict() string {
	if r.Counts() {
		return "it counts"
	}
	return "it does NOT count"
}
