package broker

import (
	"context"
	"errors"

	"github.com/oidctoken/oidctoken/expr"
)

// PlanConfig is what a process knows that plans steps and does not run them. It
// has no keys, no connectors and no broker.
type PlanConfig struct {
	// Key is the execution's own. Whoever plans makes it, with expr.NewPlanKey,
	// and hands it to whoever runs the steps. Required.
	Key expr.PlanKey

	// These are as in a [StepConfig]. Optional.
	Variables       map[string]func(path string) (string, bool)
	AuthorVariables map[string]func(path string) (string, bool)
	Delimiters      expr.Delimiters
	ForeignRoots    []string
	Strict          bool
}

// Plan returns text with a placeholder for every token and credential that it
// asks for, so that none is ever in what a manager stores, sends or shows. All
// else is resolved. [Step.Resolve] mints, just before the step starts. The place
// is the text's alone, as in [expr.Plan], whose errors these are.
//
// Whether a connector exists, and whether the step may use it, is for Resolve to
// say. What is no reference at all is refused here.
func Plan(ctx context.Context, c PlanConfig, text string, place ...string) (string, error) {
	env := expr.Env{
		Functions:       make(map[string]expr.Func, len(functions)),
		Variables:       c.Variables,
		AuthorVariables: c.AuthorVariables,
		Delimiters:      c.Delimiters,
		ForeignRoots:    c.ForeignRoots,
		Strict:          c.Strict,
	}
	for i := range functions {
		f := functions[i].signature()
		f.Call = func(_ context.Context, written expr.Call) (string, error) {
			_, err := ParseRef(written.Args[0])
			return "", err
		}
		env.Functions[functions[i].name] = f
	}
	if _, err := expr.Expand(ctx, text, env); err != nil {
		return "", err
	}
	return expr.Plan(ctx, text, env, c.Key, place...)
}

// Resolve returns a text that [Plan] has made for that place with its
// placeholders replaced, as Expand replaces expressions, which are left alone
// here. A placeholder that was made for another step or execution, or by
// somebody else, is refused with [expr.ErrPlaceholder], and nothing is minted.
func (s *Step) Resolve(ctx context.Context, key expr.PlanKey, text string, place ...string) (string, error) {
	return s.resolvePlanned(ctx, key, text, place, new(usage))
}

// WriteResolved is WriteFile for a text that [Plan] has made.
func (s *Step) WriteResolved(ctx context.Context, name string, key expr.PlanKey, text string, place ...string) (path string, err error) {
	return s.writeFile(ctx, name, text, func(ctx context.Context, u *usage) (string, error) {
		return s.resolvePlanned(ctx, key, text, place, u)
	})
}

func (s *Step) resolvePlanned(ctx context.Context, key expr.PlanKey, text string, place []string, u *usage) (string, error) {
	out, err := expr.Resolve(ctx, text, s.using(u), key, place...)
	if errors.Is(err, expr.ErrPlaceholder) {
		s.audit(ctx, Event{Kind: Refused, Err: err})
	}
	return out, err
}
