package tokenhttp

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	window    = 12      // bytes of a secret that may not be shown in a row
	inspected = 4 << 10 // bytes of a text that are inspected: its beginning names the fault
	maxText   = 512     // bytes of what Redact returns
	marker    = "[redacted]"
	ellipsis  = "…"
)

// Redact makes a text that a cloud wrote fit for an error or a log. It replaces
// with "[redacted]" whatever repeats 12 or more bytes in a row of a secret, or
// the whole of a shorter one. It finds a secret
//
//   - in plain text;
//   - behind up to three layers of percent-encoding, of escapes of JSON, Go,
//     C and JavaScript (\u0041, \u{41}, \x41, \101, \/), and of HTML's
//     character references (&#65; &#x41; &period;), in any mixture;
//   - in base64, of either alphabet, and in hexadecimal digits;
//   - in pieces, when nothing but bytes that are neither letters nor digits of
//     ASCII stands between them, such as line breaks, quotes and commas, and
//     12 of its letters and digits follow each other.
//
// The last two also apply to what each layer holds. Nothing else is found: not
// a secret that is compressed, encrypted, reversed, encoded in base64 twice, or
// that has words between its pieces. The rest is as Printable makes it, and 512
// bytes at most. Empty secrets hide nothing.
func Redact(text string, secrets ...string) string {
	var long, short, joined []string
	for _, s := range secrets {
		for _, v := range layers(view{text: s}) {
			switch {
			case len(v.text) >= window:
				long, joined = append(long, v.text), append(joined, v.joined().text)
			case v.text != "":
				short = append(short, v.text)
			}
		}
	}
	// Escaped first: the last byte of an escape that is put in later could
	// complete a window.
	text = cut(escape(text, inspected), inspected)
	hidden := make([]bool, len(text))
	var m matcher
	size := window
	for _, v := range layers(newView(text)) {
		for _, s := range short {
			v.hideWhole(hidden, s)
		}
		if len(long) > 0 {
			m.hide(v, hidden, long, size)
			m.hide(v.joined(), hidden, joined, size)
			for skip := range 4 {
				m.hide(v.digits(6, skip, base64Digit), hidden, long, size)
			}
			for skip := range 2 {
				m.hide(v.digits(4, skip, hexDigit), hidden, long, size)
			}
		}
		// Where layers were taken off, a stray %, \ or & may have taken the
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

// matcher finds windows of secrets in views. Its memory serves all views of one
// text.
type matcher struct {
	windows map[string]bool // of the view; true for those that a secret has
	pairs   []bool          // the first two bytes of each window: most windows of a secret end there
}

// hide marks every window of size bytes of v that is also in a secret. It
// stores the windows of the text, which is short, and not those of the secrets.
func (m *matcher) hide(v view, hidden []bool, secrets []string, size int) {
	if len(v.text) < size {
		return
	}
	if m.pairs == nil {
		m.windows, m.pairs = make(map[string]bool, len(v.text)), make([]bool, 1<<16)
	}
	clear(m.windows)
	clear(m.pairs)
	for i := 0; i+size <= len(v.text); i++ {
		m.windows[v.text[i:i+size]] = false
		m.pairs[pair(v.text[i], v.text[i+1])] = true
	}
	found := false
	for _, s := range secrets {
		for i := 0; i+size <= len(s); i++ {
			found = m.find(s[i:i+size]) || found
		}
	}
	for i := 0; found && i+size <= len(v.text); i++ {
		if m.windows[v.text[i:i+size]] {
			v.hide(hidden, i, i+size)
		}
	}
}

func pair(a, b byte) int { return int(a)<<8 | int(b) }

// find marks a window of a secret in the text, and reports whether the text has
// it.
func (m *matcher) find(w string) bool {
	if !m.pairs[pair(w[0], w[1])] {
		return false
	}
	_, ok := m.windows[w]
	if ok {
		m.windows[w] = true
	}
	return ok
}
