package mask

import (
	"fmt"
	"html"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// escapedForms returns s inside the string literals of JSON, Go, Python and shells,
// and inside HTML and XML.
func escapedForms(s string) []string {
	forms := []string{
		unquoted(strconv.Quote(s)),
		unquoted(strconv.QuoteToASCII(s)),
		pythonString(s, false, false), pythonString(s, false, true),
		pythonString(s, true, false), pythonString(s, true, true),
		html.EscapeString(s),
		strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s),
		strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s),
		strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;").Replace(s),
		strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;").Replace(s),
		strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;",
			"\t", "&#x9;", "\n", "&#xA;", "\r", "&#xD;").Replace(s), // encoding/xml
	}
	// What JSON encoders escape beyond what they must (RFC 8259, section 7).
	for _, more := range []string{"", "<>&", "<>&\u2028\u2029", "\u2028\u2029", "<>&'", `<>&'"+` + "`", "/"} {
		for _, isASCII := range []bool{false, true} {
			for _, isUpper := range []bool{false, true} {
				once := jsonString(s, more, isASCII, isUpper)
				forms = append(forms, once)
				if !isUpper {
					forms = append(forms, jsonString(once, more, isASCII, isUpper)) // JSON in a string of JSON
				}
			}
		}
	}
	return forms
}

func unquoted(s string) string { return s[1 : len(s)-1] }

// jsonString escapes s for a JSON string. Characters in more are escaped too; a
// slash by a backslash, the others by their number.
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

// pythonString escapes s as repr does, of a str or of bytes.
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

// percentForms returns s percent-encoded (RFC 3986, section 2.1) as by the
// functions that differ in what they leave as it is.
func percentForms(s string) []string {
	var forms []string
	for _, left := range []string{
		"-_.~",                 // RFC 3986, unreserved; with "+", Go's QueryEscape
		"-_.~/",                // Python's quote
		"-_.~$&+=:@",           // Go's PathEscape
		"-_.~$&+=:@/;",         // Go's URL.String, path
		"-_.!~*'()",            // ECMAScript's encodeURIComponent
		"-_.!~*'();,/?:@&=+$#", // and encodeURI
		"-_.*",                 // application/x-www-form-urlencoded of the URL standard, Java
		"-_.",                  // PHP's urlencode
	} {
		for _, digits := range []string{"0123456789ABCDEF", "0123456789abcdef"} {
			for _, space := range []string{"%20", "+"} {
				forms = append(forms, percentEncode(s, left, digits, space))
			}
		}
	}
	return forms
}

func percentEncode(s, left, digits, space string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		isAlphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		switch {
		case isAlphanumeric || strings.IndexByte(left, c) >= 0:
			b.WriteByte(c)
		case c == ' ':
			b.WriteString(space)
		default:
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

// shellForms returns s quoted as words of POSIX shells are.
func shellForms(s string) []string {
	return []string{
		strings.ReplaceAll(s, `'`, `'\''`),
		strings.ReplaceAll(s, `'`, `'"'"'`),                                                                  // Python's shlex.quote
		backslashed(s, func(c byte) bool { return strings.IndexByte("\\\"$`", c) >= 0 }),                     // in double quotes
		backslashed(s, func(c byte) bool { return strings.IndexByte("\\\"$`!", c) >= 0 }),                    // of an interactive bash
		backslashed(s, func(c byte) bool { return strings.IndexByte(" \t'\"\\|&;()<>!{}*[]?^$`,", c) >= 0 }), // bash's %q
		backslashed(s, func(c byte) bool { return strings.IndexByte(" \t'\"\\|&;()<>!{}*[]?^$`", c) >= 0 }),
		backslashed(s, func(c byte) bool { return strings.IndexByte("_-./:@%+=,", c) < 0 && !isWord(c) }), // dash, zsh, Ruby
		backslashed(s, func(c byte) bool { return !isWord(c) }),                                           // Perl's quotemeta
		ansiC(s),
	}
}

func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c >= utf8.RuneSelf
}

// backslashed puts a backslash before each byte that needs one, and before the two
// that need one at the start of a word.
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

// ansiC escapes s for $'...', as bash's %q does with control characters in s.
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
