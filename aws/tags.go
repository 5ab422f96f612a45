package aws

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/near"
)

// Unfit is how to treat a claim's value that AWS does not accept in a session
// tag or a source identity.
type Unfit uint8

const (
	// UnfitFail refuses the JWT: Mint fails and names the claim.
	UnfitFail Unfit = iota

	// UnfitOmit leaves the tag, or the source identity, out of the JWT. A trust
	// or permission policy that demands it then refuses the session.
	UnfitOmit

	// UnfitEncode encodes every value of the claim: "=" and each byte that is not
	// allowed become "=" and two hexadecimal digits, as in quoted-printable (RFC
	// 2045, section 6.7). "fix/#46" becomes the tag "fix/=2346". An allowed value
	// without "=" does not change. No two values have the same encoding, and
	// [DecodeTag] reverses it. Mint fails when the encoding is too long: a value
	// is never cut.
	UnfitEncode
)

const (
	notUnfit = "is not one of UnfitFail, UnfitOmit and UnfitEncode"

	maxTagKey   = 128 // characters
	maxTagValue = 256 // characters
	minName     = 2   // bytes of a session's name and of a source identity
	maxName     = 64
)

// registered are the registered claims, which AWS reads itself.
var registered = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}

// checkClaim returns why a claim of that name cannot be a tag, or "". A name
// that is not in the table may be a claim of the host.
func checkClaim(name string) (reason string) {
	table := oidctoken.ClaimNames()
	lower := strings.ToLower(name)
	switch {
	case name == "sub" || slices.Contains(table, name):
		return ""
	case slices.Contains(registered, lower) || slices.Contains(table, lower),
		name == "" || len(name) > maxTagKey || !consists(name, tagKeyByte),
		strings.HasPrefix(lower, "aws:"): // AWS keeps these for itself
		return "is not the name of a claim"
	}
	if meant := near.Misspelled(name, table); meant != "" {
		return "is not the name of a claim: did you mean " + meant + "?"
	}
	return ""
}

// shape describes the values of one kind that AWS accepts.
type shape struct {
	what    string // for errors
	field   string // the field of Config that decides about a value that does not fit
	allowed func(rune) bool
	check   func(string) (reason string)
}

var (
	tagShape    = shape{"session tag", "UnfitTags", tagRune, checkTagValue}
	sourceShape = shape{"source identity", "UnfitSourceIdentity", sourceRune, checkSourceIdentity}
)

// omitted continues "the claim's value" for a value that was left out of the
// token. A session without the tag would look as if the value were unknown.
const omitted = "is longer than 1024 bytes, or is not UTF-8, or has control characters"

// value returns a claim's value in this shape, and false if the claim is
// unknown or left out.
func (s *shape) value(c *oidctoken.Claims, claim string, unfit Unfit) (fitting string, ok bool, err error) {
	value, known := c.Get(claim)
	switch {
	case known:
		return s.fit(claim, value, unfit)
	case !slices.Contains(c.Omitted(), claim) || unfit == UnfitOmit:
		return "", false, nil
	}
	return "", false, fmt.Errorf("aws: %s %s: the claim's value %s: set Config.%s to UnfitOmit", s.what, claim, omitted, s.field)
}

// fit returns the claim's value in the shape, and false if it is left out. The
// error does not repeat the value.
func (s *shape) fit(claim, value string, unfit Unfit) (fitting string, ok bool, err error) {
	if unfit == UnfitEncode {
		value = s.encode(value)
	}
	reason := s.check(value)
	switch {
	case reason == "":
		return value, true, nil
	case unfit == UnfitOmit:
		return "", false, nil
	case unfit == UnfitEncode:
		return "", false, fmt.Errorf("aws: %s %s: the claim's encoded value %s: set Config.%s to UnfitOmit", s.what, claim, reason, s.field)
	}
	return "", false, fmt.Errorf("aws: %s %s: the claim's value %s: set Config.%s to UnfitOmit or UnfitEncode", s.what, claim, reason, s.field)
}

// encode is UnfitEncode. A name of one byte is too short for a source identity, and
// is encoded whole.
func (s *shape) encode(value string) string {
	var b strings.Builder
	short := s.check(value) != "" && len(value) < minName
	for len(value) > 0 {
		r, size := utf8.DecodeRuneInString(value)
		if r == '=' || short || !s.allowed(r) {
			for _, c := range []byte(value[:size]) {
				fmt.Fprintf(&b, "=%02X", c)
			}
		} else {
			b.WriteString(value[:size])
		}
		value = value[size:]
	}
	return b.String()
}

var errEncoding = errors.New("aws: the value is not an encoding of UnfitEncode: = is not followed by two hexadecimal digits in capitals")

// DecodeTag returns the claim's value of which [UnfitEncode] made value, a session
// tag or a source identity. It fails if value is not such an encoding.
func DecodeTag(value string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		c := value[i]
		if c == '=' {
			if i+2 >= len(value) {
				return "", errEncoding
			}
			high, low := strings.IndexByte(hexDigits, value[i+1]), strings.IndexByte(hexDigits, value[i+2])
			if high < 0 || low < 0 {
				return "", errEncoding
			}
			c, i = byte(high<<4|low), i+2
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

const hexDigits = "0123456789ABCDEF"

// checkTagValue continues "the claim's value". It does not repeat it.
func checkTagValue(s string) (reason string) {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !tagRune(r) }) {
		return "has a character other than letters, digits, spaces and _.:/=+-@"
	}
	if utf8.RuneCountInString(s) > maxTagValue {
		return "is longer than 256 characters"
	}
	return ""
}

func checkSourceIdentity(s string) (reason string) {
	if !isName(s) {
		return "is not of 2 to 64 letters, digits and _+=,.@-"
	}
	return ""
}

func tagRune(r rune) bool {
	return unicode.In(r, unicode.L, unicode.Z, unicode.N) || strings.ContainsRune("_.:/=+-@", r)
}

func sourceRune(r rune) bool { return r < utf8.RuneSelf && nameByte(byte(r)) }

func tagKeyByte(b byte) bool { return b < utf8.RuneSelf && b != ' ' && tagRune(rune(b)) }

func isName(s string) bool { return len(s) >= minName && len(s) <= maxName && consists(s, nameByte) }
