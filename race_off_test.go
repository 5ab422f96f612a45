//go:build !race

package oidctoken_test

const raceEnabled = false
