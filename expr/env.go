package expr

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken/internal/near"
)

// Env is what the expressions of a text may call and read. Its zero value knows
// no root, so that every expression with a path in it passes through.
//
// Two roots cannot be bound, as they mean something in every text: "true" and
// "false". Neither can "input".
type Env struct {
	// Functions are the functions by their whole path, "secrets.getJWT". No
	// path ends in ".concat", which is the method of every string. Optional.
	Functions map[string]Func

	// Variables are the readers of variables, by root. For
	// <+stage.variables.conn>, the reader of "stage" is asked for
	// "variables.conn"; for <+stage>, for "". It returns false for what does not
	// exist, which is an *Error. Readers must be quick and without effect: they
	// are asked by Check too, and more than once. Optional.
	Variables map[string]func(path string) (string, bool)

	// Strict makes an error of every expression that would pass through.
	Strict bool
}

// Func is one function.
type Func struct {
	// MinArgs and MaxArgs bound the number of arguments.
	MinArgs, MaxArgs int

	// Fields, if not empty, says that the result is an object of which exactly
	// one of these fields has to be read: getAWSCredentials("c").accessKeyId.
	Fields []string

	// Secret says that the result may be placed into text and nothing else.
	Secret bool

	// Planned says that Plan calls the function as Expand does, because its
	// result does not depend on where the step runs, and may be kept and shown:
	// it is no secret. Plan puts off the calls of every other function.
	Planned bool

	// Call returns the result, of at most MaxResult bytes. It is called once for
	// each time that the expression is written and its branch chosen. Its error
	// becomes the Err of an *Error and must not hold a secret. Required, except
	// where only Plan is given the Env and the function is not Planned.
	Call func(ctx context.Context, c Call) (string, error)
}

// Call is one evaluated call.
type Call struct {
	Args  []string // exactly as written or read: not trimmed, not checked; the callee's to keep
	Field string   // one of Func.Fields; "" if there are none
}

// binding is an Env that has been checked, with what is derived from it.
type binding struct {
	Env
	text  string
	plan  *planner // puts calls off; nil calls every function
	roots map[string]bool
}

func (e Env) bind(text string, plan *planner) (*binding, error) {
	b := &binding{Env: e, text: text, plan: plan, roots: make(map[string]bool)}
	for _, path := range slices.Sorted(maps.Keys(e.Functions)) {
		if reason := e.Functions[path].refuse(path, b.putsOff(e.Functions[path])); reason != "" {
			return nil, fmt.Errorf("expr: Env.Functions[%q]: %s", path, reason)
		}
		b.roots[rootOf(path)] = true
	}
	for _, root := range slices.Sorted(maps.Keys(e.Variables)) {
		switch {
		case !isPath(root) || strings.Contains(root, "."):
			return nil, fmt.Errorf("expr: Env.Variables[%q]: the root is not a name", root)
		case reserved(root):
			return nil, fmt.Errorf("expr: Env.Variables[%q]: the root is reserved", root)
		case e.Variables[root] == nil:
			return nil, fmt.Errorf("expr: Env.Variables[%q]: the reader is nil", root)
		}
		b.roots[root] = true
	}
	return b, nil
}

// putsOff says whether calls of f become placeholders.
func (b *binding) putsOff(f Func) bool { return b.plan != nil && !f.Planned }

// refuse says what is wrong with a function of that path, whose calls may be put
// off; "" is nothing.
func (f Func) refuse(path string, off bool) string {
	switch {
	case !isPath(path):
		return "the key is not a path of names"
	case reserved(rootOf(path)):
		return "the root is reserved"
	case strings.HasSuffix(path, "."+concat):
		return "concat is a method of every string"
	case f.Call == nil && !off:
		return "Call is nil"
	case f.Secret && f.Planned:
		return "Secret and Planned contradict each other"
	case f.MinArgs < 0 || f.MaxArgs < f.MinArgs:
		return "MinArgs and MaxArgs contradict each other"
	}
	return ""
}

func reserved(root string) bool { return root == "true" || root == "false" || root == "input" }

// passes says whether e is kept as it is written.
func (b *binding) passes(e *expression) bool {
	if e.input {
		return true
	}
	if e.name == getValue {
		_, bound := b.Functions[getValue]
		return !bound
	}
	return e.name != "" && !b.roots[rootOf(e.name)]
}

// function returns the function that a call at offset at names.
func (b *binding) function(path string, at int) (Func, *fault) {
	if fn, ok := b.Functions[path]; ok {
		return fn, nil
	}
	if f := b.unknownRoot(path, at); f != nil {
		return Func{}, f
	}
	if path == getValue {
		return Func{}, &fault{at: at, name: path, reason: "passes through, and so has to be an expression of its own: <+secrets.getValue(...)>"}
	}
	return Func{}, &fault{at: at, name: path, reason: "unknown function" + b.suggest(path)}
}

// variable returns the value of the variable that the path at offset at names.
func (b *binding) variable(path string, at int) (string, *fault) {
	if f := b.unknownRoot(path, at); f != nil {
		return "", f
	}
	root, rest, _ := strings.Cut(path, ".")
	read := b.Variables[root]
	if read != nil {
		if value, ok := read(rest); ok {
			return value, nil
		}
	}
	f := &fault{at: at, name: path, reason: "unknown variable"}
	if _, ok := b.Functions[path]; ok {
		f.reason = "is a function: its arguments are missing"
	} else if read == nil {
		f.reason = "unknown function" + b.suggest(path)
	}
	return "", f
}

// unknownRoot refuses a path that stands, bare, in an expression of a known
// root: the expression can neither be evaluated nor pass through.
func (b *binding) unknownRoot(path string, at int) *fault {
	if b.roots[rootOf(path)] {
		return nil
	}
	return &fault{at: at, name: path, reason: fmt.Sprintf("unknown root %q in an expression that has to be resolved here", clip(rootOf(path)))}
}

// suggest looks among the functions of the same root only, since a name of
// another root is no misspelling.
func (b *binding) suggest(path string) string {
	var known []string
	for k := range b.Functions {
		if rootOf(k) == rootOf(path) {
			known = append(known, k)
		}
	}
	if len(known) == 0 {
		return fmt.Sprintf(": %s has variables, but no functions", clip(rootOf(path)))
	}
	if best := near.Nearest(path, known); best != "" {
		return "; the nearest is " + best
	}
	return ""
}
