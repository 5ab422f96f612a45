package vaulttransit

var (
	// NewTransport is tried with addresses that no server of a test has.
	NewTransport = newTransport

	ParseVersioned = parseVersioned // for fuzzing
	ParsePublicKey = parsePublicKey
)
