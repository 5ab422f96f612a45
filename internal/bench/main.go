//go:build unix

// Command bench compares the performance of this library with that of libraries which a
// host could use instead. It fails if a target is missed. See docs/performance.md.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken/internal/blocks"
)

// part is a set of tables that can be measured alone.
type part struct {
	name   string
	tables []measurement
}

type measurement func(blocks.Plan) (table, error)

// parts returns all parts.
func parts() []part {
	mint := func(alg string) part {
		return part{alg, []measurement{func(p blocks.Plan) (table, error) { return measureMint(alg, p) }}}
	}
	expand := part{name: "expr"}
	for _, s := range shapes {
		expand.tables = append(expand.tables, s.measure)
	}
	return []part{
		mint("ES256"), mint("EdDSA"),
		{"handlers", []measurement{measureAlone, measureServed}},
		{"cache", []measurement{measureHandle, measureMany, measureTokens}},
		{"memory", []measurement{measureMemory}},
		expand,
	}
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == clientFlag {
		if err := client(os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench: client:", err)
			os.Exit(exitError)
		}
		os.Exit(exitMet)
	}
	code, err := run(os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	os.Exit(code)
}

// run measures the parts that args select.
func run(args []string, w io.Writer) (code int, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	rounds := flags.Int("rounds", 400, "blocks of each candidate")
	tries := flags.Int("tries", 5, "how many times a table is measured at most, until its control is good")
	only := flags.String("only", "", "comma-separated list of parts to measure: "+strings.Join(names(), ", ")+" (default all)")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitMet, nil
		}
		return exitError, err
	}
	if flags.NArg() > 0 || *rounds < 10 || *tries < 1 {
		return exitError, errors.New("wrong flags: give no arguments, -rounds of at least 10 and -tries of at least 1")
	}
	chosen, err := choose(*only)
	if err != nil {
		return exitError, err
	}
	var all []table
	for _, p := range chosen {
		for _, measure := range p.tables {
			t, err := measure(blocks.Plan{Rounds: *rounds, Tries: *tries})
			if err != nil {
				return exitError, fmt.Errorf("%s: %w", p.name, err)
			}
			if err := t.print(w); err != nil {
				return exitError, err
			}
			all = append(all, t)
		}
	}
	return exitCode(all), nil
}

func names() (names []string) {
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return names
}

// choose returns the parts of a comma-separated list. An empty list means all parts.
func choose(list string) ([]part, error) {
	if list == "" {
		return parts(), nil
	}
	var chosen []part
	for name := range strings.SplitSeq(list, ",") {
		i := slices.Index(names(), name)
		if i < 0 {
			return nil, fmt.Errorf("-only: %q is not one of %s", name, strings.Join(names(), ", "))
		}
		chosen = append(chosen, parts()[i])
	}
	return chosen, nil
}
