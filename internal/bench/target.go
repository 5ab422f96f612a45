//go:build unix

package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/oidctoken/oidctoken/internal/blocks"
)

// These are the exit codes. A missed target has priority over a measurement without a
// result.
const (
	exitMet          = 0
	exitMissed       = 1
	exitError        = 2 // a bad flag, or nothing could be measured
	exitInconclusive = 3
)

// target is a limit that a measured figure must not exceed.
type target struct {
	id    string // P2 to P8
	what  string
	got   float64
	limit float64
	exact bool // a count, which does not depend on the load of the machine
}

func (t target) met() bool { return t.got <= t.limit } // NaN is not

// row is one candidate of a table. The table's result has its time.
type row struct {
	name          string
	allocs, bytes float64 // of one operation
}

// table is one comparison. Its rows have the order of the result's candidates.
type table struct {
	title   string
	unit    string // the candidate that the ratios compare with
	result  blocks.Result
	rows    []row
	targets []target
}

// exitCode returns the exit code for tables. A time counts neither as met nor as missed
// if the control shows that the machine was not quiet.
func exitCode(tables []table) int {
	code := exitMet
	for _, t := range tables {
		for _, target := range t.targets {
			switch {
			case !t.conclusive(target):
				code = exitInconclusive
			case !target.met():
				return exitMissed
			}
		}
	}
	return code
}

// conclusive reports whether t shows that g is met or missed.
func (t table) conclusive(g target) bool { return g.exact || t.result.Counts() }

// print writes the table and the verdict on each target.
func (t table) print(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "\n%s\n", t.title); err != nil {
		return err
	}
	if err := t.printRows(w); err != nil {
		return err
	}
	for _, target := range t.targets {
		if _, err := fmt.Fprintln(w, t.verdict(target)); err != nil {
			return err
		}
	}
	return nil
}

// printRows writes the comparison, if the table is one.
func (t table) printRows(w io.Writer) error {
	if len(t.rows) == 0 {
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tw, "\tCPU/op\tto %s\tallocs/op\tB/op\t\n", t.unit)
	for i, r := range t.rows {
		fmt.Fprintf(tw, "%s\t%v\t%.3f\t%.0f\t%.0f\t\n", r.name, t.result.PerOp[i], t.result.Ratio[i], r.allocs, r.bytes)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "control %.3f: %s\n", t.result.Control, t.result.Verdict())
	return err
}

func (t table) verdict(g target) string {
	word := "MISSED"
	switch {
	case !t.conclusive(g):
		word = "inconclusive"
	case g.met():
		word = "met"
	}
	return fmt.Sprintf("%s %s: %.3f, at most %.2f: %s", g.id, g.what, g.got, g.limit, word)
}
