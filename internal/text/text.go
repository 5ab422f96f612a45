// Package text checks the texts that a token holds, and encodes them for JSON and
// for a subject.
package text

import (
	"unicode"
	"unicode/utf8"

	"github.com/oidctoken/oidctoken/internal/ident"
)

// Max is the length of the longest claim value, in bytes.
const Max = 1024

// Class is a set of classes of bytes.
type Class uint8

// The classes of bytes.
const (
	Plain      Class = 1 << iota // printable ASCII that needs no escape in JSON
	Identifier                   // bytes of an identifier
	Connector                    // bytes of a connector's identifier
	Unreserved                   // RFC 3986, section 2.3: not percent-encoded in a subject
	Visible                      // printable ASCII without the space
)

// classes holds the classes of each byte.
var classes = func() (classes [256]Class) {
	for b := range classes {
		letter := 'A' <= b && b <= 'Z' || 'a' <= b && b <= 'z' || '0' <= b && b <= '9'
		if 0x20 <= b && b <= 0x7e && b != '"' && b != '\\' {
			classes[b] |= Plain
		}
		if '!' <= b && b <= '~' {
			classes[b] |= Visible
		}
		if ident.Byte(byte(b)) {
			classes[b] |= Identifier
			if b != '.' {
				classes[b] |= Connector
			}
		}
		if letter || b == '_' || b == '-' || b == '.' || b == '~' {
			classes[b] |= Unreserved
		}
	}
	return classes
}()

// Is reports whether b is in the class.
func Is(b byte, class Class) bool { return classes[b]&class != 0 }

// All reports whether every byte of s is in the class. It does not stop at the
// first byte that is not: a branch for each byte costs more than the rest of s.
func All(s string, class Class) bool {
	for i := range len(s) {
		class &= classes[s[i]]
	}
	return class != 0
}

// Check returns why s cannot be a claim's value, as words that follow the field's
// name, or "" if it can.
func Check(s string) (reason string) {
	if len(s) > Max {
		return "is longer than 1024 bytes"
	}
	if All(s, Plain) {
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

// AppendJSON appends s as the inside of a JSON string. s is valid UTF-8 without
// control characters.
func AppendJSON(dst []byte, s string) []byte {
	if All(s, Plain) {
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

// AppendPercent appends s and percent-encodes every byte that is not Unreserved.
func AppendPercent(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	if All(s, Unreserved) {
		return append(dst, s...)
	}
	for i := range len(s) {
		if b := s[i]; Is(b, Unreserved) {
			dst = append(dst, b)
		} else {
			dst = append(dst, '%', hex[b>>4], hex[b&15])
		}
	}
	return dst
}
