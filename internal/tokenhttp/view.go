package tokenhttp

import (
	"strconv"
	"strings"
)

// view is a text after something was taken off it.
type view struct {
	text string
	// Where each byte of text begins and ends in the original. Nil for a secret.
	from, to []uint16
}

func newView(text string) view {
	v := view{text: text, from: make([]uint16, len(text)), to: make([]uint16, len(text))}
	for i := range len(text) {
		v.from[i], v.to[i] = uint16(i), uint16(i+1) // #nosec G115 -- text has at most 4 KiB
	}
	return v
}

// viewWriter makes a view of another one.
type viewWriter struct {
	of   view
	text []byte
	view
}

func (v view) writer() *viewWriter {
	w := &viewWriter{of: v, text: make([]byte, 0, len(v.text))}
	if v.from != nil {
		w.from, w.to = make([]uint16, 0, len(v.text)), make([]uint16, 0, len(v.text))
	}
	return w
}

// add appends b, which the bytes from i to before j stand for.
func (w *viewWriter) add(b byte, i, j int) {
	w.text = append(w.text, b)
	if w.of.from != nil {
		w.from, w.to = append(w.from, w.of.from[i]), append(w.to, w.of.to[j-1])
	}
}

func (w *viewWriter) done() view { return view{string(w.text), w.from, w.to} }

// layers returns v itself and v with one to three layers taken off, as far as
// there are any.
func layers(v view) []view {
	all := []view{v}
	for len(all) < 4 && strings.ContainsAny(v.text, `%\&`) {
		next := v.decode()
		if len(next.text) == len(v.text) {
			break
		}
		all = append(all, next)
		v = next
	}
	return all
}

// decode removes one layer of percent-encoding, escapes and character
// references. Each is longer than the characters that it encodes. Malformed
// ones stay unchanged.
func (v view) decode() view {
	w := v.writer()
	for i := 0; i < len(v.text); {
		decoded, n := unescape(v.text[i:])
		for k := range len(decoded) {
			w.add(decoded[k], i, i+n)
		}
		i += n
	}
	return w.done()
}

// joined keeps letters and digits alone.
func (v view) joined() view {
	w := v.writer()
	for i := range len(v.text) {
		if letterOrDigit(v.text[i]) {
			w.add(v.text[i], i, i+1)
		}
	}
	return w.done()
}

// digits decodes all digits of so many bits each, after the first skip of them,
// and ignores other bytes, for which value is negative.
func (v view) digits(bits, skip int, value func(byte) int) view {
	w := v.writer()
	acc, have, first := 0, 0, 0 // the bits that are left, and where they began
	for i := range len(v.text) {
		d := value(v.text[i])
		if d < 0 {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if have == 0 {
			first = i
		}
		acc, have = acc<<bits|d, have+bits
		if have >= 8 {
			have -= 8
			w.add(byte(acc>>have), first, i+1)
			acc, first = acc&(1<<have-1), i
		}
	}
	return w.done()
}

func letterOrDigit(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}

// base64Digit takes both alphabets of RFC 4648, sections 4 and 5.
func base64Digit(b byte) int {
	switch {
	case 'A' <= b && b <= 'Z':
		return int(b - 'A')
	case 'a' <= b && b <= 'z':
		return int(b-'a') + 26
	case '0' <= b && b <= '9':
		return int(b-'0') + 52
	case b == '+' || b == '-':
		return 62
	case b == '/' || b == '_':
		return 63
	}
	return -1
}

func hexDigit(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'a' <= b|0x20 && b|0x20 <= 'f':
		return int(b|0x20-'a') + 10
	}
	return -1
}

// hideWhole marks each place where v repeats the secret.
func (v view) hideWhole(hidden []bool, secret string) {
	for i := 0; i+len(secret) <= len(v.text); i++ {
		if v.text[i:i+len(secret)] == secret {
			v.hide(hidden, i, i+len(secret))
		}
	}
}

func (v view) hide(hidden []bool, i, j int) {
	for k := v.from[i]; k < v.to[j-1]; k++ {
		hidden[k] = true
	}
}

// unescape returns the characters that the beginning of s encodes, which is not
// empty, and the length of that beginning in bytes.
func unescape(s string) (decoded string, n int) {
	switch {
	case s[0] == '%':
		if c, ok := hexAt(s, 1, 3); ok {
			return string([]byte{byte(c)}), 3
		}
	case s[0] == '&':
		if decoded, n := reference(s); n > 0 {
			return decoded, n
		}
	case s[0] == '\\' && len(s) > 1:
		if decoded, n := backslash(s); n > 0 {
			return decoded, n
		}
	}
	return s[:1], 1
}

func hexAt(s string, from, to int) (uint64, bool) {
	if len(s) < to {
		return 0, false
	}
	c, err := strconv.ParseUint(s[from:to], 16, 32)
	return c, err == nil
}

// backslash reads an escape of JSON, Go, C or JavaScript. n is 0 if s begins
// with none.
func backslash(s string) (decoded string, n int) {
	switch c := s[1]; {
	case c == 'u' || c == 'x':
		if inner, ok := strings.CutPrefix(s[2:], "{"); ok {
			digits, _, ok := strings.Cut(inner[:min(len(inner), 9)], "}")
			if r, err := strconv.ParseUint(digits, 16, 32); ok && err == nil {
				return string(rune(r)), len(`\u{}`) + len(digits)
			}
		}
		if r, ok := hexAt(s, 2, 6); ok && c == 'u' {
			return string(rune(r)), 6
		}
		if b, ok := hexAt(s, 2, 4); ok && c == 'x' {
			return string([]byte{byte(b)}), 4
		}
	case '0' <= c && c <= '7':
		return octal(s)
	default:
		if i := strings.IndexByte(`"\/abfnrtv'`, c); i >= 0 {
			return "\"\\/\a\b\f\n\r\t\v'"[i : i+1], 2
		}
	}
	return "", 0
}

// octal reads \1, \12 or \123, and \0123 as echo and printf write it.
func octal(s string) (decoded string, n int) {
	end := 1
	for end < len(s) && end < 4 && '0' <= s[end] && s[end] <= '7' {
		end++
	}
	if s[1] == '0' && end == 4 && len(s) > 4 && '0' <= s[4] && s[4] <= '7' {
		end = 5
	}
	b, err := strconv.ParseUint(s[1:end], 8, 8)
	if err != nil {
		return "", 0
	}
	return string([]byte{byte(b)}), end
}
