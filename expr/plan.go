package expr

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
)

// Plan is the first of two phases. It does what [Expand] does, but calls no
// function that is not [Func.Planned]: for such a call it places a placeholder
// that [Resolve] replaces, in the process that runs the step, by what the
// function returns there. The placeholder holds the function and its evaluated
// arguments, encrypted and authenticated with the key; it consists of ASCII
// letters, digits, "-", "_" and ".", and no two are alike.
//
// The place says what the text is, from the largest to the smallest: the
// execution, the stage, the step and which text of the step, such as "env.TOKEN".
// It has at least one part, and none is empty. A placeholder is good for
// that place alone.
//
// What is put off is not known here. It may be placed, and joined with + and
// concat unless it is secret; as an argument, in a comparison or as a condition
// it is an [*Error] that says so, which it would not be in Expand.
//
// A text that looks like a placeholder, if only in part, is refused with an
// *Error that wraps [ErrPlaceholder]: in the text itself, in an argument, and in
// whatever a value, alone or with what is around it, makes of the result. There
// are at most 1,000 placeholders in a text, each for a call of at most 4 KiB, and
// the result is at most [MaxText] long. On an error, the text returned is empty;
// an error that is no *Error is about env, key or place.
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
	id       string // that no other text has
	template *Template
	made     []string // the placeholders, in the order in which they are placed
	placed   []placed // the results, in order
}

// placed is the result of an outermost expression, in the text that is made.
type placed struct {
	e          *expression
	start, end int
}

// putOff returns the placeholder of a call at offset at. Whatever is put off is
// placed, since check lets nothing else be done with it.
func (p *planner) deferCall(at int, path string, c Call) (string, *fault) {
	if len(p.made) == maxPlaceholders {
		return "", &fault{at: at, name: path, reason: fmt.Sprintf("more than %d calls are put off", maxPlaceholders)}
	}
	for _, arg := range c.Args {
		if strings.Contains(arg, placeholderWord) {
			return "", forged(at)
		}
	}
	made := p.seal(deferredCall{plan: p.id, index: strconv.Itoa(len(p.made)), path: path, call: c})
	if made == "" {
		return "", &fault{at: at, name: path, reason: fmt.Sprintf("a call of more than %d bytes cannot be put off", maxSealed)}
	}
	p.made = append(p.made, made)
	return made, nil
}

// verify refuses the text made, unless the placeholders in it are those that
// were made for it, each once: what values bring is then none of them.
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

// origin returns where in the source what stands at offset at was written.
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

func forged(at int) *fault {
	return &fault{at: at, err: ErrPlaceholder, reason: "what stands here, or a value of it, looks like a placeholder, which Plan alone may write"}
}
