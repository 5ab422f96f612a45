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

	// Variables are the readers of variables that a user, a trigger or another
	// stranger may have written, by root. A value is placed unchanged and never
	// scanned for expressions. For <+stage.variables.conn>, the reader of "stage"
	// is called with "variables.conn"; for <+stage>, with "". It returns false for
	// what does not exist, which is an *Error. Readers must be quick and without
	// effect: Check calls them too, and more than once. Optional.
	Variables map[string]func(path string) (string, bool)

	// AuthorVariables are the readers of variables whose values the author of
	// the text wrote. A value may hold expressions, which are resolved where the
	// variable is read, by the rules of the text itself. A root may have readers
	// in both: Variables has precedence for a path that both know, so that a
	// user's value replaces the author's. Optional.
	AuthorVariables map[string]func(path string) (string, bool)

	// Delimiters selects how expressions are written. The zero value is Angle.
	Delimiters Delimiters

	// ForeignRoots are roots that another program resolves. An expression of
	// another unknown root is an *Error if its root is probably a misspelling of
	// a known one. See the package's documentation for the roots that need not be
	// listed. Optional.
	ForeignRoots []string

	// Strict makes an error of every expression that would stay text: of one
	// that would pass through, and of one in a value of Variables.
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
	plan            *planner // puts calls off; nil calls every function
	roots           map[string]bool
	known           []string // the roots, sorted
	foreign         map[string]bool
	aliases         map[string]string          // paths of functions, by their snake_case spelling
	authorVariables map[string]*authorVariable // the author's variables that were read, by path

	expressions int // of the text and of the variables that it reads, while it is checked
	reading     int // author's variables within one another, while they are checked
}

func (e Env) bind(plan *planner) (*binding, error) {
	b := &binding{
		Env: e, plan: plan, roots: make(map[string]bool), foreign: make(map[string]bool),
		aliases: make(map[string]string), authorVariables: make(map[string]*authorVariable),
	}
	if !e.Delimiters.isValid() {
		return nil, errDelimiters
	}
	for _, path := range slices.Sorted(maps.Keys(e.Functions)) {
		if reason := e.Functions[path].refuse(path, b.defers(e.Functions[path])); reason != "" {
			return nil, fmt.Errorf("expr: Env.Functions[%q]: %s", path, reason)
		}
		b.roots[rootOf(path)] = true
		if err := b.alias(path); err != nil {
			return nil, err
		}
	}
	if err := b.bindVariables("Variables", e.Variables); err != nil {
		return nil, err
	}
	if err := b.bindVariables("AuthorVariables", e.AuthorVariables); err != nil {
		return nil, err
	}
	for _, root := range e.ForeignRoots {
		switch {
		case !isPath(root) || strings.Contains(root, "."):
			return nil, fmt.Errorf("expr: Env.ForeignRoots: %q is not a name", clip(root))
		case b.roots[root]:
			return nil, fmt.Errorf("expr: Env.ForeignRoots: %q has functions or variables in this Env", clip(root))
		}
		b.foreign[root] = true
	}
	b.known = slices.Sorted(maps.Keys(b.roots))
	return b, nil
}

// alias lets the function of a path be called by its snake_case spelling, unless
// a function has that path.
func (b *binding) alias(path string) error {
	spelled := snakePath(path)
	if _, taken := b.Functions[spelled]; taken {
		return nil
	}
	if other, taken := b.aliases[spelled]; taken {
		return fmt.Errorf("expr: Env.Functions[%q]: in snake_case it is %s, as is %s", path, spelled, other)
	}
	b.aliases[spelled] = path
	return nil
}

func (b *binding) bindVariables(field string, readers map[string]func(string) (string, bool)) error {
	for _, root := range slices.Sorted(maps.Keys(readers)) {
		switch {
		case !isPath(root) || strings.Contains(root, "."):
			return fmt.Errorf("expr: Env.%s[%q]: the root is not a name", field, root)
		case refuseRoot(root) != "":
			return fmt.Errorf("expr: Env.%s[%q]: %s", field, root, refuseRoot(root))
		case readers[root] == nil:
			return fmt.Errorf("expr: Env.%s[%q]: the reader is nil", field, root)
		}
		b.roots[root] = true
	}
	return nil
}

