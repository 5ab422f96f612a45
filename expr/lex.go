package expr

import (
	"fmt"
	"strings"
)

// The names with a special meaning.
const (
	concat   = "concat"           // the only method
	getValue = "secrets.getValue" // passes through, because another program resolves it
)

func isGetValue(path string) bool { return path == getValue || path == snakePath(getValue) }

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// startsName accepts every byte above 0x7f. So a root in any script is one unknown root, and
// not a malformed expression of its ASCII part.
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

// readPath reads names and dots from s[i:]. The first byte of s[i:] starts a name. readPath
// returns the path without white space, and the offset of its end.
func readPath(s string, i int) (path string, end int) {
	end = skipName(s, i)
	var spaced []byte // the path so far, if it differs from s[i:end]
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

// quote is the delimiter at both ends of a string.
type quote string

const jsonQuote quote = `\"`

// quoteAt returns the quote at the beginning of s, or "". s is not empty.
func quoteAt(s string) quote {
	switch {
	case s[0] == '"' || s[0] == '\'':
		return quote(s[:1])
	case strings.HasPrefix(s, string(jsonQuote)):
		return jsonQuote
	}
	return ""
}

// unit returns the size n of the next unit in a string with quote q. s begins at that unit and
// is not empty. The unit's value is s[skip:n], unless the unit ends the string.
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
	// In JSON, two backslashes stand for one. That one may then escape the next character.
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

// operators lists the operators. A longer operator stands before its prefixes.
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
			p.fail(p.at, d.open+" does not begin an expression here")
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

// found describes the token for an error. It never shows the content of a string.
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
