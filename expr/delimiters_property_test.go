package expr_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken/expr"
)

// A text in which no delimiter can begin an expression stays unchanged, with every choice of
// delimiters.
func TestTextWithoutExpressions(t *testing.T) {
	t.Parallel()
	piece := rapid.SampledFrom([]string{
		"<", "+", ">", `"`, "'", `\`, "\r\n", " ", "é", "\xff", "\x00", "secrets.getJWT(", "<input>.default(", "$", "{", "{{", "}}", "${", "5",
		"<+", "${{", "<+5", "<+>", "${{ }}", "$1<+$2", "<\\", "$\\",
	})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.OneOf(piece, rapid.String())).Draw(t, "text"), "")
		for begins(text) || strings.Contains(text, `<\+`) || strings.Contains(text, `$\{{`) {
			text = text[:len(text)-1]
		}
		for _, d := range combinations {
			var h host
			env := h.env()
			env.Delimiters, env.Strict = d, true
			got, err := expr.Expand(t.Context(), text, env)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(text, got); diff != "" {
				t.Fatalf("Expand (-want +got):\n%s", diff)
			}
		}
	})
}

// Delimiters that were not chosen are text, with any content.
func TestOtherDelimitersAreText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		angle := "<+" + drawValue(t, 2) + ">"
		braces := strings.NewReplacer("<+", "${{", ">", "}}").Replace(angle)
		for text, d := range map[string]expr.Delimiters{angle: expr.Braces, braces: expr.Angle} {
			var h host
			env := h.env()
			env.Delimiters, env.Strict = d, true
			if got, err := expr.Expand(t.Context(), text, env); err != nil || got != text || h.calls != nil {
				t.Fatalf("Expand(%q) = %q, %v with the calls %q", text, got, err, h.calls)
			}
		}
	})
}

// Every text can be written with escapes.
func TestAnyTextCanBeEscaped(t *testing.T) {
	t.Parallel()
	piece := rapid.SampledFrom([]string{"<+", "${{", "<", "$", "{{", "+", "stage.name", ">", "}}", "'", "\n", "é"})
	rapid.Check(t, func(t *rapid.T) {
		want := strings.Join(rapid.SliceOf(piece).Draw(t, "pieces"), "")
		text := strings.NewReplacer("<+", `<\+`, "${{", `$\{{`).Replace(want)
		env := expr.Env{Delimiters: expr.Angle | expr.Braces, Strict: true}
		if got, err := expr.Expand(t.Context(), text, env); err != nil || got != want {
			t.Fatalf("Expand(%q) = %q, %v", text, got, err)
		}
	})
}

// Expressions with both delimiters count together for the limits. E03
func TestLimitsOfBothDelimiters(t *testing.T) {
	t.Parallel()
	env := expr.Env{Delimiters: expr.Angle | expr.Braces}
	deep := func(n int) string {
		return strings.Repeat("<+${{", n/2) + "''" + strings.Repeat("}}>", n/2)
	}
	if _, err := expr.Expand(t.Context(), deep(expr.MaxDepth), env); err != nil {
		t.Error(err)
	}
	wantError(t, expr.Error{Line: 1, Column: 5*expr.MaxDepth/2 + 1, Reason: "more than 32 expressions within one another"}, mustFail(t, deep(expr.MaxDepth+2), env))
	many := func(n int) string { return strings.Repeat("<+''>${{''}}", n/2) }
	if _, err := expr.Expand(t.Context(), many(expr.MaxExpressions), env); err != nil {
		t.Error(err)
	}
	wantError(t, expr.Error{Line: 1, Column: 12*expr.MaxExpressions/2 + 1, Reason: "more than 1000 expressions in the text"}, mustFail(t, many(expr.MaxExpressions+2), env))
}

// Time is linear for all choices of delimiters. E03
func TestParseIsLinearForDelimiters(t *testing.T) {
	t.Parallel()
	for _, shape := range shapes {
		for _, size := range []int{16 << 10, 256 << 10} {
			text := strings.NewReplacer("<+", "${{", ">", "}}").Replace(shape.text(size))
			for _, d := range []expr.Delimiters{expr.Braces, expr.Angle | expr.Braces} {
				for _, text := range []string{text, text + shape.text(size)} {
					if steps, _ := expr.StepsFor(d, text); steps > 5*len(text) {
						t.Errorf("%s: %d steps for %d bytes", shape.name, steps, len(text))
					}
				}
			}
		}
	}
}
