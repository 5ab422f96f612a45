package expr

import (
	"context"
	"fmt"
	"strings"
)

// authorVariable holds the value of an author's variable. The value is read and parsed once.
type authorVariable struct {
	path     string
	template *Template
	value    node
	fault    *fault // why the value could not be parsed
	reading  bool   // the variable is being checked; another read of it is a cycle
}

// authorVariable returns the author's variable with this path, or nil if the path is unknown.
func (b *binding) authorVariable(path string) *authorVariable {
	if a := b.authorVariables[path]; a != nil {
		return a
	}
	root, rest, _ := strings.Cut(path, ".")
	read := b.AuthorVariables[root]
	if read == nil {
		return nil
	}
	text, ok := read(rest)
	if !ok {
		return nil
	}
	a := &authorVariable{path: path}
	b.authorVariables[path] = a
	if a.fault = checkSize(text, 0, path); a.fault != nil {
		return a
	}
	if a.template, a.fault = b.Delimiters.parse(text); a.fault == nil {
		a.value = a.template.joined()
	}
	return a
}

// joined returns the whole template as one value.
func (t *Template) joined() *joined {
	all := &joined{}
	done := 0
	for _, e := range t.outer {
		all.parts = append(all.parts, &literal{at: done, text: t.unescape(t.text[done:e.start])}, e)
		done = e.end
	}
	all.parts = append(all.parts, &literal{at: done, text: t.unescape(t.text[done:])})
	return all
}

// check checks the value for a reader at offset at. Each read counts the expressions of the
// value again, so that values that read others twice cannot grow without bound.
func (a *authorVariable) check(b *binding, at int) (*opaque, *fault) {
	if a.fault != nil {
		return nil, a.locate(a.fault, at)
	}
	if a.reading {
		return nil, &fault{at: at, name: a.path, reason: "the variable refers to itself"}
	}
	if b.reading == MaxDepth {
		return nil, &fault{at: at, name: a.path, reason: fmt.Sprintf("more than %d variables refer to one another", MaxDepth)}
	}
	if b.expressions += len(a.template.all); b.expressions > MaxExpressions {
		return nil, &fault{at: at, name: a.path, reason: fmt.Sprintf("more than %d expressions in the text and in the variables that it reads", MaxExpressions)}
	}
	a.reading = true
	b.reading++
	o, f := a.value.check(b)
	b.reading--
	a.reading = false
	return o, a.locate(f, at)
}

func (a *authorVariable) eval(ctx context.Context, b *binding, at int) (string, *fault) {
	value, f := a.value.eval(ctx, b)
	return value, a.locate(f, at)
}

// locate converts a fault in the value to a fault of the reader at offset at. The innermost
// value adds its own line and column.
func (a *authorVariable) locate(f *fault, at int) *fault {
	if f == nil {
		return nil
	}
	outer := *f // a copy, because f may belong to a Template
	outer.at = at
	if f.within == "" && a.template != nil {
		line, column := position(a.template.text, f.at)
		outer.within = fmt.Sprintf("in the value of %s, line %d, column %d", clip(a.path), line, column)
	}
	return &outer
}

// refuseUnresolved refuses, in strict mode, a user's value that contains an expression. The
// expression is not resolved, although its author may have expected that.
func (b *binding) refuseUnresolved(value string, v *variable) *fault {
	if !b.Strict || len(value) > MaxResult {
		return nil
	}
	s := scanner{text: value, chosen: b.Delimiters.all()}
	_ = s.scan() // if the value ends inside an expression, the part before that is enough
	if len(s.outer) == 0 || s.outer[0].end == 0 {
		return nil
	}
	return &fault{at: v.at, name: v.path, reason: "its value contains an expression, which is not resolved because a user may have written it; strict mode does not allow that"}
}
