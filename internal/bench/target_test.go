//go:build unix

package main

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/internal/blocks"
)

func withControl(control float64, targets ...target) table {
	return table{result: blocks.Result{Control: control}, targets: targets}
}

func TestExitCode(t *testing.T) {
	met, missed := target{got: 1.1, limit: 1.1}, target{got: 1.1001, limit: 1.1}
	exact, exceeded := target{exact: true}, target{got: 1, exact: true}
	for _, tt := range []struct {
		name   string
		tables []table
		want   int
	}{
		{"nothing measured", nil, exitMet},
		{"met", []table{withControl(1, met), withControl(0.995, met, met)}, exitMet},
		{"missed", []table{withControl(1, met, missed)}, exitMissed},
		{"not a number", []table{withControl(1, target{got: math.NaN(), limit: 1})}, exitMissed},
		{"inconclusive, and met if it counted", []table{withControl(1.02, met)}, exitInconclusive},
		{"inconclusive, and missed if it counted", []table{withControl(0.98, missed)}, exitInconclusive},
		{"inconclusive without a target", []table{withControl(0.98)}, exitMet},
		{"inconclusive, then missed", []table{withControl(1.02, met), withControl(1, missed)}, exitMissed},
		{"missed, then inconclusive", []table{withControl(1, missed), withControl(1.02, met)}, exitMissed},
		{"a count needs no control", []table{withControl(1.02, exact)}, exitMet},
		{"a count that is exceeded", []table{withControl(1.02, exceeded)}, exitMissed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := exitCode(tt.tables); got != tt.want {
				t.Errorf("exitCode = %d, want %d", got, tt.want)
			}
		})
	}
}

func TestMintTargets(t *testing.T) {
	ratio := []float64{rawRow: 1, mintRow: 1.08, preparedRow: 1.02, golangJWTRow: 1.35, joseMapRow: 1.8, joseJWSRow: 1.4}
	type figure struct {
		ID, What   string
		Got, Limit float64
	}
	for alg, want := range map[string][]figure{
		"ES256": {
			{"P2", "ES256 Issuer.Mint / raw", 1.08, 1.10}, {"P2", "ES256 Prepared.Mint / raw", 1.02, 1.04},
			{"P3", "ES256 Issuer.Mint / golang-jwt struct", 0.8, 0.85}, {"P3", "ES256 Issuer.Mint / go-jose map", 0.6, 0.70},
		},
		"EdDSA": {{"P2", "EdDSA Issuer.Mint / raw", 1.08, 1.10}, {"P2", "EdDSA Prepared.Mint / raw", 1.02, 1.06}},
	} {
		var got []figure
		for _, g := range mintTargets(alg, ratio) {
			got = append(got, figure{g.id, g.what, math.Round(g.got*1e9) / 1e9, g.limit})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", alg, diff)
		}
	}
}

func TestPrint(t *testing.T) {
	tb := table{
		title: "one token", unit: "raw",
		result: blocks.Result{PerOp: []time.Duration{30 * time.Microsecond, 33 * time.Microsecond}, Ratio: []float64{1, 1.1}, Control: 1.004},
		rows:   []row{{name: "raw", allocs: 60, bytes: 6096}, {name: "ours", allocs: 61, bytes: 7664}},
		targets: []target{
			{id: "P2", what: "ours / raw", got: 1.1, limit: 1.04},
			{id: "P5", what: "allocations", got: 0, limit: 0, exact: true},
		},
	}
	want := `
one token
        CPU/op  to raw  allocs/op  B/op
   raw    30µs   1.000         60  6096
  ours    33µs   1.100         61  7664
control 1.004: it counts
P2 ours / raw: 1.100, at most 1.04: MISSED
P5 allocations: 0.000, at most 0.00: met
`
	var out strings.Builder
	if err := tb.print(&out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	tb.result.Control = 1.02
	out.Reset()
	if err := tb.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"control 1.020: it does NOT count\n", "at most 1.04: inconclusive\n", "at most 0.00: met\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, out.String())
		}
	}
}

// newRow counts the allocations of one operation.
func TestNewRow(t *testing.T) {
	kept := make([][]byte, 2) // on the heap
	got := newRow("512 bytes, twice", func(n int) {
		for range n {
			kept[0], kept[1] = make([]byte, 512), make([]byte, 512)
		}
	})
	if want := (row{name: "512 bytes, twice", allocs: 2, bytes: 1024}); got != want {
		t.Errorf("newRow = %+v, want %+v", got, want)
	}
	if got := newRow("nothing", func(int) {}); got != (row{name: "nothing"}) {
		t.Errorf("newRow = %+v for nothing", got)
	}
}
