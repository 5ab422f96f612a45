//go:build race

package oidctoken_test

// raceEnabled is true under the race detector, which makes allocations of its own.
const raceEnabled = true
