package broker

import (
	"strings"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/ident"
)

// Ref is a reference to a connector as the author of a pipeline writes it:
// "id" in the step's project, "org.id" in its organization, "account.id" in
// its account. There is no way to name another tenant.
type Ref struct {
	Level oidctoken.Level
	ID    string
}

// ParseRef parses a reference; case matters. The error is a *RefError.
func ParseRef(s string) (Ref, error) {
	r := Ref{oidctoken.ProjectLevel, s}
	if level, id, ok := strings.Cut(s, "."); ok {
		switch r = (Ref{oidctoken.Level(level), id}); r.Level {
		case oidctoken.AccountLevel, oidctoken.OrganizationLevel:
		default:
			return Ref{}, &RefError{"begins with something else than account. or org."}
		}
	}
	if reason := ident.CheckConnector(r.ID); reason != "" {
		return Ref{}, &RefError{"has an id that " + reason}
	}
	return r, nil
}

// String is the reference as it is written.
func (r Ref) String() string {
	if r.Level == oidctoken.ProjectLevel {
		return r.ID
	}
	return string(r.Level) + "." + r.ID
}

// RefError says that a text is no connector reference. Its author must act. It
// does not hold the text, which may be anything, a secret too.
type RefError struct {
	Reason string // a verb phrase
}

// Error says what is wrong.
func (e *RefError) Error() string { return "broker: the connector reference " + e.Reason }
