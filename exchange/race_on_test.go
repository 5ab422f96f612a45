//go:build race

package exchange_test

// raceEnabled: the race detector allocates, and takes few goroutines.
const raceEnabled = true
