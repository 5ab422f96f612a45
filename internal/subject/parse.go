// Package subject parses templates of the claim "sub" and renders them. It accepts
// a template only if it is injective: two scopes that differ in a claim that the
// template names never render the same subject.
package subject

import (
	"strings"
	"sync"

	"github.com/oidctoken/oidctoken/internal/ident"
	"github.com/oidctoken/oidctoken/internal/text"
)

const (
	// Max is the length of the longest subject, in bytes (OpenID Connect Core 1.0,
	// section 2).
	Max = 255

	maxTemplate = 4096 // bytes; all claims of the table, each in brackets, take 3 kB
	maxParsed   = 1024 // templates that a Parser keeps
)

// Claim is a claim that a template can name. S holds the values of claims.
type Claim[S any] struct {
	Name   string
	Entity string          // the owner of the claim, such as "Organization"
	Value  func(*S) string // returns "" if the claim is unknown

	// Check returns why a value cannot be rendered, or "". It is called for values
	// that are longer than a claim may be, and for every value if Audit is set.
	Check func(value string) (reason string)

	// Audit marks a claim whose invalid values are left out of a token. A subject
	// cannot leave them out.
	Audit bool
}

// Template is a parsed template.
type Template[S any] struct{ segments []segment[S] }

// segment is a run of the template that is either optional (in brackets) or
// mandatory.
type segment[S any] struct {
	optional bool
	parts    []part[S]
}

// part is a fixed label, then a claim's value. Either may be missing.
type part[S any] struct {
	label        string
	claim        *Claim[S]
	onlyOptional bool // the template names the claim only in brackets
}

// Parser parses templates and keeps the results. When it is full, it parses
// further templates at each call, so that a host with endless templates costs time
// and no memory. It is safe for concurrent use.
type Parser[S any] struct {
	// Claim returns the claim of that name, or nil.
	Claim func(name string) *Claim[S]

	// AccountInIssuer permits templates that do not name the account, because each
	// account has an issuer identifier of its own.
	AccountInIssuer bool

	mu     sync.RWMutex
	parsed map[string]*Template[S]
}

// Parse returns the parsed template. reason tells why it is refused, as words that
// follow the field's name, and is "" if it is valid.
func (p *Parser[S]) Parse(template string) (_ *Template[S], reason string) {
	p.mu.RLock()
	t := p.parsed[template]
	p.mu.RUnlock()
	if t != nil {
		return t, ""
	}
	t, reason = p.parse(template)
	if reason != "" {
		return nil, reason
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.parsed) < maxParsed {
		if p.parsed == nil {
			p.parsed = make(map[string]*Template[S])
		}
		p.parsed[strings.Clone(template)] = t
	}
	return t, ""
}

func (p *Parser[S]) parse(template string) (_ *Template[S], reason string) {
	if len(template) > maxTemplate {
		return nil, "is a template of more than 4096 bytes"
	}
	t := new(Template[S])
	for rest := template; rest != ""; {
		var s segment[S]
		inner := rest
		if rest[0] == '[' {
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return nil, "has a [ without its ]"
			}
			s.optional, inner, rest = true, rest[1:end], rest[end+1:]
		} else {
			end := strings.IndexByte(rest, '[')
			if end < 0 {
				end = len(rest)
			}
			inner, rest = rest[:end], rest[end:]
		}
		if reason := p.parseSegment(&s, inner); reason != "" {
			return nil, reason
		}
		if s.optional && (!s.hasClaim() || s.parts[0].label == "") {
			return nil, "has brackets that do not contain a label and then a claim"
		}
		t.segments = append(t.segments, s)
	}
	return t, p.check(t)
}

// parseSegment parses the text in brackets, or between brackets.
func (p *Parser[S]) parseSegment(s *segment[S], template string) (reason string) {
	for template != "" {
		open := strings.IndexAny(template, "{}[]")
		if open < 0 {
			open = len(template)
		}
		next := part[S]{label: template[:open]}
		if strings.ContainsFunc(next.label, cannotBeInLabel) {
			return "has a character that a label cannot have"
		}
		template = template[open:]
		if template != "" {
			end := strings.IndexByte(template, '}')
			if template[0] != '{' || end < 0 {
				return "has a bracket out of place"
			}
			name := template[1:end]
			if next.claim = p.Claim(name); next.claim == nil {
				return "names " + quoteName(name) + ", which is not a claim"
			}
			template = template[end+1:]
		}
		s.parts = append(s.parts, next)
	}
	return ""
}

func cannotBeInLabel(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`%"\`, r) }

// quoteName returns a name of a template in braces. It shows only names that could
// be identifiers, since a template may hold any text there.
func quoteName(name string) string {
	if len(name) > ident.Max || !text.All(name, text.Identifier) {
		return "{...}"
	}
	return "{" + name + "}"
}
