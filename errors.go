package oidctoken

import "errors"

var (
	// ErrDenied means that policy refuses the token: Config.Allow returned an error,
	// or it is not set and the execution is untrusted.
	ErrDenied = errors.New("denied by policy")

	// ErrNoKey means that no key of the KeySource may sign now with an algorithm that
	// the profile accepts. The error lists the keys and why each cannot sign. The
	// operator of the keys must act.
	ErrNoKey = errors.New("no key to sign with")

	// ErrSignerUnavailable means that the key's signer failed. The error is temporary,
	// and also wraps the signer's own error.
	ErrSignerUnavailable = errors.New("signer unavailable")

	// ErrBadSignature means that the public key does not verify the signer's answer.
	// No token was returned. The signer is broken or uses another key.
	ErrBadSignature = errors.New("signer returned a bad signature")
)

// ScopeError reports the field of a [Scope] that no token can have (RFC 7519,
// section 4), and the reason. The host that filled in the Scope must act.
type ScopeError struct {
	Field  string // path inside the Scope, such as "Stage.Environment.ID" or "Profile.Subject"
	Reason string // continues the field's name, such as "is required"
}

// Error returns the field and the reason. It never contains a claim's value, which
// may be any text. It quotes and cuts the names of host-defined claims and of
// algorithms.
func (e *ScopeError) Error() string { return "oidctoken: scope: " + e.Field + " " + e.Reason }

// ConfigError reports a setting that cannot work: the package that refused it,
// the field and the reason. All packages of this module and its adapters return
// it for their own Config. No key is used and no request is sent with a setting
// that was refused.
type ConfigError struct {
	Package string // the last element of the import path, such as "gcp"
	Field   string // a field of the package's Config, such as "Delegates[1]", or the name of a parameter
	Reason  string // continues the field's name, such as "is required"
}

// Error returns the package, the field and the reason. It never contains the refused
// value, which may be a secret.
func (e *ConfigError) Error() string { return e.Package + ": " + e.Field + " " + e.Reason }

func configError(field, reason string) *ConfigError {
	return &ConfigError{Package: "oidctoken", Field: field, Reason: reason}
}

// configFailure is a ConfigError with its cause.
type configFailure struct {
	ConfigError
	cause error
}

func (e *configFailure) Unwrap() []error { return []error{&e.ConfigError, e.cause} }
