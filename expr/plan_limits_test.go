package expr_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/expr"
)

// A plan at a limit succeeds and can be resolved. A plan above a limit fails with a place.
//
// E03
func TestPlanLimits(t *testing.T) {
	t.Parallel()
	repeat := strings.Repeat
	const call = "<+secrets.getJWT('c')>"
	key := expr.NewPlanKey()
	one := len(mustPlan(t, call, manager(), key, place...))
	// The size of an encoded call, without its only argument.
	sealed := len(expr.AppendStrings([]string{repeat("x", 26), "0", "secrets.getJWT", "", repeat("x", 4000)})) - 4000
	for _, tt := range []struct {
		name         string
		text         func(n int) string
		limit        int
		line, column int
		function     string
		reason       string
	}{
		{"calls", func(n int) string {
			return "<+" + repeat("path.join()+", 500) + "''>\n<+" + repeat("path.join()+", n-500) + "''>"
		},
			1000, 2, 3 + 12*500, "path.join", "more than 1000 calls are deferred"},
		{"arguments", func(n int) string { return "\n <+secrets.getJWT('" + repeat("x", n) + "')>" },
			expr.MaxSealed - sealed, 2, 4, "secrets.getJWT", "a deferred call has more than 4096 bytes"},
		{"planned text", func(n int) string { return call + "\n" + repeat("x", n-one-1) }, expr.MaxText, 2, expr.MaxText - one, "", "the planned text has more than 4194304 bytes"},
		{"planned text that ends in a result", func(n int) string { return repeat("x", n-one) + "\n" + call + "<+user.x>" }, expr.MaxText - 1, 2, 23, "", "the planned text has more than"},
		{"result", func(n int) string { return "<+'" + repeat("x", n-one) + call + "'>" }, expr.MaxResult, 1, 3, "", "the result has more than 262144 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := manager()
			env.Variables["user"] = func(string) (string, bool) { return "", true }
			planned := mustPlan(t, tt.text(tt.limit), env, key, place...)
			var h host
			if _, err := expr.Resolve(t.Context(), planned, h.env(), key, place...); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			env.Variables["user"] = func(string) (string, bool) { return "x", true }
			n := tt.limit + 1
			if strings.HasSuffix(tt.name, "in a result") {
				n = tt.limit
			}
			got, err := expr.Plan(t.Context(), tt.text(n), env, key, place...)
			var e *expr.Error
			if got != "" || !errors.As(err, &e) {
				t.Fatalf("above the limit: %d bytes, %v", len(got), err)
			}
			wantError(t, expr.Error{Line: tt.line, Column: tt.column, Function: tt.function, Reason: tt.reason}, *e)
		})
	}
}

// Resolve limits its text too, because another program may have added to it.
//
// E03
func TestResolveLimits(t *testing.T) {
	t.Parallel()
	key := expr.NewPlanKey()
	planned := mustPlan(t, strings.Repeat("<+secrets.getJWT('c')>\n", expr.MaxPlaceholders), manager(), key, place...)
	var h host
	if _, err := expr.Resolve(t.Context(), planned, h.env(), key, place...); err != nil || len(h.calls) != expr.MaxPlaceholders {
		t.Errorf("%d calls, %v", len(h.calls), err)
	}
	e := mustRefuse(t, planned+placeholder.FindString(planned), key, place...)
	wantError(t, expr.Error{Line: expr.MaxPlaceholders + 1, Column: 1, Reason: "more than 1000 placeholders in the text"}, e)
	e = mustRefuse(t, planned+strings.Repeat("x", expr.MaxText-len(planned)+1), key, place...)
	wantError(t, expr.Error{Line: expr.MaxPlaceholders + 1, Column: 1 + expr.MaxText - len(planned), Reason: "the text has more than"}, e)
	if got, err := expr.Resolve(t.Context(), strings.Repeat("x", expr.MaxText), h.env(), key, place...); err != nil || len(got) != expr.MaxText {
		t.Errorf("a long text: %d bytes, %v", len(got), err)
	}
}

// placeholderShapes are hostile to the search for placeholders.
var placeholderShapes = []struct {
	name string
	text func(size int) string
}{
	{"plain", fill("", "echo a < b > c\n", "")},
	{"almost the word", fill("", "oidctoken-placeholde", "")},
	{"the word's first byte", fill("", "o", "")},
	{"words", fill("", "oidctoken-placeholder", "")},
	{"heads", fill("", "oidctoken-placeholder.v1.", "")},
	{"a body without end", fill("oidctoken-placeholder.v1.", "A", "")},
	{"a body of words", fill("oidctoken-placeholder.v1.", "oidctoken-placeholder", "")},
	{"whole, of nothing", fill("", "oidctoken-placeholder.v1..oidctoken-placeholder", "")},
	{"whole, too long", fill("oidctoken-placeholder.v1.", "A", ".oidctoken-placeholder")},
	{"tails", fill("", ".oidctoken-placeholder", "")},
	{"far apart", func(size int) string {
		return strings.Repeat("oidctoken-placeholder.v1.AAAA.oidctoken-placeholder"+strings.Repeat(" ", size/expr.MaxPlaceholders-51), expr.MaxPlaceholders)
	}},
}

// The search looks at each byte a limited number of times, even in hostile texts.
//
// E03
func TestFindingPlaceholdersIsLinear(t *testing.T) {
	t.Parallel()
	const most = 2
	for _, shape := range placeholderShapes {
		for _, size := range []int{64 << 10, expr.MaxText} {
			text := shape.text(size)
			if len(text) > size {
				t.Fatalf("%s: %d bytes, want %d", shape.name, len(text), size)
			}
			steps, whole := expr.PlaceholderSteps(text)
			if steps > most*len(text) || whole && steps < len(text) {
				t.Errorf("%s: %d steps for %d bytes", shape.name, steps, len(text))
			}
		}
	}
}

// Apart from copying, planning and resolving a large text costs no more than a small text with
// the same number of calls.
//
// E03
func TestPlanAllocatesLinearly(t *testing.T) {
	env := expr.Env{Functions: map[string]expr.Func{
		"f.x": {MaxArgs: 1, Call: func(context.Context, expr.Call) (string, error) { return "result", nil }},
	}}
	key := expr.NewPlanKey()
	text := func(size int) string {
		line := fmt.Sprintf("<+f.x('a')>%*s\n", size/expr.MaxExpressions-12, "")
		return strings.Repeat(line, expr.MaxExpressions)
	}
	allocations := func(size int) float64 {
		text := text(size)
		return testing.AllocsPerRun(3, func() {
			planned, err := expr.Plan(t.Context(), text, env, key, place...)
			if err != nil {
				t.Error(err)
			}
			if _, err := expr.Resolve(t.Context(), planned, env, key, place...); err != nil {
				t.Error(err)
			}
		})
	}
	small, large := allocations(64<<10), allocations(3<<20)
	if large > small+64 { // 64 for buffers that grow by doubling
		t.Errorf("%v allocations for 3 MiB, %v for 64 KiB with as many calls", large, small)
	}
}
