package text

import (
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken/internal/ident"
)

// Format defines which values a claim may have.
type Format struct {
	Name  string                             // for documentation
	Check func(value string) (reason string) // returns why a value is refused, or ""

	// Class and MaxLen are a fast path: a value of at most MaxLen bytes that are
	// all in Class is valid and needs no escape in JSON, unless it begins with a
	// dot.
	Class  Class
	MaxLen int

	// Audit marks a claim that no policy rests on. An invalid value is left out of
	// the token; it does not stop the token.
	Audit bool
}

// The formats that depend on no list of values.
var (
	IdentifierFormat = Format{"identifier", ident.Check, Identifier, ident.Max, false}
	ConnectorFormat  = Format{"identifier without a dot", ident.CheckConnector, Connector, ident.Max, false}
	FreeFormat       = Format{"text", Check, Plain, Max, false}
	AuditFormat      = Format{"text", Check, Plain, Max, true}
)

// OneOf returns the format of a closed list of values.
func OneOf(values ...string) Format {
	quoted := quote(values)
	return Format{Name: quoted, Check: func(s string) string {
		if slices.Contains(values, s) {
			return ""
		}
		return "is not one of " + quoted
	}}
}

// OpenList returns the format of a list of known values to which a host may add
// values of that form.
func OpenList(f Form, known ...string) Format {
	quoted := quote(known)
	return Format{Name: quoted + `, or another of the form "` + f.String() + `"`, Check: func(s string) string {
		if slices.Contains(known, s) {
			return ""
		}
		if !f.Has(s) {
			return "is not one of " + quoted + ", nor another of the form " + f.String()
		}
		return DiffersInCase(s, known)
	}}
}

func quote(values []string) string { return `"` + strings.Join(values, `", "`) + `"` }

// DiffersInCase returns a reason to refuse s if s differs from a known value only
// in letter case, since a reader would confuse the two. Otherwise it returns "".
func DiffersInCase(s string, known []string) (reason string) {
	for _, k := range known {
		if strings.EqualFold(k, s) {
			return `differs from "` + k + `" in letter case only`
		}
	}
	return ""
}

// Form is the form of the values that a host adds to an open list. It holds the
// letters that such a value may have.
type Form string

// The forms.
const (
	UpperWord Form = "A-Z"
	Word      Form = "A-Za-z"
)

// String returns the form as a regular expression.
func (f Form) String() string { return "^[" + string(f) + "][" + string(f) + "0-9_]{0,63}$" }

// Has reports whether s has the form.
func (f Form) Has(s string) bool {
	for i := range len(s) {
		b := s[i]
		letter := 'A' <= b && b <= 'Z' || f == Word && 'a' <= b && b <= 'z'
		if !letter && (i == 0 || b != '_' && (b < '0' || b > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}
