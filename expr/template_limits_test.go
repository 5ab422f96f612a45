package expr_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/expr"
)

func nested(depth int, core string) string {
	return strings.Repeat("<+", depth) + core + strings.Repeat(">", depth)
}

// A text at a limit succeeds. A text above a limit fails with a place.
//
// E03
func TestLimits(t *testing.T) {
	t.Parallel()
	repeat := strings.Repeat
	for _, tt := range []struct {
		name         string
		text         func(n int) string
		limit        int
		line, column int
		reason       string
	}{
		{"text", func(n int) string { return "\n" + repeat("x", n-1) }, expr.MaxText, 2, expr.MaxText, "the text has more than 4194304 bytes"},
		{"text of lines", func(n int) string { return repeat("\n", n) }, expr.MaxText, expr.MaxText + 1, 1, "the text has more than"},
		{"depth", func(n int) string { return "\n" + nested(n, "stage.name") }, expr.MaxDepth, 2, 65, "more than 32 expressions within one another"},
		{"depth of what passes", func(n int) string { return nested(n, "pipeline.name") }, expr.MaxDepth, 1, 65, "more than 32 expressions within one another"},
		{"depth in strings", func(n int) string { return repeat(`<+"`, n) + repeat(`">`, n) }, expr.MaxDepth, 1, 97, "more than 32 expressions within one another"},
		{"depth in suffixes", func(n int) string { return repeat(`<+input>.default(`, n-1) + "<+input>" + repeat(`)`, n-1) }, 1000, 1, 17001, "more than 1000 expressions in the text"},
		{"expressions", func(n int) string { return repeat("<+stage.name>\n", n) }, expr.MaxExpressions, 1001, 1, "more than 1000 expressions in the text"},
		{"expressions that pass", func(n int) string { return repeat("<+x>", n) }, expr.MaxExpressions, 1, 4001, "more than 1000 expressions in the text"},
		{"nested expressions", func(n int) string { return "<+'" + repeat("<+stage>", n-1) + "'>" }, expr.MaxExpressions, 1, 8*999 + 4, "more than 1000 expressions in the text"},
		{"parentheses", func(n int) string { return "<+" + repeat("(", n) + "'a'" + repeat(")", n) + ">" }, expr.MaxDepth, 1, 35, "parentheses and branches nest more than 32 deep"},
		{"parentheses in expressions", func(n int) string {
			return repeat("<+"+repeat("(", expr.MaxDepth), n) + "'a'" + repeat(repeat(")", expr.MaxDepth)+">", n)
		}, expr.MaxDepth, 1, 32*34 + 1, "more than 32 expressions within one another"},
		{"calls in calls", func(n int) string { return "<+" + repeat("path.join(", n) + repeat(")", n) + ">" }, expr.MaxDepth, 1, 332, "parentheses and branches nest more than 32 deep"},
		{"branches", func(n int) string { return "<+" + repeat("true?", n) + "''" + repeat(":''", n) + ">" }, expr.MaxDepth, 1, 167, "parentheses and branches nest more than 32 deep"},
		{"negations", func(n int) string { return "<+" + repeat("!", n) + "true>" }, expr.MaxDepth, 1, 35, "more than 32 negations follow one another"},
		{"methods", func(n int) string { return "<+''" + repeat(".concat('')", n) + ">" }, expr.MaxDepth, 1, 357, "more than 32 methods and fields follow one another"},
		{"operands", func(n int) string { return "<+''" + repeat("+''", n-1) + ">" }, expr.MaxOperands, 1, 3003, "more than 1000 operands in the expression"},
		{"operands that are paths", func(n int) string { return "<+stage" + repeat("+stage", n-1) + ">" }, expr.MaxOperands, 1, 6003, "more than 1000 operands in the expression"},
		{"nested operands", func(n int) string { return "<+" + repeat("''+", n-1) + "<+ ''>>" }, expr.MaxOperands, 1, 3006, "more than 1000 operands in the expression"},
		{"else branches", func(n int) string { return "<+" + repeat("false?'':", n/2) + "''>" }, expr.MaxOperands - 1, 1, 4503, "more than 1000 operands in the expression"},
		{"string", func(n int) string { return "<+'" + repeat("x", n) + "'>" }, expr.MaxResult, 1, 3, "the result has more than 262144 bytes"},
		{"string with an expression", func(n int) string { return "<+ '<+'x'>" + repeat("x", n-1) + "'>" }, expr.MaxResult, 1, 4, "the result has more than 262144 bytes"},
		{"plus", func(n int) string { return "<+'x' + '" + repeat("x", n-1) + "'>" }, expr.MaxResult, 1, 3, "the result has more than 262144 bytes"},
		{"concat", func(n int) string { return "<+'x'.concat('" + repeat("x", n-1) + "')>" }, expr.MaxResult, 1, 7, "the result has more than 262144 bytes"},
		{"function", func(n int) string { return "<+path.join('" + repeat("x", n-len("join[]")) + "')>" }, expr.MaxResult, 1, 3, "the result has more than 262144 bytes"},
		{"adjacent", func(n int) string { return "<+ <+'x'><+'" + repeat("x", n-1) + "'>>" }, expr.MaxResult, 1, 4, "the result has more than 262144 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var h host
			if _, err := expr.Expand(t.Context(), tt.text(tt.limit), h.env()); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			h = host{}
			got := mustFail(t, tt.text(tt.limit+1), h.env())
			got.Function = ""
			wantError(t, expr.Error{Line: tt.line, Column: tt.column, Reason: tt.reason}, got)
		})
	}
}

