package mask

import (
	"fmt"
	"html"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// literalEncodings escape for the string literals of JSON, Go, Python and shells, and for HTML
// and XML.
func literalEncodings() []func(string) string {
	all := []func(string) string{
		func(s string) string { return unquoted(strconv.Quote(s)) },
		func(s string) string { return unquoted(strconv.QuoteToASCII(s)) },
		func(s string) string { return pythonString(s, false, false) },
		func(s string) string { return pythonString(s, false, true) },
		func(s string) string { return pythonString(s, true, false) },
		func(s string) string { return pythonString(s, true, true) },
		html.EscapeString,
	}
	for _, pairs := range [][]string{
		{},
		{`"`, "&quot;"},
		{`"`, "&quot;", "'", "&apos;"},
		{`"`, "&quot;", "'", "&#x27;"},
		{`"`, "&#34;", "'", "&#39;", "\t", "&#x9;", "\n", "&#xA;", "\r", "&#xD;"}, // encoding/xml
	} {
		all = append(all, strings.NewReplacer(append(pairs, "&", "&amp;", "<", "&lt;", ">", "&gt;")...).Replace)
	}
	// Characters that some JSON encoders escape although RFC 8259, section 7, does not require
	// it.
	for _, more := range []string{"", "<>&", "<>&\u2028\u2029", "\u2028\u2029", "<>&'", `<>&'"+` + "`", "/"} {
		for _, isASCII := range []bool{false, true} {
			for _, isUpper := range []bool{false, true} {
				once := func(s string) string { return jsonString(s, more, isASCII, isUpper) }
				all = append(all, once, func(s string) string { return once(once(s)) }) // JSON in a string of JSON
			}
		}
	}
	return all
}

func unquoted(s string) string { return s[1 : len(s)-1] }

// jsonString escapes s for a JSON string. It also escapes the characters in more: a slash with
// a backslash, the others with their number.
func jsonString(s, more string, isASCII, isUpper bool) string {
	short := map[rune]string{'\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}
	number := `\u%04x`
	if isUpper {
		number = `\u%04X`
	}
	var b strings.Builder
	for _, r := range s {
		isExtra := strings.ContainsRune(more, r)
		switch {
		case short[r] != "":
			b.WriteString(short[r])
		case r == '/' && isExtra:
			b.WriteString(`\/`)
		case r == '"' && !isExtra:
			b.WriteString(`\"`)
		case r > 0xFFFF && isASCII:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, number+number, high, low)
		case r < ' ' || isExtra || r > '~' && isASCII:
			fmt.Fprintf(&b, number, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// pythonString escapes s like Python's repr of a str or of bytes.
func pythonString(s string, isQuoteEscaped, isBytes bool) string {
	short := map[rune]string{'\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`}
	if isQuoteEscaped {
		short['\''] = `\'`
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case short[r] != "":
			b.WriteString(short[r])
		case r >= utf8.RuneSelf && isBytes:
			_, size := utf8.DecodeRuneInString(s[i:])
			for _, c := range []byte(s[i : i+size]) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		case r < ' ' || r == 0x7F:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// unescaped lists, for several percent-encoders (RFC 3986, section 2.1), the characters that
// the encoder does not encode, apart from letters and digits.
var unescaped = []string{
	"-_.~/",                // Python's quote
	"-_.~$&+=:@",           // Go's PathEscape
	"-_.~$&+=:@/;",         // Go's URL.String, path
	"-_.!~*'()",            // ECMAScript's encodeURIComponent
	"-_.!~*'();,/?:@&=+$#", // ECMAScript's encodeURI
	"-_.!*()",              // .NET's UrlEncode
	"-_.*",                 // application/x-www-form-urlencoded of the URL standard, Java
	"@*_+-./",              // ECMAScript's escape
	// The unreserved characters of RFC 3986. With "+" for a space, this is Go's QueryEscape.
	// The other entries are for encoders that encode some of these characters too.
	"-_.~", "-_.", "-_~", "-.~", "_.~", "-_", "-.", "-~", "_.", "_~", ".~", "-", "_", ".", "~", "",
}

// percent is a way to percent-encode a text. twice encodes the result of once again.
type percent struct {
	left        string
	space       bool // a space becomes "+"
	once, twice func(string) string
}

var percents = func() (all []percent) {
	for _, left := range unescaped {
		for _, digits := range []string{"0123456789ABCDEF", "0123456789abcdef"} {
			for _, space := range []string{"%20", "+"} {
				isLeft := func(c byte) bool { return isAlphanumeric(c) || strings.IndexByte(left, c) >= 0 }
				once := percentEncoder(isLeft, digits, space)
				twice := func(s string) string { return once(once(s)) }
				all = append(all, percent{left, space == "+", once, twice})
			}
		}
	}
	return all
}()

// percentForms adds the percent-encoded forms of part.
func percentForms(part string, add func(encode func(string) string)) {
	seen := make(map[string]int) // by the unescaped characters that occur in part
	for _, p := range percents {
		own := intersection(p.left, part)
		if seen[own]++; seen[own] > 4 || p.space && !strings.Contains(part, " ") {
			continue // there are 2 kinds of digits and 2 of spaces
		}
		add(p.once)
		if !isPlain(part) {
			add(p.twice)
		}
	}
}

// intersection returns the characters of left that occur in s.
func intersection(left, s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(s, r) {
			return r
		}
		return -1
	}, left)
}

// percentEncoder returns a function that percent-encodes all characters except those for which
// isLeft is true.
func percentEncoder(isLeft func(byte) bool, digits, space string) func(string) string {
	var encoded [256]string
	for c := range encoded {
		encoded[c] = string([]byte{'%', digits[c>>4], digits[c&15]})
		if isLeft(byte(c)) {
			encoded[c] = string([]byte{byte(c)})
		}
	}
	if space != "" {
		encoded[' '] = space
	}
	return func(s string) string {
		b := make([]byte, 0, len(s)+len(s)/4)
		for i := range len(s) {
			b = append(b, encoded[s[i]]...)
		}
		return string(b)
	}
}

// percentAll percent-encodes every byte, as scripts do with a dump.
func percentAll(digits string) func(string) string {
	return percentEncoder(func(byte) bool { return false }, digits, "")
}

// shellEncodings quote for words of POSIX shells.
func shellEncodings() []func(string) string {
	all := []func(string) string{
		func(s string) string { return strings.ReplaceAll(s, `'`, `'\''`) },
		func(s string) string { return strings.ReplaceAll(s, `'`, `'"'"'`) }, // Python's shlex.quote
		ansiC,
	}
	for _, needs := range []func(c byte) bool{
		func(c byte) bool { return strings.IndexByte("\\\"$`", c) >= 0 },                     // in double quotes
		func(c byte) bool { return strings.IndexByte("\\\"$`!", c) >= 0 },                    // in an interactive bash
		func(c byte) bool { return strings.IndexByte(" \t'\"\\|&;()<>!{}*[]?^$`,", c) >= 0 }, // bash's %q
		func(c byte) bool { return strings.IndexByte(" \t'\"\\|&;()<>!{}*[]?^$`", c) >= 0 },
		func(c byte) bool { return strings.IndexByte("_-./:@%+=,", c) < 0 && !isWord(c) }, // dash, zsh, Ruby
		func(c byte) bool { return !isWord(c) },                                           // Perl's quotemeta
	} {
		all = append(all, func(s string) string { return backslashed(s, needs) })
	}
	return all
}

func isWord(c byte) bool {
	return isAlphanumeric(c) || c == '_' || c >= utf8.RuneSelf
}

// backslashed puts a backslash before each byte for which needs is true. It also does so for #
// and ~ at the start of a word.
func backslashed(s string, needs func(byte) bool) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; needs(c) || i == 0 && (c == '#' || c == '~') {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// ansiC escapes s for $'...', like bash's %q for text with control characters.
func ansiC(s string) string {
	short := map[byte]string{
		'\\': `\\`, '\'': `\'`, '\a': `\a`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\v': `\v`, 0x1B: `\E`,
	}
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case short[c] != "":
			b.WriteString(short[c])
		case c < ' ' || c == 0x7F:
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
