package expr

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// The limits of a text.
const (
	MaxText        = 4 << 20   // bytes of the text
	MaxDepth       = 32        // expressions within one another
	MaxExpressions = 1000      // expressions in a text, nested ones and those that pass through included
	MaxResult      = 256 << 10 // bytes of one value: of a variable, a function's result, an expression
)

// Template is a parsed text. It does not change and may be used by several
// goroutines at once.
type Template struct {
	text       string
	chosen     []*delimiter
	delimiters Delimiters
	outer      []*expression // those in no other, in order
	all        []*expression // every one, in the order of their "<+"

	// steps counts the bytes looked at while parsing, so that a test can pin
	// that their number is linear in the text without measuring time.
	steps int
}

// Parse splits a text into expressions in the default delimiters. It fails with
// an [*Error] when an expression or a string in it is not closed, or when the
// text breaks [MaxText], [MaxDepth] or [MaxExpressions]. [Template.Check] finds
// the errors inside an expression, since only an [Env] tells which expressions have
// to follow the grammar.
func Parse(text string) (*Template, error) { return Angle.Parse(text) }

// Parse is like the function [Parse], for expressions in the delimiters d. An
// Env that the Template is used with has the same.
func (d Delimiters) Parse(text string) (*Template, error) {
	if !d.isValid() {
		return nil, errDelimiters
	}
	t, f := d.parse(text)
	if f != nil {
		return nil, f.locate(text)
	}
	return t, nil
}

// parse returns a Template with its steps also along with a fault.
func (d Delimiters) parse(text string) (*Template, *fault) {
	if f := tooLongText(text); f != nil {
		return &Template{}, f
	}
	s := scanner{text: text, chosen: d.all()}
	f := s.scan()
	t := &Template{text: text, chosen: s.chosen, delimiters: d.orDefault(), outer: s.outer, all: s.all, steps: s.steps}
	if f != nil {
		return t, f
	}
	for _, e := range t.all {
		e.source = text[e.start:e.end]
	}
	for _, e := range t.outer {
		operands := 0
		t.parse(e, &operands)
	}
	return t, nil
}

func tooLongText(text string) *fault {
	if len(text) > MaxText {
		return &fault{at: MaxText, reason: fmt.Sprintf("the text has more than %d bytes", MaxText)}
	}
	return nil
}

// Check finds, without calling a function, whatever would make [Template.Expand]
// fail with the same env for a reason that lies in the text: bad grammar,
// unknown functions, variables and fields, wrong numbers of arguments, misused
// secrets and, if env is strict, what would pass through; in all branches. It
// returns the first as an [*Error]. What depends on values, Expand alone finds:
// conditions that are neither true nor false, and results that are too long. An
// error of another type means that env is malformed, whatever the text.
func (t *Template) Check(env Env) error {
	b, err := env.bind(nil)
	if err != nil {
		return err
	}
	return t.check(b)
}

func (t *Template) check(b *binding) error {
	if t.delimiters != b.Delimiters.orDefault() {
		return errors.New("expr: Env.Delimiters differs from the delimiters that the text was parsed for")
	}
	b.expressions = len(t.all)
	for _, e := range t.outer {
		if _, f := e.check(b); f != nil {
			return f.locate(t.text)
		}
	}
	return nil
}

// Expand checks the template as [Template.Check] does, then returns the text
// with every expression replaced by its result. Expressions are evaluated in
// the order in which they are written, what is nested before what holds it,
// each at most once. On an error, the text returned is empty and later
// expressions have not been evaluated. The result can be larger than [MaxText].
//
// Functions decide what results are: with functions that only record their
// arguments, Expand is a rehearsal; see the example.
func (t *Template) Expand(ctx context.Context, env Env) (string, error) {
	b, err := env.bind(nil)
	if err != nil {
		return "", err
	}
	return t.expand(ctx, b)
}

// expand expands the template or, with a planner, plans it.
func (t *Template) expand(ctx context.Context, b *binding) (string, error) {
	if err := t.check(b); err != nil {
		return "", err
	}
	if len(t.outer) == 0 {
		return t.unescape(t.text), nil
	}
	out, f := t.eval(ctx, b)
	if f == nil && b.plan != nil {
		f = b.plan.verify(out)
	}
	if f != nil {
		return "", f.locate(t.text)
	}
	return out, nil
}

func (t *Template) eval(ctx context.Context, b *binding) (string, *fault) {
	var out strings.Builder
	out.Grow(len(t.text))
	done := 0
	for _, e := range t.outer {
		result, f := e.eval(ctx, b)
		if f != nil {
			return "", f
		}
		out.WriteString(t.unescape(t.text[done:e.start]))
		out.WriteString(result)
		done = e.end
		if b.plan != nil {
			b.plan.placed = append(b.plan.placed, placed{e, out.Len() - len(result), out.Len()})
		}
	}
	out.WriteString(t.unescape(t.text[done:]))
	return out.String(), nil
}

// Expand is [Parse] and [Template.Expand] in one.
func Expand(ctx context.Context, text string, env Env) (string, error) {
	t, err := env.Delimiters.Parse(text)
	if err != nil {
		return "", err
	}
	return t.Expand(ctx, env)
}