// The size limit applies to a variable too. Several values may each reach it.
//
// E03
func TestVariableLimit(t *testing.T) {
	t.Parallel()
	size := expr.MaxResult
	env := expr.Env{Variables: map[string]func(string) (string, bool){
		"v": func(string) (string, bool) { return strings.Repeat("x", size), true },
	}}
	got, err := expr.Expand(t.Context(), "<+v.a><+v.a>", env)
	if err != nil || len(got) != 2*size {
		t.Errorf("at the limit: %d bytes, %v", len(got), err)
	}
	size++
	wantError(t, expr.Error{Line: 1, Column: 3, Function: "v.a", Reason: "the result has more than"}, mustFail(t, "<+v.a>", env))
}

// The grammar and the size of an expression that passes through are not limited.
//
// E03
func TestWhatPassesIsNotLimited(t *testing.T) {
	t.Parallel()
	for _, core := range []string{
		strings.Repeat("x", expr.MaxResult+1),
		"x" + strings.Repeat("(", 10_000),
		"x" + strings.Repeat("+'a'", expr.MaxOperands+1),
		"x" + strings.Repeat(".concat('')", expr.MaxDepth+1),
		strings.Repeat("!", expr.MaxDepth+1) + "x",
		"x" + strings.Repeat(" ? a", expr.MaxDepth+1),
	} {
		text := "<+" + core + ">"
		if got, _, err := expand(t, text); err != nil || got != text {
			t.Errorf("Expand(%.40q...) = %.40q..., %v", text, got, err)
		}
	}
}

