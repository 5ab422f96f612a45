// Package oidctokentest helps to test hosts of oidctoken and what is plugged
// into it.
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

// ConfigError says which field of a stand-in's configuration is wrong, and
// why.
type ConfigError struct {
	Field  string // such as "Providers[0].AttributeMapping[attribute.env]"
	Reason string // continues the field's name, such as "is required"
}

// Error names the field.
func (e *ConfigError) Error() string { return "oidctokentest: " + e.Field + " " + e.Reason }
