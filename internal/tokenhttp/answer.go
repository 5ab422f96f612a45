package tokenhttp

import (
	"bytes"
	"encoding/json"
	"errors"
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

// DecodeJSON decodes body into v as [json.Unmarshal] does, if it is one JSON
// object (RFC 8259) and nothing else: valid UTF-8, no two members of one
// object whose names are equal or differ only in case (of which Unmarshal
// would take the last), at most 32 levels deep and 1024 members, with names of
// at most 256 bytes. Members that v has no place for are ignored. The error is
// an *Error of Kind Malformed, and repeats nothing of body.
func DecodeJSON(body []byte, v any) error {
	if !utf8.Valid(body) || !json.Valid(body) {
		return malformed("the answer is not JSON")
	}
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); trimmed[0] != '{' {
		return malformed("the answer is not a JSON object")
	}
	if err := checkShape(body); err != nil {
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
// in valid JSON. It copies nothing but names: a Decoder would copy the text.
func checkShape(text []byte) error {
	type level struct {
		object bool
		names  map[string]bool
	}
	var (
		open    []level
		members int
		name    bool // the next string is a member's name
	)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '{', '[':
			if len(open) == maxDepth {
				return malformed("the answer is nested too deeply")
			}
			name = c == '{'
			open = append(open, level{object: name})
		case '}', ']':
			open = open[:len(open)-1]
		case ',':
			name = open[len(open)-1].object
		case '"':
			n := stringLen(text[i:])
			if name {
				name = false
				if members++; members > maxMembers || n > maxName {
					return malformed("the answer has too many members, or too long ones")
				}
				top := &open[len(open)-1]
				if top.names == nil {
					top.names = make(map[string]bool)
				}
				folded, err := foldName(text[i : i+n])
				switch {
				case err != nil:
					return malformed("the answer is not JSON")
				case top.names[folded]:
					return malformed("the answer has a member twice")
				}
				top.names[folded] = true
			}
			i += n - 1
		}
	}
	return nil
}

// stringLen is the length, with its quotes, of the JSON string that valid JSON
// goes on with.
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

// foldName decodes a JSON string, and makes equal those that encoding/json
// takes for the same name.
func foldName(quoted []byte) (string, error) {
	var name string
	if err := json.Unmarshal(quoted, &name); err != nil {
		return "", err
	}
	return strings.Map(fold, name), nil
}

// fold returns one rune for all that differ only in case, as encoding/json
// compares names: the Kelvin sign is a k to it.
func fold(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}
