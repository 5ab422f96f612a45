// Package signer has the common parts of the signers of key management
// services: a guard that protects the service and its callers from each other,
// one error type, and the conversions that every adapter needs.
//
// An adapter that you write uses the same parts, and is tested with
// oidctokentest.TestSigner. A key in memory does not need this package: see
// [oidctoken.NewSigner].
package signer
