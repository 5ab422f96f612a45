package exchange

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// Credential is what a cloud gave for a JWT: the variables that the cloud's
// own tools read, some of them secret, and an expiry. It is immutable and safe
// for concurrent use.
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

// NewCredential returns a credential for the variables by name, which it
// copies. All are secret but those named plain, such as a region. Whoever calls
// it has checked the values: they are handed to processes and files as they
// are. The zero expires means "has expired".
func NewCredential(expires time.Time, env map[string]string, plain ...string) *Credential {
	env = maps.Clone(env)
	return &Credential{expires, func() map[string]string { return env }, slices.Clone(plain)}
}

// Expires is when the cloud stops accepting the credential.
func (c Credential) Expires() time.Time { return c.expires }

// Value reveals the variable of that name, such as
// "CLOUDSDK_AUTH_ACCESS_TOKEN"; "" if the credential has none.
func (c Credential) Value(name string) string { return c.variables()[name] }

// Env reveals all variables by name. The map is the caller's, and never nil.
func (c Credential) Env() map[string]string {
	env := c.variables()
	out := make(map[string]string, len(env))
	maps.Copy(out, env)
	return out
}

// Secrets reveals the values that no output may show, in the order of their
// variables' names. The slice is the caller's.
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
