// Package oidctokentest helps to test hosts of oidctoken, and the signers,
// stores and exchangers that plug into it.
//
//   - [NewIssuer] is a real issuer on a loopback address, with fresh keys.
//   - [TestSigner], [TestExchanger] and [TestStore] are conformance tests for
//     implementations of [oidctoken.Signer], [exchange.Exchanger] and
//     [keyring.Store].
//   - The packages googletest, awstest and entratest below it are strict stand-ins
//     of the clouds.
package oidctokentest
