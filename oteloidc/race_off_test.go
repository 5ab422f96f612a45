//go:build !race

package oteloidc_test

const raceEnabled = false
