package pipeline

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/oidctoken/oidctoken/internal/near"
)

// field is a key of a mapping, and what reads its value.
type field struct {
	names []string // any of which is the key
	read  func(n *node, path string) error
}

// schema has all keys of a mapping.
type schema []field

// reader reads a file's nodes and remembers where they were.
type reader struct {
	lines map[string]int // by path
}

// mapping reads n by a schema. hint explains a key that the schema does not
// have; it may be nil.
func (r *reader) mapping(n *node, path string, s schema, hint func(key string) string) error {
	if n.null || n.kind == mapping && len(n.entries) == 0 {
		return r.fail(path, "is empty")
	}
	if n.kind != mapping {
		return r.fail(path, "is %s, where a mapping is wanted", n.kind)
	}
	first := make(map[int]string)
	for _, e := range n.entries {
		at := join(path, e.key)
		r.lines[at] = e.line
		if e.value.kind == scalar || e.value.line == 0 {
			r.lines[at] = e.value.line
		}
		i := s.find(e.key)
		if i < 0 {
			r.lines[at] = e.line
			return r.fail(at, "is not a key here%s", s.hint(e.key, hint))
		}
		// A value of -set replaces the file's value under any spelling of the key.
		if other, ok := first[i]; ok && e.line != 0 {
			return r.fail(at, "is given twice, first as %s", other)
		}
		first[i] = e.key
		if err := s[i].read(e.value, at); err != nil {
			return err
		}
	}
	return nil
}

func (s schema) find(key string) int {
	for i, f := range s {
		for _, name := range f.names {
			if name == key {
				return i
			}
		}
	}
	return -1
}

// hint returns where a key belongs that s does not have, or the nearest key.
func (s schema) hint(key string, more func(string) string) string {
	if more != nil {
		if place := more(key); place != "" {
			return ": it belongs to " + place
		}
	}
	var known []string
	for _, f := range s {
		known = append(known, f.names...)
	}
	return nearest(key, known)
}

// fail returns an error about what stands at a path.
func (r *reader) fail(path, format string, args ...any) error {
	line, known := r.lines[path]
	field := path
	if path == "" {
		field = whole
	}
	if !known {
		line = 1
	}
	return &Error{Line: line, Field: field, Reason: fmt.Sprintf(format, args...)}
}

// missing returns an error about a key that the mapping at path does not have, or
// has with nothing in it.
func (r *reader) missing(path, key string) error {
	at := join(path, key)
	if _, there := r.lines[at]; !there {
		line, known := r.lines[path]
		if !known {
			line = 1
		}
		r.lines[at] = line
	}
	return r.fail(at, "is required")
}

// list reads the elements of a list. Null is a list of none.
func (r *reader) list(n *node, path string, read func(i int, n *node) error) error {
	if n.null {
		return nil
	}
	if n.kind != list {
		return r.fail(path, "is %s, where a list is wanted", n.kind)
	}
	for i, item := range n.items {
		if err := read(i, item); err != nil {
			return err
		}
	}
	return nil
}

// text returns the text of a scalar, without YAML's interpretation. A missing
// value is the empty text.
func (r *reader) text(n *node, path string) (string, error) {
	switch {
	case n.kind != scalar:
		return "", r.fail(path, "is %s, where a text is wanted", n.kind)
	case n.null && n.text != "":
		return "", r.fail(path, "is %s: write it in quotes, or nothing", n.text)
	}
	return n.text, nil
}

// value returns a text that describes the execution. The issuer checks the format
// and the length of claims. Control characters are refused here, also in texts
// that no claim holds.
func (r *reader) value(n *node, path string) (string, error) {
	if n.kind != scalar {
		return "", r.fail(path, "is %s, where a text is wanted", n.kind)
	}
	switch {
	case n.null || n.text == "":
		// An empty value must not mean "unknown": an organization that a script
		// failed to fill in would move the run up to its account.
		return "", r.fail(path, "is empty: leave the key out if the value is unknown")
	case strings.IndexFunc(n.text, unicode.IsControl) >= 0:
		return "", r.fail(path, "has a control character")
	}
	return n.text, nil
}

// bool returns a truth value, in quotes or not.
func (r *reader) bool(n *node, path string) (bool, error) {
	switch n.text { // empty for a value that is not a scalar
	case "true", "True", "TRUE", "1":
		return true, nil
	case "false", "False", "FALSE", "0":
		return false, nil
	}
	return false, r.fail(path, "is neither true nor false")
}

// duration returns a positive duration as time.ParseDuration reads it; empty
// means the default, 0.
func (r *reader) duration(n *node, path string) (time.Duration, error) {
	s, err := r.text(n, path)
	if s == "" || err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, r.fail(path, "is not a duration, such as 1h or 30m")
	}
	if d <= 0 || d%time.Second != 0 {
		return 0, r.fail(path, "is not a positive number of whole seconds")
	}
	return d, nil
}

// texts returns a list of texts, none of them empty or twice.
func (r *reader) texts(n *node, path string) ([]string, error) {
	values := []string{}
	seen := make(map[string]bool)
	err := r.list(n, path, func(i int, item *node) error {
		at := fmt.Sprintf("%s[%d]", path, i)
		r.lines[at] = item.line
		s, err := r.text(item, at)
		switch {
		case err != nil:
			return err
		case s == "":
			return r.fail(at, "is empty")
		case seen[s]:
			return r.fail(at, "is given twice")
		}
		seen[s] = true
		values = append(values, s)
		return nil
	})
	return values, err
}

// variables reads a mapping of names to texts, in the file's order. name
// returns why a name is refused. Null is an empty mapping.
func (r *reader) variables(n *node, path string, name func(string) string) ([]Text, error) {
	if n.null {
		return nil, nil
	}
	if n.kind != mapping {
		return nil, r.fail(path, "is %s, where a mapping is wanted", n.kind)
	}
	var texts []Text
	for _, e := range n.entries {
		at := join(path, e.key)
		r.lines[at] = e.value.line
		s, err := r.text(e.value, at)
		if err != nil {
			return nil, err
		}
		if reason := name(e.key); reason != "" {
			r.lines[at] = e.line
			return nil, r.fail(at, "%s", reason)
		}
		texts = append(texts, Text{e.key, s, e.value.line})
	}
	return texts, nil
}

// nearest returns a question after the known name that is most like s; empty if
// none is.
func nearest(s string, known []string) string {
	if len(s) > 64 {
		return ""
	}
	best, limit := "", min(len(s)/2, 3)
	for _, k := range known {
		d := near.Distance(strings.ToLower(s), strings.ToLower(k))
		if strings.HasPrefix(k, s) { // an abbreviation
			d = 1
		}
		if d <= limit && (best == "" || d < limit) {
			best, limit = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": was %q meant?", best)
}
