package expr

import (
	"context"
	"strings"
)

// Resolve is the second phase. It takes a text that [Plan] returned, calls the deferred
// functions, and returns the text with each placeholder replaced by the result of its call. The
// text around the placeholders may have changed since Plan: another program may have resolved
// the expressions that passed through.
//
// Resolve verifies all placeholders before it calls a function. Plan must have made each of
// them with this key, for this place, and for the same text. They must stand in the order of
// Plan, and none may occur twice. Only placeholders at the end may be missing. env must have
// the functions. Otherwise Resolve fails with an [*Error]. If a placeholder is at fault, that
// error wraps [ErrPlaceholder]; it does not show the placeholder. A text can be resolved any
// number of times.
//
// Resolve does not evaluate expressions, even those that env could evaluate, and it does not
// scan results. It uses only the Functions of env. The text has at most [MaxText] bytes and
// each result at most [MaxResult]. On an error, Resolve returns an empty text and calls no
// later function. An error's line and column are those in text, not those in the planned
// source.
func Resolve(ctx context.Context, text string, env Env, key PlanKey, place ...string) (string, error) {
	s, err := key.sealer(place)
	if err != nil {
		return "", err
	}
	if _, err := env.bind(nil); err != nil {
		return "", err
	}
	out, f := s.resolve(ctx, text, env)
	if f != nil {
		return "", f.locate(text)
	}
	return out, nil
}

func (s *sealer) resolve(ctx context.Context, text string, env Env) (string, *fault) {
	if f := tooLongText(text); f != nil {
		return "", f
	}
	spans, calls, f := s.openAll(text)
	if f != nil {
		return "", f
	}
	for i, p := range calls {
		fn, ok := env.Functions[p.path]
		if !ok || !fn.accepts(p.call) {
			return "", &fault{at: spans[i].start, name: p.path, reason: "was planned with a function that this Env does not have, or has with other arguments or fields"}
		}
	}
	var out strings.Builder
	done := 0
	for i, p := range calls {
		result, f := env.Functions[p.path].invoke(ctx, p.path, spans[i].start, p.call)
		if f != nil {
			return "", f
		}
		out.WriteString(text[done:spans[i].start])
		out.WriteString(result)
		done = spans[i].end
	}
	out.WriteString(text[done:])
	return out.String(), nil
}
