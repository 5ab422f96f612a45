package expr

import (
	"fmt"
	"strings"
)

// scanner finds the beginning and the end of each expression in a text. It reads the text once
// and never goes back. It does not use the grammar, because an expression that passes through
// need not follow it. It knows only nesting, quotes, and the suffixes of <+input>.
type scanner struct {
	text   string
	chosen []*delimiter
	nexts  [len(delimiters)]int // for each chosen delimiter: the offset of its next occurrence, if that is at or after pos
	pos    int
	steps  int
	depth  int     // expressions in stack
	stack  []frame // the open frames, outermost first
	outer  []*expression
	all    []*expression
}

// frame is an expression, a string or a suffix that is not yet closed.
type frame struct {
	open int         // offset of its first byte
	in   *expression // the expression itself, or the expression that contains it
	kind frameKind

	quote quote // of a string

	afterDot bool // of an expression: the next name continues a path

	parentheses int  // of a suffix: its open parentheses
	regex       bool // of a suffix: brackets are a character class
	class       bool // of a suffix: pos is in a character class
	start       bool // of a suffix: an argument begins here, so a quote begins a string
}

type frameKind int

const (
	inExpression frameKind = iota
	inString
	inSuffix
)

func (s *scanner) scan() *fault {
	for {
		i := s.next()
		s.steps += i - s.pos
		s.pos = i
		if i == len(s.text) {
			return nil
		}
		d, steps := openingAt(s.text, i, s.chosen)
		s.steps += steps
		if d == nil {
			s.pos++
			continue
		}
		if f := s.scanOutermost(d); f != nil {
			return f
		}
	}
}

// next returns the offset of the next delimiter, or the end of the text.
func (s *scanner) next() int {
	first := len(s.text)
	for k, d := range s.chosen {
		if s.nexts[k] < s.pos || s.pos == 0 {
			s.nexts[k] = len(s.text)
			if i := strings.Index(s.text[s.pos:], d.open); i >= 0 {
				s.nexts[k] = s.pos + i
			}
		}
		first = min(first, s.nexts[k])
	}
	return first
}

// scanOutermost reads from the delimiter d at pos to the end of its expression.
func (s *scanner) scanOutermost(d *delimiter) *fault {
	if f := s.openExpression(d); f != nil {
		return f
	}
	s.steps += len(d.open)
	s.outer = append(s.outer, s.all[len(s.all)-1])
	for len(s.stack) > 0 {
		if s.pos == len(s.text) {
			return s.unclosed()
		}
		before := s.pos
		top := &s.stack[len(s.stack)-1]
		d, steps := openingAt(s.text, s.pos, s.chosen)
		s.steps += steps
		switch {
		case d != nil:
			if f := s.openExpression(d); f != nil {
				return f
			}
		case top.kind == inString:
			s.stepString(top)
		case top.kind == inSuffix:
			s.stepSuffix(top)
		default:
			s.stepExpression(top)
		}
		s.steps += s.pos - before
	}
	return nil
}

func (s *scanner) openExpression(d *delimiter) *fault {
	if s.depth == MaxDepth {
		return &fault{at: s.pos, reason: fmt.Sprintf("more than %d expressions within one another", MaxDepth)}
	}
	if len(s.all) == MaxExpressions {
		return &fault{at: s.pos, reason: fmt.Sprintf("more than %d expressions in the text", MaxExpressions)}
	}
	e := &expression{start: s.pos, delimiter: d}
	s.all = append(s.all, e)
	s.depth++
	s.push(frame{kind: inExpression, open: s.pos, in: e})
	s.pos += len(d.open)
	return nil
}

// push opens f. It resets afterDot and start of the frame around f, because f follows them.
func (s *scanner) push(f frame) {
	if n := len(s.stack); n > 0 {
		s.stack[n-1].afterDot = false
		s.stack[n-1].start = false
	}
	s.stack = append(s.stack, f)
}

func (s *scanner) pop() { s.stack = s.stack[:len(s.stack)-1] }

func (s *scanner) stepExpression(top *frame) {
	c := s.text[s.pos]
	if q := quoteAt(s.text[s.pos:]); q != "" {
		s.push(frame{kind: inString, open: s.pos, in: top.in, quote: q})
		s.pos += len(q)
		return
	}
	switch {
	case strings.HasPrefix(s.text[s.pos:], top.in.delimiter.close):
		s.closeExpression(top.in)
	case continuesName(c):
		s.word(top)
	case isSpace(c):
		s.pos++
	default:
		top.afterDot = c == '.'
		s.pos++
	}
}

func (s *scanner) closeExpression(e *expression) {
	e.input = strings.Trim(s.text[e.start+len(e.delimiter.open):s.pos], " \t\r\n") == "input"
	s.pos += len(e.delimiter.close)
	e.end = s.pos
	s.depth--
	s.pop()
	if e.input {
		s.suffix(e)
	}
}

// word skips a name or a number. A name that begins a path becomes the name of every
// surrounding expression that has no name yet. Those are the innermost ones.
func (s *scanner) word(top *frame) {
	start := s.pos
	s.pos = skipName(s.text, s.pos)
	word := s.text[start:s.pos]
	begins := startsName(word[0]) && !top.afterDot && word != "true" && word != "false"
	top.afterDot = false
	if !begins || top.in.name != "" {
		return
	}
	path, end := readPath(s.text, start)
	s.steps += end - start
	for i := len(s.stack) - 1; i >= 0 && s.stack[i].in.name == ""; i-- {
		s.stack[i].in.name = path
	}
}

func (s *scanner) stepString(top *frame) {
	n, _, end := top.quote.unit(s.text[s.pos:])
	s.pos += n
	if end {
		s.pop()
	}
}

// suffix opens the suffix at pos that belongs to the <+input> e, if there is one.
func (s *scanner) suffix(e *expression) {
	rest := s.text[s.pos:]
	for _, name := range []string{"allowedValues", "regex", "default", "executionInput", "selectOneFrom", "selectManyFrom"} {
		if head := "." + name + "("; strings.HasPrefix(rest, head) {
			s.push(frame{kind: inSuffix, open: s.pos, in: e, parentheses: 1, regex: name == "regex", start: true})
			s.pos += len(head)
			return
		}
	}
}

// stepSuffix looks for the parenthesis that closes the suffix. Arguments are often bare words
// or patterns, so a quote begins a string only at the beginning of an argument.
func (s *scanner) stepSuffix(top *frame) {
	if q := quoteAt(s.text[s.pos:]); q != "" && top.start {
		s.push(frame{kind: inString, open: s.pos, in: top.in, quote: q})
		s.pos += len(q)
		return
	}
	c := s.text[s.pos]
	s.pos++
	top.start = c == '(' || c == ',' || top.start && isSpace(c)
	switch {
	case c == '\\' && s.pos < len(s.text):
		s.pos++
	case c == '[':
		top.class = top.regex
	case c == ']':
		top.class = false
	case c == '(' && !top.class:
		top.parentheses++
	case c == ')' && !top.class:
		top.parentheses--
	}
	if top.parentheses == 0 {
		e := top.in
		e.end = s.pos
		s.pop()
		s.suffix(e)
	}
}

func (s *scanner) unclosed() *fault {
	top := s.stack[len(s.stack)-1]
	what := "expression"
	switch top.kind {
	case inString:
		what = "string"
	case inSuffix:
		what = "suffix"
	}
	d := top.in.delimiter
	return &fault{at: top.open, name: top.in.name, reason: "the " + what + " that begins here is not closed; " +
		"to write " + d.open + " as text, write " + d.escape}
}
