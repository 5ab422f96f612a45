package oidctoken

import (
	"fmt"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/jws"
	"github.com/oidctoken/oidctoken/internal/subject"
	"github.com/oidctoken/oidctoken/internal/text"
)

// Profile adapts a token to one relying party, since each cloud has limits of its
// own. The zero value uses the default of every field. A Profile must not change
// after its first use.
type Profile struct {
	// Subject is the template of "sub". Optional, by default
	//
	//	account/{account_id}[:org/{organization_id}][:project/{project_id}]
	//
	// {claim} stands for the value of a claim of the table or of Scope.Extra. All
	// bytes of the value except A-Z a-z 0-9 - . _ ~ are percent-encoded. Outside
	// brackets, an unknown claim is an error.
	//
	// A part in [ ] is optional. It begins with a label and names claims of one
	// entity, such as [:org/{organization_id}@{organization_uid}]. It is left out if
	// all these claims are unknown. If only some of them are known, that is an error.
	// The part may also repeat claims that the template names outside brackets. A
	// host-defined claim is an entity of its own.
	//
	// Everything else is a fixed label. Two scopes that differ in a claim that the
	// template names never render the same subject. A template is refused if this
	// cannot be shown. It is also refused if it does not name {account_id} or
	// {account_uid} outside brackets, unless Config.URL has {account_id}.
	//
	// Two different templates can render the same subject: account/{account_id}:project/ledger
	// spells out in a label what another template renders from a claim. So the host
	// chooses the templates, or a person who is trusted with every token of the
	// issuer. A tenant must never choose one.
	Subject string

	// MaxSubject is the maximum length of "sub" in bytes, at most 255 (OpenID Connect
	// Core 1.0, section 2). Optional, 255 by default. A longer subject is refused; it
	// is never cut.
	MaxSubject int

	// Lifetime is "exp" - "iat", in whole seconds. Optional, 15 minutes by
	// default, or the issuer's MaxLifetime if that is less.
	Lifetime time.Duration

	// ShortenLifetime replaces a Lifetime that is longer than the issuer's MaxLifetime
	// by that MaxLifetime, in whole seconds. By default, such a Lifetime is refused.
	ShortenLifetime bool

	// Algorithms lists the values of "alg" (RFC 7518, section 3.1; RFC 8037) that the
	// relying party accepts, in order of preference. Optional, RS256 by default.
	Algorithms []string

	// NullUnknown sets unknown claims to null, so that every claim of the table is
	// always present. By default, unknown claims are left out, and a policy that
	// requires such a claim fails closed.
	//
	// Set it only for relying parties that need a fixed set of claims. In CEL,
	// has(assertion.x) is then always true, and assertion.x != "prod" is true for an
	// unknown x.
	NullUnknown bool

	// Claims computes more claims from the claims of the table, for relying parties
	// that read a form of their own, such as AWS session tags. It returns values that
	// encoding/json can encode. It must not return a name of the table or of a
	// registered claim, and must not keep c. Optional. Claims is called for every
	// token, or once for a [Prepared].
	//
	// A value is refused with a *[ScopeError] if it has, at any depth,
	//
	//   - a string or name that is not valid UTF-8, or half of a surrogate pair;
	//   - a member name twice in one object (RFC 8259, section 4), where \u0061 is
	//     the same name as a;
	//   - more than 64 levels.
	//
	// encoding/json replaces invalid UTF-8 by the escape \ufffd, so that escape is
	// refused. A [json.RawMessage] can contain U+FFFD as the character itself.
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
			return &ScopeError{"Profile.Algorithms", fmt.Sprintf("has %+.20q, which is not one of %s", name, strings.Join(jws.Names(), ", "))}
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
