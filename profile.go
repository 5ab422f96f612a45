package oidctoken

import (
	"fmt"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/jws"
	"github.com/oidctoken/oidctoken/internal/subject"
	"github.com/oidctoken/oidctoken/internal/text"
)

// Profile is how a token looks for one relying party: a cloud has limits that
// another does not have. The zero value is the default of every field. A
// Profile is not changed after its first use.
type Profile struct {
	// Subject is the template of "sub". Optional, by default
	//
	//	account/{account_id}[:org/{organization_id}][:project/{project_id}]
	//
	// {claim} stands for a claim of the table or of Scope.Extra, percent-encoded
	// except A-Z a-z 0-9 - . _ ~ . What stands in [ ] begins with a label and
	// names claims of one entity, such as
	// [:org/{organization_id}@{organization_uid}]. It is left out when they are
	// all unknown; to know only some of them is an error. (Claims that stand
	// outside, too, may be repeated in it.) Outside brackets, an unknown claim is
	// an error. A host-defined claim is an entity of its own. Everything else is
	// a fixed label. Two scopes that differ in a named claim never render the
	// same subject; a template for which that cannot be shown is refused, and
	// so is one that does not name {account_id} or {account_uid} outside
	// brackets, unless Config.URL holds the account.
	//
	// That is so among the subjects of one template. A label can spell what
	// another template makes of a claim, as account/{account_id}:project/ledger
	// does: a template is the host's, or that of somebody who is trusted with
	// all that the issuer may say, and never a tenant's to choose.
	Subject string

	// MaxSubject is the most bytes that "sub" may have, at most 255 (OpenID
	// Connect Core 1.0, section 2). Optional, 255 by default. A longer subject
	// is refused, never cut.
	MaxSubject int

	// Lifetime is "exp" - "iat", in whole seconds. Optional, 15 minutes by
	// default (or the issuer's MaxLifetime, where that is less).
	Lifetime time.Duration

	// ShortenLifetime uses the issuer's MaxLifetime, in whole seconds, where
	// Lifetime is longer. By default, such a Lifetime is refused.
	ShortenLifetime bool

	// Algorithms are the values of "alg" (RFC 7518, section 3.1; RFC 8037)
	// that the relying party accepts, preferred first. Optional, RS256 by
	// default.
	Algorithms []string

	// NullUnknown gives a claim that the Scope does not know the value null, so
	// that every claim of the table is always present. By default, the claim is
	// left out, and a policy that requires it fails closed.
	//
	// Set it only for relying parties that need the fixed shape. In CEL, with
	// NullUnknown, has(assertion.x) is always true and assertion.x != "prod"
	// admits an unknown x.
	NullUnknown bool

	// Claims makes further claims from those of the table, for relying
	// parties that read a form of their own (AWS session tags). Values are
	// what encoding/json takes. Neither names of the table nor registered
	// ones may be returned. Nil adds nothing. It is called for every token, or
	// once for a [Prepared] one, and must not keep c.
	//
	// A value is refused with a *[ScopeError] when it has, at any depth, a
	// string or name that is not valid UTF-8, half of a surrogate pair, a member
	// name twice in one object (RFC 8259, section 4; \u0061 is the name a), or
	// more than 64 levels. encoding/json replaces invalid UTF-8 by the escape
	// \ufffd, so a [json.RawMessage] writes U+FFFD as the character, not as the
	// escape.
	Claims func(c *Claims) (map[string]any, error) `json:"-"`
}

// isZero reports whether p leaves everything to the default.
func (p *Profile) isZero() bool {
	return p.Subject == "" && p.MaxSubject == 0 && p.Lifetime == 0 && p.Algorithms == nil && !p.NullUnknown && p.Claims == nil
}

const (
	defaultSubject  = "account/{account_id}[:org/{organization_id}][:project/{project_id}]"
	defaultLifetime = 15 * time.Minute
)

var defaultAlgorithms = []string{jws.DefaultAlgorithm}

// settings holds a checked Profile with its defaults filled in.
type settings struct {
	subject     *subject.Template[flatScope]
	maxSubject  int
	lifetime    time.Duration
	algorithms  []string
	nullUnknown bool
	claims      func(*Claims) (map[string]any, error)
}

// profileReader checks profiles against the configuration of one issuer.
type profileReader struct {
	maxLifetime time.Duration
	subjects    subject.Parser[flatScope]
}

func newProfileReader(maxLifetime time.Duration, accountInIssuer bool, extraPrefix string) *profileReader {
	return &profileReader{maxLifetime: maxLifetime, subjects: subject.Parser[flatScope]{
		Claim:           func(name string) *subject.Claim[flatScope] { return subjectClaim(name, extraPrefix) },
		AccountInIssuer: accountInIssuer,
	}}
}

// read fills s with p and with the defaults of what p does not set, and checks it.
// The error's field begins with "Profile.".
func (r *profileReader) read(s *settings, p *Profile) *ScopeError {
	*s = settings{
		lifetime:    p.Lifetime,
		algorithms:  p.Algorithms,
		maxSubject:  p.MaxSubject,
		nullUnknown: p.NullUnknown,
		claims:      p.Claims,
	}
	if s.lifetime == 0 {
		s.lifetime = min(defaultLifetime, r.maxLifetime).Truncate(time.Second)
	}
	if p.ShortenLifetime && s.lifetime > r.maxLifetime {
		s.lifetime = r.maxLifetime.Truncate(time.Second)
	}
	if s.algorithms == nil {
		s.algorithms = defaultAlgorithms
	}
	if s.maxSubject == 0 {
		s.maxSubject = subject.Max
	}
	template := p.Subject
	if template == "" {
		template = defaultSubject
	}
	var reason string
	if s.subject, reason = r.subjects.Parse(template); reason != "" {
		return &ScopeError{"Profile.Subject", reason}
	}
	switch {
	case s.lifetime < time.Second || s.lifetime%time.Second != 0:
		return &ScopeError{"Profile.Lifetime", "is not in whole seconds, at least one"}
	case s.lifetime > r.maxLifetime:
		return &ScopeError{"Profile.Lifetime", "is longer than Config.MaxLifetime"}
	case s.maxSubject < 1 || s.maxSubject > subject.Max:
		return &ScopeError{"Profile.MaxSubject", "is not between 1 and 255 bytes"}
	case len(s.algorithms) == 0:
		return &ScopeError{"Profile.Algorithms", "is empty"}
	}
	for _, name := range s.algorithms {
		if jws.Named(name) == nil {
			return &ScopeError{"Profile.Algorithms", fmt.Sprintf("has %+.20q, which is none", name)}
		}
	}
	return nil
}

// subjectClaim returns the claim that a subject template names: a claim of the
// table, or a host-defined claim, whose name begins with extraPrefix. It returns
// nil for all other names. A host-defined claim is an entity of its own.
func subjectClaim(name, extraPrefix string) *subject.Claim[flatScope] {
	if row := rowOf[name]; row != nil {
		return &subject.Claim[flatScope]{
			Name: row.name, Entity: row.entity(), Value: row.value, Check: row.format.Check, Audit: row.format.Audit,
		}
	}
	if extraPrefix == "" || !strings.HasPrefix(name, extraPrefix) || checkClaimName(name) != "" {
		return nil
	}
	name = strings.Clone(name)
	return &subject.Claim[flatScope]{
		Name: name, Entity: "Extra." + name, Value: func(f *flatScope) string { return f.extra[name] }, Check: text.Check,
	}
}
