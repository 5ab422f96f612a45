// Package signer has the common parts of the signers of key management
// services: a guard that protects the service and its callers from each other,
// one error type, and the conversions that every adapter needs.
//
// An adapter for a service of one's own uses the same, and is tested with
// oidctokentest.TestSigner. A key in memory needs none of it: see
// [oidctoken.NewSigner].
package signer
