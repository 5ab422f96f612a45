package broker

import (
	"strings"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/ident"
)

// Ref is a reference to a connector, as the author of a pipeline writes it: "id" for a
// connector of the step's project, "org.id" of its organization, "account.id" of its account. A
// reference cannot name another tenant.
type Ref struct {
	Level oidctoken.Level
	ID    string
}

// ParseRef parses a reference. Case matters. The error is a *RefError.
func ParseRef(s string) (Ref, error) {
	r := Ref{oidctoken.ProjectLevel, s}
	if level, id, ok := strings.Cut(s, "."); ok {
		switch r = (Ref{oidctoken.Level(level), id}); r.Level {
		case oidctoken.AccountLevel, oidctoken.OrganizationLevel:
		default:
			return Ref{}, &RefError{"begins with something other than account. or org."}
		}
	}
	if reason := ident.CheckConnector(r.ID); reason != "" {
		return Ref{}, &RefError{"has an id that " + reason}
	}
	return r, nil
}

// String returns the reference in its written form.
func (r Ref) String() string {
	if r.Level == oidctoken.ProjectLevel {
		return r.ID
	}
	return string(r.Level) + "." + r.ID
}

// RefError reports that a text is not a connector reference. The author of the text must act.
// The error does not contain the text, which may be anything, even a secret.
type RefError struct {
	Reason string // begins with a verb
}

// Error returns the reason.
func (e *RefError) Error() string { return "broker: the connector reference " + e.Reason }
