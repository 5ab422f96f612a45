// Package strictjson refuses JSON values that two readers may read differently: values with
// invalid UTF-8, or with a member name that occurs twice (RFC 7515, section 10.12; RFC 8259,
// sections 4 and 8).
package strictjson

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is the number of levels to which arrays and objects may be nested.
const MaxDepth = 64

// Check checks value, a JSON value that [json.Marshal] returned. It returns the reason why it
// refuses value, as a phrase that follows the value's name. It returns "" if it accepts value.
//
// json.Marshal writes invalid UTF-8 of a Go string as the escape \ufffd, but the character
// U+FFFD as its three bytes. So Check accepts the character and refuses the escape. Check
// decodes the escapes in member names before it compares them, and case matters.
func Check(value []byte) (reason string) {
	if !utf8.Valid(value) {
		return "is not valid UTF-8"
	}
	if reason := checkEscapes(value); reason != "" {
		return reason
	}
	return checkNames(value)
}

// checkEscapes checks the escapes of all strings. JSON has no backslash outside strings.
func checkEscapes(value []byte) (reason string) {
	for {
		i := bytes.IndexByte(value, '\\')
		if i < 0 {
			return ""
		}
		value = value[i:]
		r, ok := unit(value)
		switch {
		case !ok: // an escape of one character, such as \n or \\
			value = value[min(2, len(value)):]
			continue
		case r == utf8.RuneError:
			return `is not valid UTF-8, or has the escape \ufffd, which stands for that`
		case utf16.IsSurrogate(r):
			low, _ := unit(value[6:])
			if utf16.DecodeRune(r, low) == utf8.RuneError {
				return "has half of a surrogate pair"
			}
			value = value[6:]
		}
		value = value[6:]
	}
}

// unit returns the UTF-16 code unit of an escape such as \u00e9 at the beginning of text.
func unit(text []byte) (r rune, ok bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(n), err == nil
}

// checkNames looks for a name that occurs twice in an object.
func checkNames(value []byte) (reason string) {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber() // accepts numbers of any size
	var open []map[string]bool
	var names map[string]bool // of the innermost object; nil in an array
	isName := false           // the next string is a member name
	for {
		token, err := decoder.Token()
		if err != nil {
			return "is not a JSON value"
		}
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '{', '[':
				if len(open) == MaxDepth {
					return "is nested deeper than 64 levels"
				}
				open, names = append(open, names), nil
				if token == '{' {
					names = make(map[string]bool)
				}
			default:
				names, open = open[len(open)-1], open[:len(open)-1]
			}
		case string:
			if isName {
				if names[token] {
					return "has a member name twice"
				}
				names[token], isName = true, false
				continue
			}
		}
		if len(open) == 0 {
			return ""
		}
		isName = names != nil
	}
}
