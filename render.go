package oidctoken

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/oidctoken/oidctoken/internal/ident"
	"github.com/oidctoken/oidctoken/internal/strictjson"
)

const (
	maxText       = 1024 // bytes of a value
	maxIdentifier = ident.Max
	maxName       = 256 // bytes of a claim's name
	maxAudience   = 600 // bytes; what Entra takes, and more than anybody else
	maxIssuer     = 255 // bytes; what AWS takes
)

const (
	plainByte      = 1 << iota // printable ASCII that JSON shows as it is
	identifierByte             // of an identifier
	connectorByte              // of a connector's identifier
	unreservedByte             // of RFC 3986, section 2.3: not encoded in a subject
	visibleByte                // printable ASCII without the space
)

// byteClass holds the classes of each byte.
var byteClass = func() (class [256]uint8) {
	for b := range class {
		letter := 'A' <= b && b <= 'Z' || 'a' <= b && b <= 'z' || '0' <= b && b <= '9'
		if 0x20 <= b && b <= 0x7e && b != '"' && b != '\\' {
			class[b] |= plainByte
		}
		if '!' <= b && b <= '~' {
			class[b] |= visibleByte
		}
		if ident.Byte(byte(b)) {
			class[b] |= identifierByte
			if b != '.' {
				class[b] |= connectorByte
			}
		}
		if letter || b == '_' || b == '-' || b == '.' || b == '~' {
			class[b] |= unreservedByte
		}
	}
	return class
}()

// consists reports whether every byte of s is of the class. It does not stop at
// the first that is not: a branch for each byte costs more than the rest of s.
func consists(s string, class uint8) bool {
	for i := range len(s) {
		class &= byteClass[s[i]]
	}
	return class != 0
}

// checkText says why s is not a value, "" if it is one.
func checkText(s string) string {
	if len(s) > maxText {
		return "is longer than 1024 bytes"
	}
	if consists(s, plainByte) {
		return ""
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return "is not valid UTF-8"
			}
		}
		if unicode.IsControl(r) {
			return "has a control character"
		}
	}
	return ""
}

// checkAudience says why s is not an audience, "" if it is one.
func checkAudience(s string) string {
	switch {
	case s == "":
		return "is required"
	case len(s) > maxAudience:
		return "is longer than 600 bytes"
	}
	if !consists(s, visibleByte) {
		return "is not printable ASCII without spaces"
	}
	return ""
}

// appendJSON appends s, which has no control characters and is valid UTF-8,
// as the inside of a JSON string.
func appendJSON(dst []byte, s string) []byte {
	if consists(s, plainByte) {
		return append(dst, s...)
	}
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return dst
}

// appendPercent appends s, percent-encoded but for the unreserved.
func appendPercent(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	if consists(s, unreservedByte) {
		return append(dst, s...)
	}
	for i := range len(s) {
		if b := s[i]; byteClass[b]&unreservedByte != 0 {
			dst = append(dst, b)
		} else {
			dst = append(dst, '%', hex[b>>4], hex[b&15])
		}
	}
	return dst
}

// rows are the table's, as appendTable wants them: the name as it stands in a
// payload, with the quote that begins a value, and the part of a Scope that the
// value is in.
var rows = func() []row {
	rows := make([]row, len(table))
	for i, c := range table {
		rows[i] = row{`,"` + c.name + `":"`, partOf(c.field)}
	}
	return rows
}()

type row struct {
	key  string
	part parts
}

// appendTable appends the members of the table, each with a comma before it.
func (f *facts) appendTable(dst []byte, nullUnknown bool) ([]byte, error) {
	for i := range table {
		c, r, v := &table[i], &rows[i], ""
		if r.part&^f.known == 0 {
			v = c.value(f)
		}
		plain := v != "" && v[0] != '.' && len(v) <= c.format.most && consists(v, c.format.class)
		if v != "" && !plain {
			if reason := c.format.check(v); reason != "" && c.format.audit {
				v = ""
			} else if reason != "" {
				return nil, &ScopeError{c.field, reason}
			}
		}
		switch {
		case plain:
			dst = append(append(append(dst, r.key...), v...), '"')
		case v != "":
			dst = append(appendJSON(append(dst, r.key...), v), '"')
		case nullUnknown:
			dst = append(dst, r.key...)
			dst = append(dst[:len(dst)-1], "null"...)
		}
	}
	return dst, nil
}

// names are those of claims beyond the table, in lower case, and as they are
// written.
type names map[string]string

// add says why a name cannot stand beside those before it, "" if it can. Two
// that differ by letter case only are one to a careless verifier, which takes
// either.
func (n names) add(name string) (reason string) {
	lower := strings.ToLower(name)
	other, there := n[lower]
	switch {
	case there && other == name:
		return "is a name of Extra, too"
	case there:
		return "differs from another name in letter case only"
	}
	n[lower] = name
	return ""
}

// extraField is the path of a host-defined claim, for errors.
func extraField(name string) string { return fmt.Sprintf("Extra[%+.64q]", name) }

// appendExtra appends the host's own claims, in the order of their names.
func appendExtra(dst []byte, extra map[string]string, prefix string, taken names) ([]byte, error) {
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		field := extraField(name)
		if reason := checkClaimName(name); reason != "" {
			return nil, &ScopeError{field, reason}
		}
		if prefix == "" || !strings.HasPrefix(name, prefix) {
			return nil, &ScopeError{field, "does not begin with Config.ExtraPrefix"}
		}
		reason := taken.add(name)
		switch v := extra[name]; {
		case reason != "":
		case v == "":
			reason = "is empty"
		default:
			reason = checkText(v)
		}
		if reason != "" {
			return nil, &ScopeError{field, reason}
		}
		dst = append(append(append(dst, `,"`...), name...), `":"`...)
		dst = append(appendJSON(dst, extra[name]), '"')
	}
	return dst, nil
}

// appendMade appends what the profile made from the table.
func appendMade(dst []byte, made map[string]any, taken names) ([]byte, error) {
	for _, name := range slices.Sorted(maps.Keys(made)) {
		reason := checkClaimName(name)
		if reason == "" {
			reason = taken.add(name)
		}
		value, err := json.Marshal(made[name])
		switch {
		case err != nil:
			reason = "cannot be encoded: " + err.Error()
		case reason == "":
			reason = strictjson.Check(value)
		}
		if reason != "" {
			return nil, &ScopeError{fmt.Sprintf("Profile.Claims[%+.64q]", name), reason}
		}
		dst = append(append(append(dst, `,"`...), name...), `":`...)
		dst = append(dst, value...)
	}
	return dst, nil
}

// checkClaimName says why a name cannot be a claim beside those of the table,
// "" if it can. Names that differ from one of ours by letter case only would
// shadow it in a careless verifier (RFC 7519, section 4).
func checkClaimName(name string) string {
	if name == "" || len(name) > maxName || !consists(name, plainByte) {
		return "is not a claim's name: 1 to 256 bytes of printable ASCII"
	}
	lower := strings.ToLower(name)
	if rowOf[lower] != nil || slices.Contains(registered, lower) {
		return "is the name of a claim of this package"
	}
	return ""
}
