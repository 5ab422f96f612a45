package expr

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
)

// Plan is the first of two phases. It does the same as [Expand], but it calls only functions
// that are [Func.Planned]. For a call of any other function it writes a placeholder. Later, in
// the process that runs the step, [Resolve] calls the function and replaces the placeholder by
// the result. The placeholder holds the function and its evaluated arguments, encrypted and
// authenticated with the key. It consists of ASCII letters, digits, "-", "_" and ".", and no
// two placeholders are equal.
//
// place identifies the text. It goes from the largest part to the smallest: the execution, the
// stage, the step, and the text of the step, such as "env.TOKEN". It has at least one part, and
// no part is empty. A placeholder is valid for its place only.
//
// Plan does not know the results of deferred calls. Such a result may be placed. It may be
// joined with + and concat, unless it is secret. Unlike in Expand, its use as an argument, in a
// comparison or as a condition is an [*Error].
//
// Plan refuses a text that looks like a placeholder or a part of one, with an *Error that wraps
// [ErrPlaceholder]. It refuses it in the text, in an argument, and in the result, where a value
// and the text around it may form a placeholder. A text has at most 1,000 placeholders, each
// for a call of at most 4 KiB, and the result has at most [MaxText] bytes. On an error, Plan
// returns an empty text. An error of another type than *Error is about env, key or place.
func Plan(ctx context.Context, text string, env Env, key PlanKey, place ...string) (string, error) {
	s, err := key.sealer(place)
	if err != nil {
		return "", err
	}
	t, err := env.Delimiters.Parse(text)
	if err != nil {
		return "", err
	}
	if at := strings.Index(text, placeholderWord); at >= 0 {
		return "", forged(at).locate(text)
	}
	b, err := env.bind(&planner{sealer: s, id: rand.Text(), template: t})
	if err != nil {
		return "", err
	}
	return t.expand(ctx, b)
}

// planner makes the placeholders of one text.
type planner struct {
	*sealer
	id       string // random, different for each text
	template *Template
	made     []string // the placeholders, in the order of the text
	placed   []placed // the results, in the order of the text
}

// placed is the result of an outermost expression and its place in the planned text.
type placed struct {
	e          *expression
	start, end int
}

// deferCall returns the placeholder of a call at offset at. The placeholder is always placed
// into the text, because check allows no other use of a deferred call.
func (p *planner) deferCall(at int, path string, c Call) (string, *fault) {
	if len(p.made) == maxPlaceholders {
		return "", &fault{at: at, name: path, reason: fmt.Sprintf("more than %d calls are deferred", maxPlaceholders)}
	}
	for _, arg := range c.Args {
		if strings.Contains(arg, placeholderWord) {
			return "", forged(at)
		}
	}
	made := p.seal(deferredCall{plan: p.id, index: strconv.Itoa(len(p.made)), path: path, call: c})
	if made == "" {
		return "", &fault{at: at, name: path, reason: fmt.Sprintf("a deferred call has more than %d bytes", maxSealed)}
	}
	p.made = append(p.made, made)
	return made, nil
}

// verify checks that the planned text contains the placeholders that were made for it, each
// once, and nothing else that looks like one. So a value cannot bring a placeholder.
func (p *planner) verify(out string) *fault {
	if len(out) > MaxText {
		return &fault{at: p.origin(MaxText), reason: fmt.Sprintf("the planned text has more than %d bytes", MaxText)}
	}
	spans, _, f := findPlaceholders(out)
	for i, s := range spans {
		if i == len(p.made) || out[s.start:s.end] != p.made[i] {
			return forged(p.origin(s.start))
		}
	}
	if f != nil {
		return forged(p.origin(f.at))
	}
	return nil
}

// origin returns the offset in the source of the text or expression that produced offset at of
// the planned text.
func (p *planner) origin(at int) int {
	from, to := 0, 0
	for _, r := range p.placed {
		if at < r.start {
			break
		}
		if at < r.end {
			return r.e.start
		}
		from, to = r.end, r.e.end
	}
	return p.template.offset(to, at-from)
}

// forged returns the fault for a text at offset at that only Plan may write.
func forged(at int) *fault {
	return &fault{at: at, err: ErrPlaceholder, reason: "the text or a value here looks like a placeholder, and only Plan may write placeholders"}
}
