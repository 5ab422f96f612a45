package tokenhttp

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	window    = 12      // bytes of a secret that may not be shown in a row
	inspected = 4 << 10 // bytes of a text that are looked at: its beginning says what is wrong
	maxText   = 512     // bytes of what Redact returns
	marker    = "[redacted]"
	ellipsis  = "…"
)

// Redact makes a text that a cloud wrote fit for an error or a log. Whatever
// repeats 12 or more bytes in a row of a secret (or the whole of a shorter
// one) becomes "[redacted]", also where it stands percent-encoded or escaped
// as in a JSON string, in any mixture and up to three layers deep. The rest is
// as Printable makes it, and 512 bytes at most. Empty secrets hide nothing.
func Redact(text string, secrets ...string) string {
	var long, short []string
	for _, s := range secrets {
		for _, v := range views(view{text: s}) {
			switch {
			case len(v.text) >= window:
				long = append(long, v.text)
			case v.text != "":
				short = append(short, v.text)
			}
		}
	}
	// Escaped first: the last byte of an escape that is put in later could
	// complete a window.
	text = cut(escape(text, inspected), inspected)
	whole := view{text: text, at: make([]int, len(text)+1)}
	for i := range whole.at {
		whole.at[i] = i
	}
	hidden := make([]bool, len(text))
	size := window
	for _, v := range views(whole) {
		if len(long) > 0 {
			v.hideWindows(hidden, long, size)
		}
		for _, s := range short {
			v.hideWhole(hidden, s)
		}
		// Where layers were taken off, a stray % or \ may have taken the
		// first bytes of an echo along, at most five as in \u1234.
		size = window - 5
	}
	var out strings.Builder
	marked := false
	for i, r := range text {
		if slices.Contains(hidden[i:i+utf8.RuneLen(r)], true) {
			if !marked {
				out.WriteString(marker)
			}
			marked = true
			continue
		}
		out.WriteRune(r)
		marked = false
	}
	return cut(out.String(), maxText)
}

// Printable returns text as valid UTF-8 on one line: what does not print is
// escaped as in a Go string, and what goes beyond max bytes becomes "…". max
// must be at least 3.
func Printable(text string, max int) string { return cut(escape(text, max), max) }

// escape stops soon after limit bytes.
func escape(text string, limit int) string {
	var b strings.Builder
	for len(text) > 0 && b.Len() <= limit {
		r, n := utf8.DecodeRuneInString(text)
		if piece := text[:n]; strconv.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			b.WriteString(piece)
		} else {
			quoted := strconv.Quote(piece)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[n:]
	}
	return b.String()
}

// cut shortens text, which is valid UTF-8, to max bytes between two runes.
func cut(text string, max int) string {
	if len(text) <= max {
		return text
	}
	end := max - len(ellipsis)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}

// view is a text after some layers of encoding were taken off.
type view struct {
	text string
	at   []int // where each byte stood in the original, and its end; nil if nobody asks
}

// views are v itself and v with one to three layers taken off, as far as there
// are any.
func views(v view) []view {
	all := []view{v}
	for len(all) < 4 && strings.ContainsAny(v.text, `%\`) {
		next := v.decode()
		if len(next.text) == len(v.text) {
			break
		}
		all = append(all, next)
		v = next
	}
	return all
}

// decode takes off one layer of percent-encoding and of the escapes of JSON
// and Go. An escape that is none stays as it is. Every escape is longer than
// what it stands for.
func (v view) decode() view {
	out := make([]byte, 0, len(v.text))
	var at []int
	for i := 0; i < len(v.text); {
		decoded, n := unescape(v.text[i:])
		out = append(out, decoded...)
		if v.at != nil {
			at = append(at, slices.Repeat(v.at[i:i+1], len(decoded))...)
		}
		i += n
	}
	if v.at != nil {
		at = append(at, v.at[len(v.text)])
	}
	return view{text: string(out), at: at}
}

// unescape returns what the beginning of s, which is not empty, stands for,
// and how many bytes that beginning has.
func unescape(s string) (decoded string, n int) {
	hex := func(from, to int) (uint64, bool) {
		if len(s) < to {
			return 0, false
		}
		c, err := strconv.ParseUint(s[from:to], 16, 32)
		return c, err == nil
	}
	if s[0] == '%' {
		if c, ok := hex(1, 3); ok {
			return string([]byte{byte(c)}), 3
		}
	}
	if s[0] != '\\' || len(s) < 2 {
		return s[:1], 1
	}
	switch s[1] {
	case 'x':
		if c, ok := hex(2, 4); ok {
			return string([]byte{byte(c)}), 4
		}
	case 'u':
		if c, ok := hex(2, 6); ok {
			return string(rune(c)), 6
		}
	default:
		if i := strings.IndexByte(`"\/abfnrtv`, s[1]); i >= 0 {
			return "\"\\/\a\b\f\n\r\t\v"[i : i+1], 2
		}
	}
	return s[:1], 1
}

// hideWindows marks every window of size bytes that is also in a secret. The windows of
// the text are remembered, which is short, and not those of the secrets.
func (v view) hideWindows(hidden []bool, secrets []string, size int) {
	found := make(map[string]bool, len(v.text))
	for i := 0; i+size <= len(v.text); i++ {
		found[v.text[i:i+size]] = false
	}
	for _, s := range secrets {
		for i := 0; i+size <= len(s); i++ {
			if _, ok := found[s[i:i+size]]; ok {
				found[s[i:i+size]] = true
			}
		}
	}
	for i := 0; i+size <= len(v.text); i++ {
		if found[v.text[i:i+size]] {
			v.hide(hidden, i, i+size)
		}
	}
}

func (v view) hideWhole(hidden []bool, secret string) {
	for i := 0; i+len(secret) <= len(v.text); i++ {
		if v.text[i:i+len(secret)] == secret {
			v.hide(hidden, i, i+len(secret))
		}
	}
}

func (v view) hide(hidden []bool, from, to int) {
	for i := v.at[from]; i < v.at[to]; i++ {
		hidden[i] = true
	}
}
