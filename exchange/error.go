package exchange

import (
	"fmt"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// Error is the refusal of an exchange by a cloud, or the failure to reach the
// cloud. It holds no part of a token, even if the cloud echoed it: the
// Exchanger that makes an Error removes the tokens from Code and Description.
type Error struct {
	Provider    string        // "gcp", "aws" or "azure"
	Op          string        // the call that failed, such as "sts:token"
	Status      int           // HTTP status; 0 if none came
	Code        string        // the cloud's own code, such as "invalid_grant" (RFC 6749, section 5.2); may be empty
	Description string        // the cloud's own words: at most 512 bytes, printable; may be empty
	Hint        string        // what to change, and where; may be empty
	RetryAfter  time.Duration // as the cloud asked, 0 to 30 s; 0 if it did not
	Retryable   bool          // the same call may succeed later
	Err         error         // cause on our side, such as a network error; may be nil
}

const (
	maxCode        = 64 // bytes
	maxDescription = 512
	maxText        = 1024
)

// Error returns on one line which call of which cloud failed, why, and what to
// do: "gcp: sts:token: invalid_grant (400): description; hint". It is at most 1
// KiB and printable, for any values of the fields.
func (e *Error) Error() string {
	var parts []string
	for _, part := range []string{e.Provider, e.Op} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	switch {
	case e.Code != "" && e.Status != 0:
		parts = append(parts, fmt.Sprintf("%s (%d)", tokenhttp.Printable(e.Code, maxCode), e.Status))
	case e.Code != "":
		parts = append(parts, tokenhttp.Printable(e.Code, maxCode))
	case e.Status != 0:
		parts = append(parts, fmt.Sprintf("HTTP %d", e.Status))
	}
	if e.Description != "" {
		parts = append(parts, tokenhttp.Printable(e.Description, maxDescription))
	}
	if e.Err != nil {
		parts = append(parts, tokenhttp.Printable(e.Err.Error(), maxDescription))
	}
	if len(parts) == 0 {
		parts = []string{"exchange failed"}
	}
	text := strings.Join(parts, ": ")
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return tokenhttp.Printable(text, maxText)
}

// Temporary reports whether the same call may succeed later, after RetryAfter
// if that is set.
func (e *Error) Temporary() bool { return e.Retryable }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
