package expr

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken/internal/near"
)

// Env holds the functions and variables that the expressions of a text may use. The zero Env
// knows no root, so every expression with a path in it passes through.
//
// The roots "true", "false" and "input" are reserved: an Env cannot have them.
type Env struct {
	// Functions maps a whole path, such as "secrets.getJWT", to its function. No path may end
	// in ".concat", because concat is a method of every string. Optional.
	Functions map[string]Func

	// Variables maps a root to the reader of its variables, for variables that a user, a
	// trigger or another stranger may have written. A value is placed unchanged and never
	// scanned for expressions. For <+stage.variables.conn>, the reader of "stage" is called
	// with "variables.conn"; for <+stage>, with "". It returns false for an unknown variable,
	// which is an *Error. Readers must be fast and have no side effects: Check calls them too,
	// and more than once. Optional.
	Variables map[string]func(path string) (string, bool)

	// AuthorVariables maps a root to the reader of variables that the author of the text wrote.
	// A value may contain expressions. They are resolved where the variable is read, by the
	// rules of the text itself. A root may have a reader in both maps. Variables has precedence
	// for a path that both know, so that a user's value replaces the author's. Optional.
	AuthorVariables map[string]func(path string) (string, bool)

	// Delimiters selects the delimiters of expressions. The zero value means Angle.
	Delimiters Delimiters

	// ForeignRoots lists roots that another program resolves. An expression with another
	// unknown root is an *Error if the root is probably a misspelling of a known one. The
	// package documentation lists the roots that are always accepted. Optional.
	ForeignRoots []string

	// Strict makes an error of every expression that would stay in the result: an expression
	// that would pass through, or one in a value of Variables.
	Strict bool
}

// Func is one function that expressions may call.
type Func struct {
	// MinArgs and MaxArgs bound the number of arguments.
	MinArgs, MaxArgs int

	// Fields makes the result an object, if it is not empty. An expression must then read
	// exactly one of these fields: getAWSCredentials("c").accessKeyId.
	Fields []string

	// Secret restricts the result: it may be placed into text and used in no other way.
	Secret bool

	// Planned makes Plan call the function, as Expand does. Set it if the result does not
	// depend on where the step runs, and may be stored and shown, so it is not a secret. Plan
	// defers the calls of all other functions.
	Planned bool

	// Call returns the result, which has at most MaxResult bytes. It is called once for each
	// time that the expression is written and its branch chosen. Its error becomes the Err of
	// an *Error and must not contain a secret. Required, unless the Env is used only for Plan
	// and the function is not Planned.
	Call func(ctx context.Context, c Call) (string, error)
}

// Call is one call with evaluated arguments.
type Call struct {
	Args  []string // the exact bytes, not trimmed or checked; the function may keep the slice
	Field string   // one of Func.Fields; "" if the function has no fields
}

// binding is a checked Env, with values derived from it.
type binding struct {
	Env
	plan            *planner // defers calls; nil means that every function is called
	roots           map[string]bool
	known           []string // the roots, sorted
	foreign         map[string]bool
	aliases         map[string]string          // paths of functions, by their snake_case spelling
	authorVariables map[string]*authorVariable // the author's variables that were read, by path

	expressions int // during a check: the number of expressions in the text and in the variables that it reads
	reading     int // during a check: the number of nested author's variables
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

// alias makes the function of a path callable by its snake_case spelling, unless another
// function has that path.
func (b *binding) alias(path string) error {
	spelled := snakePath(path)
	if _, taken := b.Functions[spelled]; taken {
		return nil
	}
	if other, taken := b.aliases[spelled]; taken {
		return fmt.Errorf("expr: Env.Functions[%q]: the snake_case spelling %s also belongs to %s", path, spelled, other)
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

// defers reports whether calls of f become placeholders.
func (b *binding) defers(f Func) bool { return b.plan != nil && !f.Planned }

// refuse returns the reason why a function cannot have that path or those settings. It returns
// "" if there is no such reason. isDeferred reports whether Plan defers its calls.
func (f Func) refuse(path string, isDeferred bool) string {
	switch {
	case !isPath(path):
		return "the key is not a path of names"
	case refuseRoot(rootOf(path)) != "":
		return refuseRoot(rootOf(path))
	case strings.HasSuffix(path, "."+concat):
		return "concat is a method of every string"
	case f.Call == nil && !isDeferred:
		return "Call is nil"
	case f.Secret && f.Planned:
		return "Secret and Planned contradict each other"
	case f.MinArgs < 0 || f.MaxArgs < f.MinArgs:
		return "MinArgs and MaxArgs contradict each other"
	}
	return ""
}

// refuseRoot returns the reason why a name cannot be a root, or "".
func refuseRoot(root string) string {
	switch {
	case root == "true" || root == "false" || root == "input":
		return "the root is reserved"
	case root[0] == '$':
		return "a root cannot begin with $"
	}
	return ""
}

// passesThrough reports whether e is kept unchanged.
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

// intendedRoot returns the known root that the author of e, which passes through, probably
// meant. It returns "" if there is no such root.
func (b *binding) intendedRoot(e *expression) string {
	if e.input || b.roots[rootOf(e.name)] {
		return ""
	}
	return b.misspelled(e.name)
}

// canonical returns the key in Functions for either spelling of a function.
func (b *binding) canonical(path string) string {
	if known, ok := b.aliases[path]; ok {
		return known
	}
	return path
}

// function returns the function that the call at offset at names.
func (b *binding) function(path string, at int) (Func, *fault) {
	if fn, ok := b.Functions[b.canonical(path)]; ok {
		return fn, nil
	}
	if f := b.unknownRoot(path, at); f != nil {
		return Func{}, f
	}
	if isGetValue(path) {
		return Func{}, &fault{at: at, name: path, reason: "passes through, so it has to be an expression of its own: <+secrets.getValue(...)>"}
	}
	return Func{}, &fault{at: at, name: path, reason: "unknown function" + b.suggest(path)}
}

// variable returns the value of a user's variable, or the author's variable, that the path at
// offset at names.
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

// unknownRoot refuses a path with an unknown root inside an expression with a known root. Such
// an expression can neither be evaluated nor pass through.
func (b *binding) unknownRoot(path string, at int) *fault {
	if b.roots[rootOf(path)] {
		return nil
	}
	reason := fmt.Sprintf("unknown root %q in an expression that has to be resolved here", clip(rootOf(path)))
	if best := b.misspelled(path); best != "" {
		reason += fmt.Sprintf(": did you mean %q?", best)
	}
	return &fault{at: at, name: path, reason: reason}
}

// suggest returns the nearest function with the same root, in the spelling of path, as the end
// of an error's reason. Functions with another root are not near.
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
