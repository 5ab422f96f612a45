package pipeline

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// set applies a KEY=VALUE to a file. KEY is a path such as
// connectors[account.gcp_prod].gcp.tokenURL: what stands in brackets is the id
// of an element, an element that is a scalar, or a key that is no name.
func set(root *node, assignment string) error {
	fail := func(key, format string, args ...any) error {
		return &Error{Field: key, Reason: fmt.Sprintf(format, args...)}
	}
	segments, value, ok := splitSet(assignment)
	key := oneLine(assignment[:len(assignment)-len(value)])
	if !ok {
		return fail(fmt.Sprintf("%+.64q", assignment), "is not KEY=VALUE, with a KEY such as stages[build].type")
	}
	key = strings.TrimSuffix(key, "=")
	if !utf8.ValidString(value) || strings.IndexByte(value, 0) >= 0 {
		return fail(key, "is not text in UTF-8")
	}
	at := &root
	for _, s := range segments {
		if *at == nil {
			*at = &node{null: true}
		}
		next, reason := s.in(*at)
		if reason != "" {
			return fail(key, "%s", reason)
		}
		at = next
	}
	if *at != nil && (*at).kind != scalar {
		return fail(key, "is %s in the file: only a scalar can be set", (*at).kind)
	}
	*at = &node{text: value}
	return nil
}

// segment is a part of a KEY.
type segment struct {
	name     string
	selector bool   // it stood in brackets
	list     string // the name before it, for a selector
}

// splitSet splits KEY=VALUE. If s has another form, ok is false and value is
// empty.
func splitSet(s string) (segments []segment, value string, ok bool) {
	for rest := s; ; {
		n := len(rest) - len(strings.TrimLeft(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"))
		if n == 0 {
			return nil, "", false
		}
		name := rest[:n]
		segments = append(segments, segment{name: name})
		rest = rest[n:]
		for strings.HasPrefix(rest, "[") {
			end := closing(rest)
			if end < 2 {
				return nil, "", false
			}
			segments = append(segments, segment{name: rest[1:end], selector: true, list: name})
			rest = rest[end+1:]
		}
		switch {
		case strings.HasPrefix(rest, "="):
			return segments, rest[1:], true
		case !strings.HasPrefix(rest, "."):
			return nil, "", false
		}
		rest = rest[1:]
	}
}

// closing returns the index of the bracket that closes the first one of s, or
// -1.
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// in returns the place in n that s names. A mapping without it gets it, with
// the value nil.
func (s segment) in(n *node) (_ **node, reason string) {
	switch {
	case n.kind == list && s.selector:
		for i, item := range n.items {
			if item.kind == scalar && item.text == s.name || item.kind == mapping && elementID(s.list, item) == s.name {
				return &n.items[i], ""
			}
		}
		return nil, fmt.Sprintf("there is no %+.64q in %s", s.name, s.list)
	case n.kind == list:
		return nil, "the id of an element has to stand in brackets before ." + s.name
	case n.kind == scalar && s.selector:
		return nil, fmt.Sprintf("there is no %+.64q in %s, which has no elements", s.name, s.list)
	case n.null:
		*n = node{kind: mapping}
	case n.kind == scalar:
		// In a file, a scalar is short for its id; and so the rest can be added.
		*n = node{kind: mapping, entries: []entry{{"id", n.line, &node{line: n.line, text: n.text}}}}
	}
	for i := range n.entries {
		if n.entries[i].key == s.name {
			return &n.entries[i].value, ""
		}
	}
	n.entries = append(n.entries, entry{key: s.name})
	return &n.entries[len(n.entries)-1].value, ""
}

// elementID returns the id of an element of the list of that name; empty if it has
// none.
func elementID(listName string, element *node) string {
	id := element.get(names(strings.TrimSuffix(listName, "s"), "ID")...)
	if id == nil || id.kind != scalar || id.null {
		return ""
	}
	return id.text
}
