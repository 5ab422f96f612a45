package expr_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken/expr"
)

// Results of functions and variables are placed unchanged. Nothing in them is evaluated, alone
// or together with the text around them.
//
// E01
func TestResultsAreNotScanned(t *testing.T) {
	t.Parallel()
	hostile := rapid.OneOf(
		rapid.SampledFrom([]string{`<+secrets.getJWT("x")>`, "<+", "<", `"`, `'`, `\"`, ">", "<+f.x()>", "<+input>.default("}),
		rapid.String(),
	)
	rapid.Check(t, func(t *rapid.T) {
		result, value := hostile.Draw(t, "result"), hostile.Draw(t, "value")
		calls := 0
		env := expr.Env{
			Functions: map[string]expr.Func{
				"f.x": {MaxArgs: 1, Secret: true, Call: func(_ context.Context, c expr.Call) (string, error) {
					calls++
					return result + strings.Join(c.Args, ""), nil
				}},
				"secrets.getJWT": {MaxArgs: 1, Call: func(context.Context, expr.Call) (string, error) {
					t.Fatal("a result was evaluated")
					return "", nil
				}},
			},
			Variables: map[string]func(string) (string, bool){
				"v": func(string) (string, bool) { return value, true },
			},
		}
		got, err := expr.Expand(t.Context(), `+<+f.x()><+v.x>+ <+f.x(<+v.x>)>.<+"<+v.x>" + 'f.x()' + v.x>>`, env)
		if err != nil {
			t.Fatal(err)
		}
		want := "+" + result + value + "+ " + result + value + "." + value + "f.x()" + value + ">"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("Expand (-want +got):\n%s", diff)
		}
		if calls != 2 {
			t.Fatalf("f.x was called %d times", calls)
		}
	})
}

// An expression with an unknown root stays unchanged. Its end is found, so the text after it is
// still evaluated.
func TestUnknownRootsPass(t *testing.T) {
	t.Parallel()
	before := rapid.SampledFrom([]string{"", " ", "\n", "!", "(", `"a>" + `, `'' == `, "true ? "})
	root := rapid.SampledFrom([]string{"pipeline", "steps", "secretary", "getClass", "_", "été", "a-b", "input"})
	rapid.Check(t, func(t *rapid.T) {
		text := "<+" + before.Draw(t, "before") + root.Draw(t, "root") + "." + drawBody(t, 2) + ">"
		if strings.HasPrefix(text, "<+input>") {
			t.Skip("is <+input> itself")
		}
		var h host
		got, err := expr.Expand(t.Context(), text+".<+stage.name>"+text, h.env())
		if err != nil {
			t.Fatalf("Expand(%q): %v", text, err)
		}
		if diff := cmp.Diff(text+".deploy"+text, got); diff != "" {
			t.Fatalf("Expand (-want +got):\n%s", diff)
		}
		if h.calls != nil {
			t.Fatalf("Expand(%q) calls %q", text, h.calls)
		}
	})
}

// Every string can be written with each of the three kinds of quotes.
func TestQuotedStrings(t *testing.T) {
	t.Parallel()
	plain := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `'`, `\'`)
	piece := rapid.SampledFrom([]string{`\`, `"`, `'`, `\"`, ">", "<", "n", "\n", "é", "\xff"})
	rapid.Check(t, func(t *rapid.T) {
		want := strings.Join(rapid.SliceOf(piece).Draw(t, "pieces"), "")
		inJSON := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(plain.Replace(want))
		for _, text := range []string{
			`<+"` + plain.Replace(want) + `">`,
			`<+'` + plain.Replace(want) + `'>`,
			`<+\"` + inJSON + `\">`,
		} {
			got, err := expr.Expand(t.Context(), text, expr.Env{})
			if err != nil {
				t.Fatalf("Expand(%q): %v", text, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("Expand(%q) (-want +got):\n%s", text, diff)
			}
		}
	})
}
