package expr

import (
	"errors"
	"strings"
)

// Delimiters selects the delimiters of expressions. A host may choose several. Other delimiters
// are text. The zero value means Angle.
type Delimiters uint8

const (
	// Angle selects <+ ... >, with the escape <\+ for a literal <+.
	Angle Delimiters = 1 << iota
	// Braces selects ${{ ... }}, with the escape $\{{ for a literal ${{.
	Braces
)

// delimiter is one pair of delimiters with its escape.
type delimiter struct {
	open, close string
	escape      string // stands for a literal open
}

// delimiters holds the delimiter for each bit of Delimiters.
var delimiters = [...]delimiter{
	{open: "<+", close: ">", escape: `<\+`},
	{open: "${{", close: "}}", escape: `$\{{`},
}

var errDelimiters = errors.New("expr: Env.Delimiters must be Angle, Braces or both")

// orDefault returns d, or the default for the zero value.
func (d Delimiters) orDefault() Delimiters {
	if d == 0 {
		return Angle
	}
	return d
}

func (d Delimiters) isValid() bool { return d < 1<<len(delimiters) }

// all returns the delimiters that d selects.
func (d Delimiters) all() []*delimiter {
	var chosen []*delimiter
	for i := range delimiters {
		if d.orDefault()&(1<<i) != 0 {
			chosen = append(chosen, &delimiters[i])
		}
	}
	return chosen
}

// unescaper returns a replacer that replaces each escape by its delimiter.
func unescaper(chosen []*delimiter) *strings.Replacer {
	var pairs []string
	for _, d := range chosen {
		pairs = append(pairs, d.escape, d.open)
	}
	return strings.NewReplacer(pairs...)
}

// unescape replaces the escapes in a part of the text between expressions.
func (t *Template) unescape(part string) string {
	for _, d := range t.chosen {
		if strings.Contains(part, d.escape) {
			return unescaper(t.chosen).Replace(part)
		}
	}
	return part
}

// escapeAt returns the delimiter whose escape stands at offset i, or nil.
func (t *Template) escapeAt(i int) *delimiter {
	for _, d := range t.chosen {
		if strings.HasPrefix(t.text[i:], d.escape) {
			return d
		}
	}
	return nil
}

// offset maps an offset in the result to an offset in the text. Offset 0 of the result is
// offset start of the text, and no expression stands between them.
func (t *Template) offset(start, at int) int {
	for at > 0 {
		size := 1
		if d := t.escapeAt(start); d != nil {
			size = len(d.escape)
			at -= len(d.open) - 1
		}
		start += size
		at--
	}
	return start
}

// openingAt returns the delimiter that begins an expression at offset i, or nil, and the number
// of bytes that it has looked at. A delimiter begins an expression only if the next character
// that is not white space can begin one: a letter, "_", a byte above 0x7f, a quote, "(", "!",
// or a delimiter. Otherwise the delimiter is text.
func openingAt(text string, i int, chosen []*delimiter) (found *delimiter, steps int) {
	for _, d := range chosen {
		if !strings.HasPrefix(text[i:], d.open) {
			continue
		}
		next := skipSpace(text, i+len(d.open))
		if next < len(text) && canBegin(text[next:], chosen) {
			found = d
		}
		return found, next - i
	}
	return nil, 0
}

// canBegin reports whether rest, which is not empty, can begin an expression. "$" begins names
// but not expressions, because awk and shells compare with "<+$2".
func canBegin(rest string, chosen []*delimiter) bool {
	c := rest[0]
	if c == '(' || c == '!' || c != '$' && startsName(c) || quoteAt(rest) != "" {
		return true
	}
	for _, d := range chosen {
		if strings.HasPrefix(rest, d.open) {
			return true
		}
	}
	return false
}
