package expr

import (
	"errors"
	"strings"
)

// Delimiters selects how expressions are written. A host may choose several;
// text in delimiters that it did not choose is text. The zero value is Angle.
type Delimiters uint8

const (
	// Angle is <+ ... >, with the escape <\+ for a literal <+.
	Angle Delimiters = 1 << iota
	// Braces is ${{ ... }}, with the escape $\{{ for a literal ${{.
	Braces
)

// delimiter is one way to write expressions.
type delimiter struct {
	open, close string
	escape      string // stands for a literal open
}

// delimiters has the delimiter of each bit of Delimiters.
var delimiters = [...]delimiter{
	{open: "<+", close: ">", escape: `<\+`},
	{open: "${{", close: "}}", escape: `$\{{`},
}

var errDelimiters = errors.New("expr: Env.Delimiters is not made of Angle and Braces")

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

// unescaper returns a replacer of escapes by the delimiters that they stand for.
func unescaper(chosen []*delimiter) *strings.Replacer {
	var pairs []string
	for _, d := range chosen {
		pairs = append(pairs, d.escape, d.open)
	}
	return strings.NewReplacer(pairs...)
}

// unescape returns a part of the text between expressions with its escapes replaced.
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

// offset returns the offset in the text of a byte at offset at of the result, where
// offset 0 of the result is offset start of the text. No expression is in between.
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

// opens returns the delimiter that begins an expression at offset i, or nil, and
// how many bytes it has looked at. The next character that is not white space has to
// be able to begin an expression: a letter, "_", a byte above 0x7f, a quote, "(", "!",
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

// begins reports whether rest, which is not empty, can begin an expression. "$"
// begins names, but no expression: awk and shells compare with "<+$2".
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
