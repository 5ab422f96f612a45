package signer

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Kind classifies an [Error] by its meaning for the key. It tells which
// administrator must act.
type Kind uint8

const (
	// Unavailable is temporary: the service is away, too slow, or asks to be
	// called less often. The same call may succeed later.
	Unavailable Kind = iota + 1
	// Refused is permanent: the service understood the request and refused it. The
	// administrator of the key, or of the rights to it, must act.
	Refused
	// Gone means that the key version is disabled, destroyed, or was never there.
	Gone
	// Malformed means that the service answered with something that is no
	// answer: a wrong checksum, another key's name, a signature of another form.
	Malformed
)

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case Unavailable:
		return "unavailable"
	case Refused:
		return "refused"
	case Gone:
		return "gone"
	case Malformed:
		return "malformed answer"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Error is the failure of a call of a service. It holds no secret.
type Error struct {
	Service    string        // the adapter's package, such as "awskms"
	Op         string        // the service's own name of the call, such as "Sign"
	Kind       Kind          // its class
	Code       string        // the service's own code, such as "ThrottlingException"; may be empty
	RetryAfter time.Duration // as the service asked; 0 if it did not
	Err        error         // the cause; may be nil
}

// Error returns one line with the service, the call and the reason. The
// service's own text is cut to 512 bytes.
func (e *Error) Error() string {
	text := e.Service + ": " + e.Op + ": " + e.Kind.String()
	if e.Code != "" {
		text += ": " + oneLine(e.Code)
	}
	if e.RetryAfter > 0 {
		text += fmt.Sprintf(" (retry after %v)", e.RetryAfter)
	}
	if e.Err != nil {
		text += ": " + oneLine(e.Err.Error())
	}
	return text
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether the same call may succeed later.
func (e *Error) Temporary() bool { return e.Kind == Unavailable }

// Throttled reports whether the service asks to be called less often: whether Kind
// is Unavailable and Code one of those that services have for that, such as
// "ThrottlingException", "RESOURCE_EXHAUSTED" or the HTTP status "429".
func (e *Error) Throttled() bool {
	return e.Kind == Unavailable && slices.Contains(throttled, e.Code)
}

var throttled = []string{
	"429",
	// AWS
	"Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
	"RequestLimitExceeded", "TooManyRequestsException", "SlowDown",
	// Azure
	"Throttled", "TooManyRequests",
	// Google
	"RESOURCE_EXHAUSTED",
}

// maxText is the limit for a service's text in an error, in bytes.
const maxText = 512

// oneLine makes a text that a service chose fit for a line of a log.
func oneLine(text string) string {
	if len(text) > maxText {
		text = text[:maxText] + "..."
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}
