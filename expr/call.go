package expr

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// opaque is a value that may only be placed into text.
type opaque struct {
	name   string // the function that returns it, or the path that passes through
	secret bool
}

// refuse says why the value at offset at may not be used so.
func (o *opaque) refuse(at int, use string) *fault {
	if o.secret {
		return &fault{at: at, name: o.name, reason: "the result is a secret: it may be placed into text, but not " + use +
			", because what is made of it could not be masked any more"}
	}
	return &fault{at: at, name: o.name, reason: "this expression passes through: it may be placed into text, but not " + use +
		", because its value is not known here"}
}

// plain checks nodes whose values are to be used, not placed.
func plain(b *binding, nodes []node, use string) *fault {
	for _, n := range nodes {
		o, f := n.check(b)
		if f != nil {
			return f
		}
		if o != nil {
			return o.refuse(n.offset(), use)
		}
	}
	return nil
}

// checkAll checks nodes that become one value. A secret among them makes the
// value a secret, whatever the others are.
func checkAll(b *binding, nodes []node) (*opaque, *fault) {
	var all *opaque
	for _, n := range nodes {
		o, f := n.check(b)
		if f != nil {
			return nil, f
		}
		if all == nil || o != nil && o.secret && !all.secret {
			all = o
		}
	}
	return all, nil
}

// call is path(args).
type call struct {
	at   int
	path string
	args []node
}

func (c *call) offset() int { return c.at }

func (c *call) check(b *binding) (*opaque, *fault) { return c.checkField(b, "", c.at) }

func (c *call) eval(ctx context.Context, b *binding) (string, *fault) {
	return c.evalField(ctx, b, "")
}

// checkField checks the call together with the field that is read of its
// result, which stands at offset at; "" is none.
func (c *call) checkField(b *binding, name string, at int) (*opaque, *fault) {
	fn, f := b.function(c.path, c.at)
	if f != nil {
		return nil, f
	}
	if len(c.args) < fn.MinArgs || len(c.args) > fn.MaxArgs {
		return nil, &fault{at: c.at, name: c.path, reason: fmt.Sprintf("takes %s, has %d", arity(fn.MinArgs, fn.MaxArgs), len(c.args))}
	}
	if len(fn.Fields) > 0 && !slices.Contains(fn.Fields, name) {
		return nil, &fault{at: at, name: c.path, reason: refuseField(fn, name)}
	}
	if f := plain(b, c.args, "passed as an argument"); f != nil {
		return nil, f
	}
	if fn.Secret {
		return &opaque{name: c.path, secret: true}, nil
	}
	return nil, nil
}

func (c *call) evalField(ctx context.Context, b *binding, name string) (string, *fault) {
	fn, f := b.function(c.path, c.at)
	if f != nil {
		return "", f
	}
	args := make([]string, len(c.args))
	for i, arg := range c.args {
		if args[i], f = arg.eval(ctx, b); f != nil {
			return "", f
		}
	}
	if err := ctx.Err(); err != nil {
		return "", &fault{at: c.at, name: c.path, reason: "was not called", err: err}
	}
	result, err := fn.Call(ctx, Call{Args: args, Field: name})
	if err != nil {
		return "", &fault{at: c.at, name: c.path, reason: "failed", err: err}
	}
	if f := bounded(result, c.at, c.path); f != nil {
		return "", f
	}
	return result, nil
}

func arity(least, most int) string {
	switch {
	case most == 0:
		return "no arguments"
	case least == most && most == 1:
		return "1 argument"
	case least == most:
		return fmt.Sprintf("%d arguments", most)
	}
	return fmt.Sprintf("%d to %d arguments", least, most)
}

func refuseField(fn Func, name string) string {
	fields := "." + strings.Join(fn.Fields, ", .")
	if name == "" {
		return "the result is an object, of which one field has to be read: " + fields
	}
	reason := fmt.Sprintf("unknown field %q of %s", clip(name), fields)
	if best := nearest(name, fn.Fields); best != "" {
		reason += "; the nearest is ." + best
	}
	return reason
}

// field is of.name.
type field struct {
	at   int
	of   node
	name string
}

func (n *field) offset() int { return n.of.offset() }

func (n *field) check(b *binding) (*opaque, *fault) {
	if c := n.object(b, n.of); c != nil {
		return c.checkField(b, n.name, n.at)
	}
	if f := plain(b, []node{n.of}, "asked for a field"); f != nil {
		return nil, f
	}
	return nil, &fault{at: n.at, reason: fmt.Sprintf("a string has no field %q", clip(n.name))}
}

func (n *field) eval(ctx context.Context, b *binding) (string, *fault) {
	if c := n.object(b, n.of); c != nil {
		return c.evalField(ctx, b, n.name)
	}
	_, f := n.check(b)
	return "", f
}

// object returns the call of a function with fields that of consists of, also
// where it is an expression of its own, or nil.
func (n *field) object(b *binding, of node) *call {
	switch of := of.(type) {
	case *call:
		if len(b.Functions[of.path].Fields) > 0 {
			return of
		}
	case *expression:
		if of.fault == nil {
			return n.object(b, of.body)
		}
	}
	return nil
}

// method is of.name(args).
type method struct {
	at   int
	of   node
	name string
	args []node
}

func (m *method) offset() int { return m.of.offset() }

func (m *method) check(b *binding) (*opaque, *fault) {
	if f := plain(b, []node{m.of}, "given a method"); f != nil {
		return nil, f
	}
	if m.name != concat {
		return nil, &fault{at: m.at, name: m.name, reason: "unknown method; the only one is " + concat}
	}
	if len(m.args) != 1 {
		return nil, &fault{at: m.at, name: m.name, reason: fmt.Sprintf("takes %s, has %d", arity(1, 1), len(m.args))}
	}
	return nil, plain(b, m.args, "passed as an argument")
}

func (m *method) eval(ctx context.Context, b *binding) (string, *fault) {
	if m.name != concat || len(m.args) != 1 {
		_, f := m.check(b)
		return "", f
	}
	return join(ctx, b, m.at, []node{m.of, m.args[0]})
}

// index is of[key]. No value has one.
type index struct {
	at int
	of node
}

func (n *index) offset() int { return n.of.offset() }

func (n *index) check(b *binding) (*opaque, *fault) {
	if f := plain(b, []node{n.of}, "indexed"); f != nil {
		return nil, f
	}
	return nil, &fault{at: n.at, reason: "a string has no index"}
}

func (n *index) eval(_ context.Context, b *binding) (string, *fault) {
	_, f := n.check(b)
	return "", f
}