// putsOff says whether calls of f become placeholders.
func (b *binding) defers(f Func) bool { return b.plan != nil && !f.Planned }

// refuse says what is wrong with a function of that path, whose calls may be put
// off; "" is nothing.
func (f Func) refuse(path string, off bool) string {
	switch {
	case !isPath(path):
		return "the key is not a path of names"
	case refuseRoot(rootOf(path)) != "":
		return refuseRoot(rootOf(path))
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

// refuseRoot says why a name cannot be a root; "" is for no reason.
func refuseRoot(root string) string {
	switch {
	case root == "true" || root == "false" || root == "input":
		return "the root is reserved"
	case root[0] == '$':
		return "the root begins with $, and no expression does"
	}
	return ""
}

// passes says whether e is kept as it is written.
func (b *binding) passesThrough(e *expression) bool {
	if e.input {
		return true
	}
	if isGetValue(e.name) {
		_, bound := b.Functions[b.canonical(e.name)]
		return !bound
	}
	return e.name != "" && !b.roots[rootOf(e.name)]
}

// meant returns the known root that was probably meant by e, which passes, or "".
func (b *binding) intendedRoot(e *expression) string {
	if e.input || b.roots[rootOf(e.name)] {
		return ""
	}
	return b.misspelled(e.name)
}

// canonical returns the path under which a function is in Functions, for either
// spelling of it.
func (b *binding) canonical(path string) string {
	if known, ok := b.aliases[path]; ok {
		return known
	}
	return path
}

// function returns the function that a call at offset at names.
func (b *binding) function(path string, at int) (Func, *fault) {
	if fn, ok := b.Functions[b.canonical(path)]; ok {
		return fn, nil
	}
	if f := b.unknownRoot(path, at); f != nil {
		return Func{}, f
	}
	if isGetValue(path) {
		return Func{}, &fault{at: at, name: path, reason: "passes through, and so has to be an expression of its own: <+secrets.getValue(...)>"}
	}
	return Func{}, &fault{at: at, name: path, reason: "unknown function" + b.suggest(path)}
}

// variable returns the value of the variable that the path at offset at names:
// of a user's, or author.
func (b *binding) variable(path string, at int) (value string, author *authorVariable, _ *fault) {
	if f := b.unknownRoot(path, at); f != nil {
		return "", nil, f
	}
	root, rest, _ := strings.Cut(path, ".")
	if read := b.Variables[root]; read != nil {
		if value, ok := read(rest); ok {
			return value, nil, nil
		}
	}
	if a := b.authorVariable(path); a != nil {
		return "", a, nil
	}
	f := &fault{at: at, name: path, reason: "unknown variable"}
	if _, ok := b.Functions[b.canonical(path)]; ok {
		f.reason = "is a function: its arguments are missing"
	} else if b.Variables[root] == nil && b.AuthorVariables[root] == nil {
		f.reason = "unknown function" + b.suggest(path)
	}
	return "", nil, f
}

// unknownRoot refuses a path that stands, bare, in an expression of a known
// root: the expression can neither be evaluated nor pass through.
func (b *binding) unknownRoot(path string, at int) *fault {
	if b.roots[rootOf(path)] {
		return nil
	}
	reason := fmt.Sprintf("unknown root %q in an expression that has to be resolved here", clip(rootOf(path)))
	if best := b.misspelled(path); best != "" {
		reason += fmt.Sprintf(": was %q meant?", best)
	}
	return &fault{at: at, name: path, reason: reason}
}

// suggest looks among the functions of the same root only, since a name of
// another root is no misspelling. It answers in the spelling of path.
func (b *binding) suggest(path string) string {
	var known []string
	for k := range b.Functions {
		if rootOf(k) != rootOf(path) {
			continue
		}
		if strings.Contains(path, "_") {
			k = snakePath(k)
		}
		known = append(known, k)
	}
	if len(known) == 0 {
		return fmt.Sprintf(": %s has variables, but no functions", clip(rootOf(path)))
	}
	if best := near.Nearest(path, known); best != "" {
		return "; the nearest is " + best
	}
	return ""
}
