//go:build unix

package main

import "runtime"

// counted is the number of operations that are counted for a row. As many operations
// before them fill pools and caches.
const counted = 200

// newRow counts the allocations of one operation of run.
func newRow(name string, run func(n int)) row { return countRow(name, counted, run) }

func countRow(name string, n int, run func(n int)) row {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // no other goroutine allocates
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
