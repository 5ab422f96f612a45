// Package oidctokentest helps to test hosts of oidctoken, and the signers,
// stores and exchangers that plug into it.
//
//   - [NewIssuer] is a real issuer on a loopback address, with fresh keys.
//   - [Google], [AWS] and [Entra] stand in for the clouds: they verify JWTs as
//     these do and refuse what these refuse, with their codes and words.
//   - [TestSigner], [TestExchanger] and [TestStore] are conformance tests for
//     implementations of [oidctoken.Signer], [exchange.Exchanger] and
//     [keyring.Store].
//
// A stand-in is an [http.Handler] and needs no test: a program may serve it as
// well, on loopback. Nothing of this package guards anything: do not serve it
// to a network.
package oidctokentest

import "github.com/oidctoken/oidctoken"

// configError reports a setting or an argument that cannot work.
func configError(field, reason string) *oidctoken.ConfigError {
	return &oidctoken.ConfigError{Package: "oidctokentest", Field: field, Reason: reason}
}
