package broker

import (
	"context"
	"errors"

	"github.com/oidctoken/oidctoken/expr"
)

// PlanConfig configures [Plan], for a process that plans steps and does not run them. That
// process has no keys, no connectors and no broker.
type PlanConfig struct {
	// Key belongs to one execution. The planning process creates it with expr.NewPlanKey and
	// sends it to the process that runs the steps. Required.
	Key expr.PlanKey

	// These fields are the same as in [StepConfig]. Optional.
	Variables       map[string]func(path string) (string, bool)
	AuthorVariables map[string]func(path string) (string, bool)
	Delimiters      expr.Delimiters
	ForeignRoots    []string
	Strict          bool
}

// Plan resolves text, except that it writes a placeholder for every token and credential. So a
// manager never stores, sends or shows one. [Step.Resolve] gets them before the step starts.
// place identifies the text, as in [expr.Plan], which also describes the errors.
//
// Plan refuses a malformed reference. Resolve checks whether the connector exists and whether
// the step may use it.
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

// Resolve replaces the placeholders in a text that [Plan] returned for that place. It does not
// resolve expressions. It refuses a placeholder that another program made, or that was made for
// another step or execution. Then the error wraps [expr.ErrPlaceholder], and nothing is minted.
func (s *Step) Resolve(ctx context.Context, key expr.PlanKey, text string, place ...string) (string, error) {
	return s.resolvePlanned(ctx, key, text, place, new(usage))
}

// WriteResolved is like WriteFile, for a text that [Plan] returned.
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
