package expr

import (
	"fmt"
	"strings"
)

// The words with a meaning of their own.
const (
	concat   = "concat"           // the only method
	getValue = "secrets.getValue" // resolved by others, and so passed through
)

func isGetValue(path string) bool { return path == getValue || path == snakePath(getValue) }

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// startsName takes every byte above 0x7f, so that a root in any script is one
// root, which nobody knows, and not a malformed expression of its ASCII part.
func startsName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == '$' || c >= 0x80
}

func continuesName(c byte) bool { return startsName(c) || isDigit(c) || c == '-' }

func skipSpace(s string, i int) int {
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	return i
}

func skipName(s string, i int) int {
	for i < len(s) && continuesName(s[i]) {
		i++
	}
	return i
}

// readPath reads the names and dots from s[i:], whose first byte starts a name.
// It returns the path without the white space in it, and where it ends.
func readPath(s string, i int) (path string, end int) {
	end = skipName(s, i)
	var spaced []byte // the path so far, once it differs from s[i:end]
	for {
		dot := skipSpace(s, end)
		if dot == len(s) || s[dot] != '.' {
			break
		}
		next := skipSpace(s, dot+1)
		if next == len(s) || !continuesName(s[next]) || s[next] == '-' {
			break
		}
		if spaced == nil && next > end+1 {
			spaced = []byte(s[i:end])
		}
		end = skipName(s, next)
		if spaced != nil {
			spaced = append(append(spaced, '.'), s[next:end]...)
		}
	}
	if spaced != nil {
		return string(spaced), end
	}
	return s[i:end], end
}

func isPath(s string) bool {
	if s == "" || !startsName(s[0]) {
		return false
	}
	path, end := readPath(s, 0)
	return end == len(s) && path == s
}

func rootOf(path string) string {
	root, _, _ := strings.Cut(path, ".")
	return root
}

// quote is what begins and ends a string.
type quote string

const jsonQuote quote = `\"`

// quoteAt returns the quote that s, which is not empty, begins with, or "".
func quoteAt(s string) quote {
	switch {
	case s[0] == '"' || s[0] == '\'':
		return quote(s[:1])
	case strings.HasPrefix(s, string(jsonQuote)):
		return jsonQuote
	}
	return ""
}

// unit splits what follows in a string quoted by q off s, which is not empty:
// s[skip:n] is its value, unless it is the end of the string.
func (q quote) unit(s string) (n, skip int, end bool) {
	if strings.HasPrefix(s, string(q)) {
		return len(q), 0, true
	}
	if s[0] != '\\' || len(s) == 1 {
		return 1, 0, false
	}
	if q != jsonQuote {
		if isEscapable(s[1]) {
			return 2, 1, false
		}
		return 1, 0, false
	}
	// In JSON, two backslashes are one, which then may escape what follows.
	if s[1] != '\\' {
		return 1, 0, false
	}
	switch {
	case strings.HasPrefix(s[2:], `\"`), strings.HasPrefix(s[2:], `\\`):
		return 4, 3, false
	case strings.HasPrefix(s[2:], `'`):
		return 3, 2, false
	}
	return 2, 1, false
}

func isEscapable(c byte) bool { return c == '\\' || c == '"' || c == '\'' }

// operators, the longer before those that they begin with.
var operators = [...]string{"==", "!=", "&&", "||", "!", "+", "?", ":", "(", ")", ",", ".", "[", "]"}

// next reads the token at pos.
func (p *parser) next() {
	before := p.pos
	p.lex()
	p.t.steps += p.pos - before
}

func (p *parser) lex() {
	text := p.t.text[:p.end]
	p.at = skipSpace(text, p.pos)
	p.pos = p.at
	p.inner = nil
	if p.at == p.end {
		p.token = ""
		return
	}
	if p.inner = p.t.expressionAt(p.at); p.inner != nil {
		p.token = p.inner.delimiter.open
		p.pos += len(p.token)
		return
	}
	for _, d := range p.t.chosen {
		if strings.HasPrefix(text[p.at:], d.open) {
			p.fail(p.at, d.open+" begins no expression here")
			return
		}
	}
	for _, op := range operators {
		if strings.HasPrefix(text[p.at:], op) {
			p.token = op
			p.pos += len(op)
			return
		}
	}
	c := text[p.at]
	if p.quote = quoteAt(text[p.at:]); p.quote != "" {
		p.token = "string"
		p.pos += len(p.quote)
		return
	}
	switch {
	case startsName(c):
		p.token = "name"
		p.pos = skipName(text, p.at)
	case isDigit(c):
		p.token = "number"
		p.pos = skipName(text, p.at)
	case c == '<' || c == '>':
		p.fail(p.at, "there are no ordering operators")
	default:
		p.fail(p.at, fmt.Sprintf("unexpected %q", c))
	}
}

// found describes the token. It never shows what a string holds.
func (p *parser) found() string {
	switch p.token {
	case "":
		return "end of the expression"
	case "name":
		return fmt.Sprintf("name %q", clip(p.t.text[p.at:p.pos]))
	case "number", "string":
		return p.token
	}
	return fmt.Sprintf("%q", p.token)
}
