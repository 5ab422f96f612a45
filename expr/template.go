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
	MaxDepth       = 32        // nested expressions around one place
	MaxExpressions = 1000      // expressions in a text, including nested ones and those that pass through
	MaxResult      = 256 << 10 // bytes of one value: a variable, a function's result, an expression
)

// Template is a parsed text. It is immutable, and several goroutines may use it at once.
type Template struct {
	text       string
	chosen     []*delimiter
	delimiters Delimiters
	outer      []*expression // the expressions outside all others, in order
	all        []*expression // all expressions, in the order of their opening delimiters

	// steps counts the bytes that parsing has looked at. Tests use it to verify, without
	// measuring time, that parsing is linear in the text.
	steps int
}

// Parse finds the expressions in a text with the default delimiters. It fails with an [*Error]
// if an expression or a string in it is not closed, or if the text exceeds [MaxText],
// [MaxDepth] or [MaxExpressions]. [Template.Check] finds the faults inside an expression,
// because only an [Env] determines which expressions must follow the grammar.
func Parse(text string) (*Template, error) { return Angle.Parse(text) }

// Parse is like the function [Parse], for expressions in the delimiters d. The Env that is used
// with the Template must have the same delimiters.
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

// parse returns a Template with its steps even if it returns a fault.
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

// Check finds every fault of the text that would make [Template.Expand] fail with the same env,
// in all branches, without calling a function: bad grammar, unknown functions, variables and
// fields, wrong numbers of arguments, misused secrets and, if env is strict, expressions that
// would pass through. It returns the first fault as an [*Error]. Faults that depend on values
// are found only by Expand: conditions that are neither true nor false, and results that are
// too long. An error of another type than *Error is about env, not about the text.
func (t *Template) Check(env Env) error {
	b, err := env.bind(nil)
	if err != nil {
		return err
	}
	return t.check(b)
}

func (t *Template) check(b *binding) error {
	if t.delimiters != b.Delimiters.orDefault() {
		return errors.New("expr: Env.Delimiters differs from the delimiters that the text was parsed with")
	}
	b.expressions = len(t.all)
	for _, e := range t.outer {
		if _, f := e.check(b); f != nil {
			return f.locate(t.text)
		}
	}
	return nil
}

// Expand checks the template as [Template.Check] does. Then it returns the text with every
// expression replaced by its result. It evaluates expressions in the order of the text, inner
// ones before outer ones, each at most once. On an error, it returns an empty text and
// evaluates no later expression. The result can be larger than [MaxText].
//
// Expand can also be used for a dry run: give it functions that only record their arguments.
// See the example.
func (t *Template) Expand(ctx context.Context, env Env) (string, error) {
	b, err := env.bind(nil)
	if err != nil {
		return "", err
	}
	return t.expand(ctx, b)
}

// expand expands the template. With a planner in b, it plans the template.
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

// Expand calls [Parse] and then [Template.Expand].
func Expand(ctx context.Context, text string, env Env) (string, error) {
	t, err := env.Delimiters.Parse(text)
	if err != nil {
		return "", err
	}
	return t.Expand(ctx, env)
}
