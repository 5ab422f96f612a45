//go:build race

package oidctoken_test

// raceEnabled is true under the race detector, which allocates by itself.
const raceEnabled = true
