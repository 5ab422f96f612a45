package exchange

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// Credential is the result of an exchange: the variables that the cloud's own
// tools read, some of them secret, and an expiry. It is immutable and safe for
// concurrent use.
//
// It does not print: every verb, log/slog and the text encodings show
// "credential [REDACTED]" and the expiry, and encoding/gob refuses it. Only
// Value, Env and Secrets reveal it. The zero Credential has no variables and has
// expired.
type Credential struct {
	expires time.Time
	env     func() map[string]string // a func prints as an address, wherever it is embedded
	plain   []string
}

// NewCredential returns a credential for a copy of the variables by name. All
// are secret except those named in plain, such as a region. The caller has
// checked the values: they are handed to processes and files unchanged. The
// zero expires means "has expired".
func NewCredential(expires time.Time, env map[string]string, plain ...string) *Credential {
	env = maps.Clone(env)
	return &Credential{expires, func() map[string]string { return env }, slices.Clone(plain)}
}

// Expires returns the time at which the cloud stops accepting the credential.
func (c Credential) Expires() time.Time { return c.expires }

// Value returns the secret or plain value of the variable with that name, such
// as "CLOUDSDK_AUTH_ACCESS_TOKEN", or "" if the credential has no such
// variable.
func (c Credential) Value(name string) string { return c.variables()[name] }

// Env returns all variables by name, with their secrets. The caller owns the
// map, which is never nil.
func (c Credential) Env() map[string]string {
	env := c.variables()
	out := make(map[string]string, len(env))
	maps.Copy(out, env)
	return out
}

// Secrets returns the values that no output may show, in the order of their
// variables' names. The caller owns the slice.
func (c Credential) Secrets() []string {
	env := c.variables()
	var secrets []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !slices.Contains(c.plain, name) {
			secrets = append(secrets, env[name])
		}
	}
	return secrets
}

func (c Credential) variables() map[string]string {
	if c.env == nil {
		return nil
	}
	return c.env()
}

// String names the credential without revealing it.
func (c Credential) String() string {
	return "credential [REDACTED] until " + c.expires.UTC().Format(time.RFC3339)
}

// Format writes String for every verb and flag.
func (c Credential) Format(f fmt.State, _ rune) { io.WriteString(f, c.String()) }

// LogValue is String, as a value of log/slog.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String, so that no encoder reveals the credential.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
