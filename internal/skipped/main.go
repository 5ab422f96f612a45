// Skipped reads the output of go test -json. It prints the output of go test, followed by the
// number of skipped tests, the reasons, and how to run them. go test alone does not report
// skipped tests.
//
//	go test -json work | go run ./internal/skipped
//
// It exits with 1 if a test failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
)

func main() {
	failed, err := report(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "skipped:", err)
		os.Exit(1)
	}
	if failed {
		os.Exit(1)
	}
}

// event is a line of go test -json (see go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string // "" for an event of the whole package
	Output  string
}

// name identifies a test.
type name struct{ pkg, test string }

// report copies the output of go test from r to w and adds the skipped tests. failed reports
// whether a test or a build failed.
func report(r io.Reader, w io.Writer) (failed bool, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	outputs := make(map[name]*strings.Builder) // output of the tests that have not ended
	reasons := make(map[string]int)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return false, fmt.Errorf("a line is not from go test -json: %.80q", lines.Text())
		}
		n := name{e.Package, e.Test}
		switch e.Action {
		case "build-output":
			io.WriteString(w, e.Output)
		case "output":
			if e.Test == "" {
				if e.Output != "PASS\n" {
					io.WriteString(w, e.Output)
				}
				continue
			}
			if outputs[n] == nil {
				outputs[n] = new(strings.Builder)
			}
			outputs[n].WriteString(e.Output)
		case "skip":
			if e.Test != "" {
				reasons[reasonOf(outputs[n])]++
			}
			delete(outputs, n)
		case "build-fail":
			failed = true
		case "fail":
			failed = true
			if outputs[n] != nil {
				io.WriteString(w, outputs[n].String())
			}
			delete(outputs, n)
		case "pass":
			delete(outputs, n)
		}
	}
	if err := lines.Err(); err != nil {
		return failed, err
	}
	return failed, printSkipped(w, reasons)
}

// skipLine matches the line in which a test gives the reason for skipping.
var skipLine = regexp.MustCompile(`^\s*[^\s:]+\.go:\d+: (.*)$`)

// reasonOf returns the reason why a test was skipped, from its output.
func reasonOf(output *strings.Builder) string {
	if output == nil {
		return "without a reason"
	}
	for line := range strings.Lines(output.String()) {
		if m := skipLine.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
			return m[1]
		}
	}
	return "without a reason"
}

// printSkipped prints a table of the reasons, the most frequent first.
func printSkipped(w io.Writer, reasons map[string]int) error {
	total := 0
	for _, n := range reasons {
		total += n
	}
	if total == 0 {
		_, err := fmt.Fprintln(w, "\nNo test was skipped.")
		return err
	}
	fmt.Fprintf(w, "\n%d tests were skipped:\n\n", total)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) // Flush returns write errors
	byCount := slices.SortedFunc(maps.Keys(reasons), func(a, b string) int {
		if reasons[a] != reasons[b] {
			return reasons[b] - reasons[a]
		}
		return strings.Compare(a, b)
	})
	for _, reason := range byCount {
		fmt.Fprintf(table, "%6d\t%s\n", reasons[reason], reason)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\nInstall the missing programs, or run .ci/run, which installs them, and run the tests again.")
	return err
}