// shapes are hostile texts of any size. Parse reads each to its end or to a limit.
var shapes = []struct {
	name string
	text func(size int) string
}{
	{"plain", fill("", "echo a < b > c + d ' \" \\\n", "")},
	{"less", fill("", "<", "")},
	{"openers", fill("", "<+", "")},
	{"openers and white space", fill("", "<+ \n", "")},
	{"openers of nothing", fill("", "<+5 <+ ", "")},
	{"openers of nothing in a string", fill("<+path.join('", "<+5 <+ ", "')>")},
	{"a wide opener", fill("<+", " ", "x>")},
	{"wide openers", fill("", "<+                                                                ", "x>")},
	{"escapes of delimiters", fill("", `<\+`, "")},
	{"escapes of delimiters in a string", fill("<+path.join('", `<\+`, "')>")},
	{"closed openers", fill("", "<+x>", "")},
	{"quotes", fill("<+x ", `"'" '"' `, ">")},
	{"JSON quotes", fill("<+path.join(", `\"a\",`, ")>")},
	{"one string", fill(`<+path.join("`, "abcdefg>", `")>`)},
	{"escapes", fill(`<+path.join("`, `\"`, `")>`)},
	{"JSON escapes", fill(`<+path.join(\"`, `\\\"`, `\")>`)},
	{"backslashes", fill(`<+path.join("`, `\\`, `")>`)},
	{"open string", fill(`<+path.join("`, "a", "")},
	{"open expression", fill("<+path.join(", "a ", "")},
	{"parentheses", fill("<+", "(", ">")},
	{"sum", fill("<+'a'", "+'a'", ">")},
	{"not", fill("<+", "!", "true>")},
	{"path", fill("<+stage", ".a", ">")},
	{"spaced path", fill("<+stage", " .\n a", ">")},
	{"name", fill("<+stage.", "a", "()>")},
	{"white space", fill("<+stage.name", " ", ">")},
	{"true", fill("<+", "true ", ">")},
	{"deep path", fill(strings.Repeat("<+", expr.MaxDepth)+"secrets", ".x", strings.Repeat(">", expr.MaxDepth))},
	{"deep root", fill(strings.Repeat("<+", expr.MaxDepth), "x", strings.Repeat(">", expr.MaxDepth))},
	{"deep white space", fill(strings.Repeat("<+", expr.MaxDepth)+"stage", " ", strings.Repeat(">", expr.MaxDepth))},
	{"deep string", fill(strings.Repeat("<+", expr.MaxDepth)+"'", "x", "'"+strings.Repeat(">", expr.MaxDepth))},
	{"spread expressions", func(size int) string {
		return strings.Repeat("<+'a'>"+strings.Repeat(" ", size/expr.MaxExpressions-6), expr.MaxExpressions)
	}},
	{"suffix", fill("<+input>.default(", "(a,'b')", ")")},
	{"open suffixes", fill("", "<+input>.regex([(", "")},
	{"almost suffixes", fill("", "<+input>.regexp(", "")},
	{"lines, then a fault", fill("", "\n", "<+x")},
}

// Parse looks at every byte a limited number of times, so its time is linear: a bound that
// applies to 16 KiB applies to 1 MiB too. The bound counts the scanner, the parser, and the
// look-ahead of each for a path.
//
// E03
func TestParseIsLinear(t *testing.T) {
	t.Parallel()
	const most = 5
	for _, shape := range shapes {
		for _, size := range []int{16 << 10, 1 << 20} {
			text := shape.text(size)
			if len(text) > size {
				t.Fatalf("%s: %d bytes, want %d", shape.name, len(text), size)
			}
			steps, whole := expr.Steps(text)
			if steps > most*len(text) || whole && steps < len(text) {
				t.Errorf("%s: %d steps for %d bytes", shape.name, steps, len(text))
			}
		}
	}
}

// Apart from copying, a call of a function and the report of a fault cost no more in a large
// text than in a small one.
//
// E03
func TestExpandAllocatesLinearly(t *testing.T) {
	env := expr.Env{Functions: map[string]expr.Func{
		"f.x": {MaxArgs: 1, Call: func(context.Context, expr.Call) (string, error) { return "result", nil }},
	}}
	text := func(size int) string {
		line := fmt.Sprintf("<+f.x('a')>%*s\n", size/expr.MaxExpressions-12, "")
		return strings.Repeat(line, expr.MaxExpressions)
	}
	allocations := func(size int) float64 {
		text := text(size)
		return testing.AllocsPerRun(3, func() {
			if _, err := expr.Expand(t.Context(), text, env); err != nil {
				t.Error(err)
			}
		})
	}
	small, large := allocations(64<<10), allocations(expr.MaxText)
	if large > small+16 {
		t.Errorf("%v allocations for 4 MiB, %v for 64 KiB with as many expressions", large, small)
	}
}
