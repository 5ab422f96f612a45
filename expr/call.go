package expr

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken/internal/near"
)

// call is the node of path(args).
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

// checkField checks the call and the field that the text reads from its result. The field's
// name stands at offset at. The name is "" if the text reads no field.
func (c *call) checkField(b *binding, name string, at int) (*opaque, *fault) {
	fn, f := b.function(c.path, c.at)
	if f != nil {
		return nil, f
	}
	if len(c.args) < fn.MinArgs || len(c.args) > fn.MaxArgs {
		return nil, &fault{at: c.at, name: c.path, reason: fmt.Sprintf("takes %s, has %d", arity(fn.MinArgs, fn.MaxArgs), len(c.args))}
	}
	if len(fn.Fields) > 0 && fn.field(name) == "" {
		return nil, &fault{at: at, name: c.path, reason: refuseField(fn, name)}
	}
	if f := checkUsable(b, c.args, "passed as an argument"); f != nil {
		return nil, f
	}
	switch {
	case fn.Secret:
		return &opaque{name: c.path, opacity: secret}, nil
	case b.defers(fn):
		return &opaque{name: c.path, opacity: deferred}, nil
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
	evaluated := Call{Args: args, Field: fn.field(name)}
	if b.defers(fn) {
		return b.plan.deferCall(c.at, b.canonical(c.path), evaluated)
	}
	return fn.invoke(ctx, c.path, c.at, evaluated)
}

// field returns the field with this name, in either spelling. It returns "" for an unknown
// name.
func (f Func) field(name string) string {
	if slices.Contains(f.Fields, name) {
		return name
	}
	for _, field := range f.Fields {
		if snake(field) == name {
			return field
		}
	}
	return ""
}

// invoke calls the function of that path. The call stands at offset at.
func (f Func) invoke(ctx context.Context, path string, at int, c Call) (string, *fault) {
	if err := ctx.Err(); err != nil {
		return "", &fault{at: at, name: path, reason: "was not called", err: err}
	}
	result, err := f.Call(ctx, c)
	if err != nil {
		return "", &fault{at: at, name: path, reason: "failed", err: err}
	}
	if f := checkSize(result, at, path); f != nil {
		return "", f
	}
	return result, nil
}

// accepts reports whether the function has the number of arguments and the field of c.
func (f Func) accepts(c Call) bool {
	if len(c.Args) < f.MinArgs || len(c.Args) > f.MaxArgs {
		return false
	}
	return c.Field == "" && len(f.Fields) == 0 || slices.Contains(f.Fields, c.Field)
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
		return "the result is an object: one field has to be read: " + fields
	}
	reason := fmt.Sprintf("unknown field %q of %s", clip(name), fields)
	if best := near.Nearest(name, fn.Fields); best != "" {
		reason += "; the nearest is ." + best
	}
	return reason
}

// field is the node of of.name.
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
	if f := checkUsable(b, []node{n.of}, "asked for a field"); f != nil {
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

// object returns the call that of consists of, if the called function has fields. The call may
// be an expression of its own. Otherwise object returns nil.
func (n *field) object(b *binding, of node) *call {
	switch of := of.(type) {
	case *call:
		if len(b.Functions[b.canonical(of.path)].Fields) > 0 {
			return of
		}
	case *expression:
		if of.fault == nil {
			return n.object(b, of.body)
		}
	}
	return nil
}

// method is the node of of.name(args).
type method struct {
	at   int
	of   node
	name string
	args []node
}

func (m *method) offset() int { return m.of.offset() }

func (m *method) check(b *binding) (*opaque, *fault) {
	of, f := checkJoinable(b, []node{m.of}, "given a method")
	if f != nil {
		return nil, f
	}
	if m.name != concat {
		return nil, &fault{at: m.at, name: m.name, reason: "unknown method; the only method is " + concat}
	}
	if len(m.args) != 1 {
		return nil, &fault{at: m.at, name: m.name, reason: fmt.Sprintf("takes %s, has %d", arity(1, 1), len(m.args))}
	}
	arg, f := checkJoinable(b, m.args, "passed as an argument")
	if of == nil {
		of = arg
	}
	return of, f
}

func (m *method) eval(ctx context.Context, b *binding) (string, *fault) {
	if m.name != concat || len(m.args) != 1 {
		_, f := m.check(b)
		return "", f
	}
	return join(ctx, b, m.at, []node{m.of, m.args[0]})
}

// index is the node of of[key]. check refuses it, because no value has an index.
type index struct {
	at int
	of node
}

func (n *index) offset() int { return n.of.offset() }

func (n *index) check(b *binding) (*opaque, *fault) {
	if f := checkUsable(b, []node{n.of}, "indexed"); f != nil {
		return nil, f
	}
	return nil, &fault{at: n.at, reason: "a string has no index"}
}

func (n *index) eval(_ context.Context, b *binding) (string, *fault) {
	_, f := n.check(b)
	return "", f
}
