// Package strictjson refuses JSON values that different readers may read
// differently: with invalid UTF-8, or with a member name that occurs twice (RFC
// 7515, section 10.12; RFC 8259, sections 4 and 8).
package strictjson

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may be nested.
const MaxDepth = 64

// Check returns why value, a JSON value that [json.Marshal] returned, is refused,
// as words that follow the value's name. It returns "" when value is good.
//
// json.Marshal writes invalid UTF-8 of a Go string as the escape \ufffd, and the
// character U+FFFD itself as its three bytes. So Check takes the character and
// refuses the escape. Member names are compared after their escapes are decoded,
// and with letter case.
func Check(value []byte) (reason string) {
	if !utf8.Valid(value) {
		return "is not valid UTF-8"
	}
	if reason := checkEscapes(value); reason != "" {
		return reason
	}
	return checkNames(value)
}

// checkEscapes checks the escapes of all strings. Outside strings, JSON has no
// backslash.
func checkEscapes(value []byte) (reason string) {
	for {
		i := bytes.IndexByte(value, '\\')
		if i < 0 {
			return ""
		}
		value = value[i:]
		r, ok := unit(value)
		switch {
		case !ok: // of one character, such as \n or \\
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

// unit returns the UTF-16 code unit of an escape such as \u00e9 that text begins
// with.
func unit(text []byte) (r rune, ok bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(n), err == nil
}

// checkNames looks for names that occur twice in an object.
func checkNames(value []byte) (reason string) {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber() // a number of any size
	var open []map[string]bool
	var names map[string]bool // of the innermost object; nil in an array
	isName := false           // the next string is one
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
