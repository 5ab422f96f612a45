package tokenhttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxToken  = 16 << 10 // bytes
	maxExpiry = 24 * time.Hour

	maxDepth   = 32   // of objects and arrays
	maxMembers = 1024 // in one JSON text
	maxName    = 258  // bytes of a member's name, as it stands there, with its quotes
)

func malformed(reason string) error { return &Error{Kind: Malformed, Reason: reason} }

// CheckToken refuses a token of a cloud that is empty, longer than 16 KiB, or
// has a byte other than the visible ones of ASCII, since it ends up in
// headers, files and environments. The error is an *Error of Kind Malformed,
// and does not repeat the token.
func CheckToken(token string) error {
	switch {
	case token == "":
		return malformed("the token is empty")
	case len(token) > maxToken:
		return malformed("the token is longer than 16 KiB")
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] >= 0x7f {
			return malformed("the token has a byte that is not visible ASCII")
		}
	}
	return nil
}

// ExpiresIn reads "expires_in" (RFC 6749, section 5.1; RFC 8693, section
// 2.2.1): a JSON number of whole seconds in plain digits, from 1 s to 24 h.
// Empty raw means that the member is missing, which is refused too. The error
// is an *Error of Kind Malformed.
func ExpiresIn(raw json.RawMessage) (time.Duration, error) {
	if len(raw) == 0 {
		return 0, malformed("expires_in is missing")
	}
	digits := string(raw[:min(len(raw), 20)]) // enough to be out of range
	if strings.Trim(digits, "0123456789") != "" {
		return 0, malformed("expires_in is not a whole number of seconds")
	}
	seconds, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || seconds < 1 || seconds > uint64(maxExpiry/time.Second) || digits[0] == '0' {
		return 0, malformed("expires_in is not from 1 s to 24 h")
	}
	return time.Duration(seconds) * time.Second, nil
}

// DecodeJSON decodes body into v as [json.Unmarshal] does, with two
// differences: a member belongs to a field only if the names are equal byte for
// byte (RFC 8259, section 8.3), not also when they differ in case, and v is a
// struct without two fields of such names. And body must be one JSON object and
// nothing else: valid UTF-8, no two members of one object whose names are equal
// or differ only in case, at most 32 levels deep and 1024 members, with names of
// at most 256 bytes. Members that v has no place for are ignored.
//
// What decodes itself, such as a json.RawMessage, is not looked into: decode that
// with DecodeJSON too. A name there that differs only in case from one of v's
// fields has become "????". The error is an *Error of Kind Malformed, and repeats nothing of body.
func DecodeJSON(body []byte, v any) error {
	if !utf8.Valid(body) || !json.Valid(body) {
		return malformed("the answer is not JSON")
	}
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); trimmed[0] != '{' {
		return malformed("the answer is not a JSON object")
	}
	body, err := checkShape(body, fieldNames(reflect.TypeOf(v)))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		var mismatch *json.UnmarshalTypeError
		if errors.As(err, &mismatch) && mismatch.Field != "" { // a path of v's names
			return malformed("the answer's " + mismatch.Field + " has the wrong type")
		}
		return malformed("the answer does not have the expected members")
	}
	return nil
}

// checkShape looks for members that stand twice, and for too much of anything,
// in valid JSON. It returns text without the names that encoding/json would take
// for one of fields although they differ from it. It copies nothing else: a
// Decoder would copy the text.
func checkShape(text []byte, fields map[string]string) ([]byte, error) {
	type level struct {
		object bool
		first  int // of its names in names
	}
	var (
		open    []level
		names   []string // of all objects that are open, folded
		members int
		name    bool // the next string is a member's name
		copied  bool
	)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '{', '[':
			if len(open) == maxDepth {
				return nil, malformed("the answer is nested too deeply")
			}
			name = c == '{'
			open = append(open, level{name, len(names)})
		case '}', ']':
			names = names[:open[len(open)-1].first]
			open = open[:len(open)-1]
		case ',':
			name = open[len(open)-1].object
		case '"':
			n := stringLen(text[i:])
			if name {
				name = false
				if members++; members > maxMembers || n > maxName {
					return nil, malformed("the answer has too many members, or too long ones")
				}
				var exact string
				if err := json.Unmarshal(text[i:i+n], &exact); err != nil {
					return nil, malformed("the answer is not JSON")
				}
				folded := strings.Map(fold, exact)
				if slices.Contains(names[open[len(open)-1].first:], folded) {
					return nil, malformed("the answer has a member twice")
				}
				names = append(names, folded)
				if field, ok := fields[folded]; ok && field != exact {
					if !copied {
						text, copied = bytes.Clone(text), true
					}
					for k := i + 1; k < i+n-1; k++ {
						text[k] = '?' // in no field's name
					}
				}
			}
			i += n - 1
		}
	}
	return text, nil
}

// fieldNames returns the names that encoding/json knows in t and in the types of
// its fields, by their folded form.
func fieldNames(t reflect.Type) map[string]string {
	names := make(map[string]string)
	seen := make(map[reflect.Type]bool)
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		switch {
		case seen[t], reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()):
			return
		case t.Kind() == reflect.Pointer, t.Kind() == reflect.Slice, t.Kind() == reflect.Array, t.Kind() == reflect.Map:
			walk(t.Elem())
		case t.Kind() == reflect.Struct:
			seen[t] = true
			for f := range t.Fields() {
				if !f.IsExported() && !f.Anonymous {
					continue
				}
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				if name == "" {
					name = f.Name
				}
				names[strings.Map(fold, name)] = name
				walk(f.Type)
			}
		}
	}
	walk(t)
	return names
}

// stringLen returns the length, with its quotes, of the JSON string at the
// beginning of text, which is valid JSON.
func stringLen(text []byte) int {
	for i := 1; ; i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// fold returns the same rune for all runes that differ only in case, as
// encoding/json compares names: the Kelvin sign equals a k.
func fold(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}
