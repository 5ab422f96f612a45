package expr

import (
	"context"
	"fmt"
	"strings"
)

// node is a part of a parsed expression. check and eval agree: eval succeeds on what check
// accepts, except for faults that depend on values, and eval refuses what check refuses.
type node interface {
	// check finds faults without calling a function. It returns a non-nil opaque for a value
	// that may only be placed into text.
	check(b *binding) (*opaque, *fault)
	eval(ctx context.Context, b *binding) (string, *fault)
	offset() int
}

// expression is the node of one "<+...>".
type expression struct {
	start, end int // text[start:end] is the whole expression, with the suffixes of <+input>
	source     string
	delimiter  *delimiter
	name       string // the first path in the expression; "" if it has no path
	input      bool   // the expression is <+input>, which has neither body nor fault
	body       node
	fault      *fault // why body is incomplete
}

func (e *expression) offset() int { return e.start }

func (e *expression) check(b *binding) (*opaque, *fault) {
	if b.passesThrough(e) {
		if best := b.intendedRoot(e); best != "" {
			return nil, &fault{at: e.start, name: e.name, reason: fmt.Sprintf("unknown root %q: did you mean %q? To write %s as text, write %s",
				clip(rootOf(e.name)), best, e.delimiter.open, e.delimiter.escape)}
		}
		if b.Strict {
			return nil, &fault{at: e.start, name: e.name, reason: "this expression would pass through, and strict mode does not allow that"}
		}
		return &opaque{name: e.name, opacity: passedThrough}, nil
	}
	if e.fault != nil {
		return nil, e.fault
	}
	return e.body.check(b)
}

func (e *expression) eval(ctx context.Context, b *binding) (string, *fault) {
	if b.passesThrough(e) {
		return e.source, nil
	}
	return e.body.eval(ctx, b)
}

// literal is the node of a string or a part of one, or of true or false.
type literal struct {
	at   int
	text string
}

func (l *literal) offset() int { return l.at }

func (l *literal) check(*binding) (*opaque, *fault) { return nil, l.checkSize() }

func (l *literal) eval(context.Context, *binding) (string, *fault) { return l.text, nil }

func (l *literal) checkSize() *fault { return checkSize(l.text, l.at, "") }

// joined is the node of a string that contains expressions, or of adjacent expressions. Opaque
// values may be placed into it.
type joined struct {
	at    int
	parts []node
}

func (j *joined) offset() int { return j.at }

func (j *joined) check(b *binding) (*opaque, *fault) { return checkAll(b, j.parts) }

func (j *joined) eval(ctx context.Context, b *binding) (string, *fault) {
	return join(ctx, b, j.at, j.parts)
}

// variable is the node of a path that names a variable.
type variable struct {
	at   int
	path string
}

func (v *variable) offset() int { return v.at }

func (v *variable) check(b *binding) (*opaque, *fault) {
	value, author, f := b.variable(v.path, v.at)
	switch {
	case f != nil:
		return nil, f
	case author != nil:
		return author.check(b, v.at)
	}
	return nil, b.refuseUnresolved(value, v)
}

func (v *variable) eval(ctx context.Context, b *binding) (string, *fault) {
	value, author, f := b.variable(v.path, v.at)
	switch {
	case f != nil:
		return "", f
	case author != nil:
		return author.eval(ctx, b, v.at)
	}
	return value, checkSize(value, v.at, v.path)
}

// choice is the node of condition ? result : condition ? result : ... : result.
type choice struct {
	conditions []node
	results    []node // one more than conditions
}

func (c *choice) offset() int { return c.conditions[0].offset() }

func (c *choice) check(b *binding) (*opaque, *fault) {
	if f := checkUsable(b, c.conditions, "made a condition"); f != nil {
		return nil, f
	}
	return checkAll(b, c.results)
}

func (c *choice) eval(ctx context.Context, b *binding) (string, *fault) {
	for i, condition := range c.conditions {
		yes, f := truth(ctx, b, condition)
		if f != nil {
			return "", f
		}
		if yes {
			return c.results[i].eval(ctx, b)
		}
	}
	return c.results[len(c.conditions)].eval(ctx, b)
}

// chain is the node of two or more operands with the same operator: +, && or ||.
type chain struct {
	operator string
	operands []node
}

func (c *chain) offset() int { return c.operands[0].offset() }

func (c *chain) check(b *binding) (*opaque, *fault) {
	if c.operator == "+" {
		return checkJoinable(b, c.operands, "joined with +")
	}
	return nil, checkUsable(b, c.operands, "made a condition")
}

func (c *chain) eval(ctx context.Context, b *binding) (string, *fault) {
	if c.operator == "+" {
		return join(ctx, b, c.offset(), c.operands)
	}
	for _, operand := range c.operands {
		yes, f := truth(ctx, b, operand)
		if f != nil {
			return "", f
		}
		if yes == (c.operator == "||") {
			return boolean(yes), nil
		}
	}
	return boolean(c.operator == "&&"), nil
}

// comparison is the node of left == right or left != right.
type comparison struct {
	left, right node
	unequal     bool
}

func (c *comparison) offset() int { return c.left.offset() }

func (c *comparison) check(b *binding) (*opaque, *fault) {
	return nil, checkUsable(b, []node{c.left, c.right}, "compared")
}

func (c *comparison) eval(ctx context.Context, b *binding) (string, *fault) {
	left, f := c.left.eval(ctx, b)
	if f != nil {
		return "", f
	}
	right, f := c.right.eval(ctx, b)
	if f != nil {
		return "", f
	}
	return boolean((left == right) != c.unequal), nil
}

// negation is the node of one or more "!" before an operand.
type negation struct {
	at      int
	odd     bool
	operand node
}

func (n *negation) offset() int { return n.at }

func (n *negation) check(b *binding) (*opaque, *fault) {
	return nil, checkUsable(b, []node{n.operand}, "made a condition")
}

func (n *negation) eval(ctx context.Context, b *binding) (string, *fault) {
	yes, f := truth(ctx, b, n.operand)
	if f != nil {
		return "", f
	}
	return boolean(yes != n.odd), nil
}

func boolean(yes bool) string {
	if yes {
		return "true"
	}
	return "false"
}

// truth evaluates a condition.
func truth(ctx context.Context, b *binding, n node) (bool, *fault) {
	value, f := n.eval(ctx, b)
	if f != nil {
		return false, f
	}
	if value != "true" && value != "false" {
		return false, &fault{at: n.offset(), reason: "the condition is neither true nor false"}
	}
	return value == "true", nil
}

// join evaluates the parts in order and joins the results.
func join(ctx context.Context, b *binding, at int, parts []node) (string, *fault) {
	var out strings.Builder
	for _, part := range parts {
		value, f := part.eval(ctx, b)
		if f != nil {
			return "", f
		}
		if out.Len()+len(value) > MaxResult {
			return "", tooLong(at, "")
		}
		out.WriteString(value)
	}
	return out.String(), nil
}

func checkSize(value string, at int, name string) *fault {
	if len(value) > MaxResult {
		return tooLong(at, name)
	}
	return nil
}

func tooLong(at int, name string) *fault {
	return &fault{at: at, name: name, reason: fmt.Sprintf("the result has more than %d bytes", MaxResult)}
}
