//go:build unix

package main

import "runtime"

// counted is how many operations are counted for a row, after as many that
// fill pools and caches.
const counted = 200

// newRow counts what one operation of run allocates.
func newRow(name string, run func(n int)) row { return countRow(name, counted, run) }

func countRow(name string, n int, run func(n int)) row {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // nobody else allocates
	run(n)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run(n)
	runtime.ReadMemStats(&after)
	return row{
		name:   name,
		allocs: float64((after.Mallocs - before.Mallocs) / uint64(n)),
		bytes:  float64((after.TotalAlloc - before.TotalAlloc) / uint64(n)),
	}
}
