package oidctoken

import "strings"

const (
	maxSubject  = 255  // bytes; OpenID Connect Core 1.0, section 2
	maxTemplate = 4096 // bytes; every claim of the table in brackets of its own takes 3 kB
)

// subject is a parsed subject template.
type subject struct{ segments []segment }

// segment is a run of the template, either all optional or all mandatory.
type segment struct {
	optional bool
	parts    []part
}

// part is a fixed label, then a claim's value. Either may be missing.
type part struct {
	label string
	claim *claim
	own   bool // the claim is named in brackets only
}

// parseSubject parses a template and shows that it is injective; reason says
// why it is refused. Names that begin with extraPrefix are host-defined claims.
func parseSubject(template string, accountInIssuer bool, extraPrefix string) (_ *subject, reason string) {
	if len(template) > maxTemplate {
		return nil, "is a template of more than 4096 bytes"
	}
	t := new(subject)
	for rest := template; rest != ""; {
		var s segment
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
		if reason := s.parse(inner, extraPrefix); reason != "" {
			return nil, reason
		}
		if s.optional && (!s.hasClaim() || s.parts[0].label == "") {
			return nil, "has brackets that do not hold a label and then a claim"
		}
		t.segments = append(t.segments, s)
	}
	if !t.names(false, func(c *claim) bool { return true }) {
		return nil, "names no claim outside brackets"
	}
	t.markOwn()
	if t.loses() {
		return nil, "has brackets with claims of two entities: a scope that knows one of them would lose it"
	}
	if !accountInIssuer && !t.names(false, func(c *claim) bool { return c.name == "account_id" || c.name == "account_uid" }) {
		return nil, "does not name {account_id} or {account_uid} outside brackets: accounts would share subjects"
	}
	return t, t.ambiguity()
}

// parse parses what stands in, or between, brackets.
func (s *segment) parse(text, extraPrefix string) (reason string) {
	for text != "" {
		open := strings.IndexAny(text, "{}[]")
		if open < 0 {
			open = len(text)
		}
		p := part{label: text[:open]}
		if i := strings.IndexFunc(p.label, isNoLabel); i >= 0 {
			return "has a character that a label cannot have"
		}
		text = text[open:]
		if text != "" {
			end := strings.IndexByte(text, '}')
			if text[0] != '{' || end < 0 {
				return "has a bracket out of place"
			}
			name := text[1:end]
			if p.claim = claimNamed(name, extraPrefix); p.claim == nil {
				return "names " + quoteName(name) + ", which is no claim of the table"
			}
			text = text[end+1:]
		}
		s.parts = append(s.parts, p)
	}
	return ""
}

func isNoLabel(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`%"\`, r) }

// quoteName shows a name of a template, which may be anything.
func quoteName(name string) string {
	if len(name) > maxIdentifier || !consists(name, identifierByte) {
		return "{...}"
	}
	return "{" + name + "}"
}

// claimNamed returns the claim of that name: a row of the table, or one that the
// host defines; nil if it is neither.
func claimNamed(name, extraPrefix string) *claim {
	if row := rowOf[name]; row != nil {
		return row
	}
	if extraPrefix == "" || !strings.HasPrefix(name, extraPrefix) || checkClaimName(name) != "" {
		return nil
	}
	name = strings.Clone(name)
	return &claim{name: name, field: extraField(name), format: text, value: func(f *facts) string { return f.extra[name] }}
}

// names reports whether a claim that ok accepts is named in a segment.
func (t *subject) names(optional bool, ok func(*claim) bool) bool {
	for _, s := range t.segments {
		for _, p := range s.parts {
			if s.optional == optional && p.claim != nil && ok(p.claim) {
				return true
			}
		}
	}
	return false
}

// markOwn finds the claims that are named in brackets only.
func (t *subject) markOwn() {
	for _, s := range t.segments {
		for i := range s.parts {
			p := &s.parts[i]
			p.own = p.claim != nil && !t.names(false, func(c *claim) bool { return c.name == p.claim.name })
		}
	}
}

// loses reports whether brackets hold claims of two entities, each of which may
// be unknown. Of two scopes that know only one of these, and differ in it, both
// would render nothing there.
func (t *subject) loses() bool {
	for _, s := range t.segments {
		entity := ""
		for _, p := range s.parts {
			if !p.own {
				continue
			}
			if entity == "" {
				entity = p.claim.entity()
			}
			if p.claim.entity() != entity {
				return true
			}
		}
	}
	return false
}

// ambiguity says why two scopes could render the same subject, "" if they
// cannot. A subject is read back from left to right: a value ends at the first
// byte that no encoded value has, since a label with such a byte, or nothing,
// follows it; which optional segment comes next is told by its first label,
// since none of those possible there begins with another.
func (t *subject) ambiguity() string {
	afterValue := false
	for i, s := range t.segments {
		before := afterValue
		for j, p := range s.parts {
			if afterValue && (p.label == "" || byteClass[p.label[0]]&unreservedByte != 0) {
				return "has a claim that is not followed by a label which begins with a delimiter, such as : or /"
			}
			afterValue = p.claim != nil
			if j == 0 && s.optional {
				for _, next := range t.alternatives(i) {
					if strings.HasPrefix(next, p.label) || strings.HasPrefix(p.label, next) {
						return "has brackets that cannot be told from what follows them"
					}
				}
			}
		}
		if s.optional { // what follows may stand in its place
			afterValue = afterValue || before
		}
	}
	return ""
}

func (s segment) hasClaim() bool {
	for _, p := range s.parts {
		if p.claim != nil {
			return true
		}
	}
	return false
}

// alternatives are the labels that may stand where optional segment i does,
// if that is left out. The end of the template is told from every label.
func (t *subject) alternatives(i int) (labels []string) {
	for _, s := range t.segments[i+1:] {
		labels = append(labels, s.parts[0].label)
		if !s.optional {
			break
		}
	}
	return labels
}

// append appends the subject of f.
func (t *subject) append(dst []byte, f *facts) ([]byte, error) {
	for i := range t.segments {
		s := &t.segments[i]
		out, err := s.leftOut(f)
		if err != nil {
			return nil, err
		}
		if out {
			continue
		}
		for i := range s.parts {
			p := &s.parts[i]
			dst = append(dst, p.label...)
			if p.claim == nil {
				continue
			}
			v := p.claim.value(f)
			// appendTable checks other values, and refuses them, later.
			if p.claim.format.audit || len(v) > maxText {
				if reason := p.claim.format.check(v); reason != "" {
					return nil, &ScopeError{p.claim.field, reason}
				}
			}
			dst = appendPercent(dst, v)
		}
	}
	return dst, nil
}

// leftOut reports whether s is in brackets and f knows none of its claims. It
// fails if f does not know a claim that has to be known: one that is named
// outside brackets, or beside a known claim of the same entity.
func (s *segment) leftOut(f *facts) (bool, error) {
	var missing *part
	var known *claim
	for i := range s.parts {
		p := &s.parts[i]
		switch {
		case p.claim == nil:
		case p.claim.value(f) == "":
			if missing == nil {
				missing = p
			}
		case p.own:
			known = p.claim
		}
	}
	switch {
	case missing == nil:
		return false, nil
	case !missing.own:
		return false, &ScopeError{missing.claim.field, "is unknown, and the profile's subject demands it"}
	case known != nil:
		return false, &ScopeError{missing.claim.field, "is unknown, and the profile's subject names it beside " + quoteName(known.name) + ", which is known"}
	}
	return true, nil
}
