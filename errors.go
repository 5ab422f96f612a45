package oidctoken

import "errors"

var (
	// ErrDenied is policy's refusal: Config.Allow said no, or nothing allowed
	// an untrusted execution.
	ErrDenied = errors.New("denied by policy")

	// ErrNoKey means that no key of the source may sign now, for an algorithm
	// that the profile accepts. The error lists the keys and says why each cannot
	// sign. The operator of the keys must act.
	ErrNoKey = errors.New("no key to sign with")

	// ErrSignerUnavailable means that the key's signer failed. It is
	// temporary; the signer's own error is wrapped beside it.
	ErrSignerUnavailable = errors.New("signer unavailable")

	// ErrBadSignature means that a signer returned something that its public
	// key does not verify. No token left; the signer is broken or holds
	// another key.
	ErrBadSignature = errors.New("signer returned a bad signature")
)

// ScopeError says which part of a [Scope] cannot be put into a token (RFC
// 7519, section 4), and why. The host that filled the Scope must act.
type ScopeError struct {
	Field  string // path from the Scope, such as "Stage.Environment.ID" or "Profile.Subject"
	Reason string // continues the field's name, such as "is required"
}

// Error never repeats a claim's value: it may be anything. The names of
// host-defined claims and of algorithms are shown quoted and cut.
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

// Error never repeats the refused value, which may be a secret.
func (e *ConfigError) Error() string { return e.Package + ": " + e.Field + " " + e.Reason }

func configError(field, reason string) *ConfigError {
	return &ConfigError{Package: "oidctoken", Field: field, Reason: reason}
}

// configFailure is a ConfigError together with its cause.
type configFailure struct {
	ConfigError
	cause error
}

func (e *configFailure) Unwrap() []error { return []error{&e.ConfigError, e.cause} }
