// Package signer has what the signers of key management services share: a
// guard that protects the service and the caller from each other, one type for
// the services' errors, and the conversions that every adapter needs.
//
// An adapter for a service of one's own uses the same, and is tested with
// oidctokentest.TestSigner. A key in memory needs none of it: see
// [oidctoken.NewSigner].
package signer
