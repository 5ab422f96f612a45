package subject

import "github.com/oidctoken/oidctoken/internal/text"

// Error reports a claim whose value cannot be rendered.
type Error struct {
	Claim  string // its name
	Reason string // continues the field's name, such as "is unknown"
}

// Append appends the subject of a scope whose claims are in from.
func (t *Template[S]) Append(dst []byte, from *S) ([]byte, *Error) {
	for i := range t.segments {
		s := &t.segments[i]
		out, err := s.leftOut(from)
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
			v := p.claim.Value(from)
			// The caller checks other values when it renders the claims.
			if p.claim.Audit || len(v) > text.Max {
				if reason := p.claim.Check(v); reason != "" {
					return nil, &Error{p.claim.Name, reason}
				}
			}
			dst = text.AppendPercent(dst, v)
		}
	}
	return dst, nil
}

// leftOut reports whether s is in brackets and all its claims are unknown. It fails
// if a required claim is unknown: one that stands outside brackets, or beside a
// known claim of the same entity.
func (s *segment[S]) leftOut(from *S) (bool, *Error) {
	var missing *part[S]
	var known *Claim[S]
	for i := range s.parts {
		p := &s.parts[i]
		switch {
		case p.claim == nil:
		case p.claim.Value(from) == "":
			if missing == nil {
				missing = p
			}
		case p.onlyOptional:
			known = p.claim
		}
	}
	switch {
	case missing == nil:
		return false, nil
	case !missing.onlyOptional:
		return false, &Error{missing.claim.Name, "is unknown, but the profile's subject requires it"}
	case known != nil:
		return false, &Error{missing.claim.Name, "is unknown, but the profile's subject names it beside " + quoteName(known.Name) + ", which is known"}
	}
	return true, nil
}
