package expr

import (
	"context"
	"strings"
)

// Resolve is the second phase. It returns text, which came from [Plan], with
// each placeholder replaced by the result of the call that was put off. Around
// and between the placeholders the text may have changed since, as where others
// resolve what had passed through.
//
// Before any function is called, all placeholders are verified: each was made
// by Plan with this key for this place, they are of one text, stand in the
// order in which Plan has placed them, none twice and none left out before
// another, and env has the functions. Else Resolve fails with an [*Error] that
// wraps [ErrPlaceholder], if the placeholder is at fault, and does not show it. A
// text can be resolved any number of times.
//
// Nothing else in the text has a meaning: expressions are left as they are,
// those too that env could evaluate, and results are not scanned. Of env, only
// Functions serves. The text is at most [MaxText] long, and each result at most
// [MaxResult]. On an error, the text returned is empty and no later function
// has been called. Lines and columns are those of text, not of what was planned.
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
			return "", &fault{at: spans[i].start, name: p.path, reason: "was planned for other functions than there are here"}
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
