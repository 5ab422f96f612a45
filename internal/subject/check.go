package subject

import (
	"strings"

	"github.com/oidctoken/oidctoken/internal/text"
)

// check returns why two scopes that differ in a claim of t could render the same
// subject, or "" if they cannot.
func (p *Parser[S]) check(t *Template[S]) (reason string) {
	if !t.names(func(c *Claim[S]) bool { return true }) {
		return "names no claim outside brackets"
	}
	t.markOnlyOptional()
	if t.mixesEntities() {
		return "has brackets with claims of two entities: give each entity its own brackets"
	}
	if !p.AccountInIssuer && !t.names(func(c *Claim[S]) bool { return c.Name == "account_id" || c.Name == "account_uid" }) {
		return "does not name {account_id} or {account_uid} outside brackets: accounts would share subjects"
	}
	return t.ambiguity()
}

// names reports whether t names a claim that ok accepts outside brackets.
func (t *Template[S]) names(ok func(*Claim[S]) bool) bool {
	for _, s := range t.segments {
		for _, p := range s.parts {
			if !s.optional && p.claim != nil && ok(p.claim) {
				return true
			}
		}
	}
	return false
}

// markOnlyOptional finds the claims that t names only in brackets.
func (t *Template[S]) markOnlyOptional() {
	for _, s := range t.segments {
		for i := range s.parts {
			p := &s.parts[i]
			p.onlyOptional = p.claim != nil && !t.names(func(c *Claim[S]) bool { return c.Name == p.claim.Name })
		}
	}
}

// mixesEntities reports whether one pair of brackets holds claims of two entities,
// each of which may be unknown. Two scopes that know only one of these entities,
// and differ in it, would both render nothing there.
func (t *Template[S]) mixesEntities() bool {
	for _, s := range t.segments {
		entity := ""
		for _, p := range s.parts {
			if !p.onlyOptional {
				continue
			}
			if entity == "" {
				entity = p.claim.Entity
			}
			if p.claim.Entity != entity {
				return true
			}
		}
	}
	return false
}

// ambiguity returns why two scopes could render the same subject, or "" if they
// cannot. A subject can be read back from left to right if two rules hold:
//
//   - A value ends at the first byte that no encoded value has. So a label that
//     begins with such a byte follows each value, or nothing does.
//   - The first label of an optional segment tells whether the segment is there.
//     So no label that may stand in its place begins with it, or the reverse.
func (t *Template[S]) ambiguity() string {
	afterValue := false
	for i, s := range t.segments {
		before := afterValue
		for j, p := range s.parts {
			if afterValue && (p.label == "" || text.Is(p.label[0], text.Unreserved)) {
				return "has a claim that is not followed by a label which begins with a delimiter, such as : or /"
			}
			afterValue = p.claim != nil
			if j == 0 && s.optional {
				for _, next := range t.alternatives(i) {
					if strings.HasPrefix(next, p.label) || strings.HasPrefix(p.label, next) {
						return "has brackets whose label is the beginning of the text that may follow them"
					}
				}
			}
		}
		if s.optional { // the next segment may stand in its place
			afterValue = afterValue || before
		}
	}
	return ""
}

func (s segment[S]) hasClaim() bool {
	for _, p := range s.parts {
		if p.claim != nil {
			return true
		}
	}
	return false
}

// alternatives returns the labels that may stand in the place of optional segment
// i if it is left out. The end of the template differs from every label.
func (t *Template[S]) alternatives(i int) (labels []string) {
	for _, s := range t.segments[i+1:] {
		labels = append(labels, s.parts[0].label)
		if !s.optional {
			break
		}
	}
	return labels
}
