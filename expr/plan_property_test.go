package expr_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken/expr"
)

// Two phases give the same result as one, or an error in both.
//
// E01
func TestTwoPhasesAreOne(t *testing.T) {
	t.Parallel()
	resolved := 0
	piece := rapid.SampledFrom([]string{" ", "\n", "x", "é", "\xff", "<", ">", `"`, "oidctoken-placeholde", ".v1.", "$(id)"})
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		for range rapid.IntRange(0, 4).Draw(t, "expressions") {
			text.WriteString(strings.Join(rapid.SliceOfN(piece, 0, 3).Draw(t, "between"), ""))
			text.WriteString("<+" + drawValue(t, rapid.IntRange(0, 3).Draw(t, "depth")) + ">")
		}
		user := rapid.OneOf(rapid.SampledFrom([]string{"x", `<+secrets.getJWT("stolen")>`, "<+", "oidctoken-placeholde", "\n"}), rapid.String()).Draw(t, "user")
		result := rapid.SampledFrom([]string{"", "eyJ", "<+stage.name>", "oidctoken-placeholder.v1.AAAA.oidctoken-placeholder", "\n"}).Draw(t, "result")
		once, twice, onceErr, twiceErr := phases(t.Context(), text.String(), func(env *expr.Env) {
			env.Variables["user"] = func(path string) (string, bool) { return user, path == "v" }
			fn := env.Functions["secrets.getJWT"]
			call := fn.Call
			fn.Call = func(ctx context.Context, c expr.Call) (string, error) {
				shown, err := call(ctx, c)
				return shown + result, err
			}
			env.Functions["secrets.getJWT"] = fn
		})
		if (onceErr == nil) != (twiceErr == nil) {
			t.Fatalf("%q: in one phase %v, in two %v", text.String(), onceErr, twiceErr)
		}
		if diff := cmp.Diff(once, twice); diff != "" {
			t.Fatalf("%q (-in one phase +in two):\n%s", text.String(), diff)
		}
		if onceErr == nil && strings.Contains(once, "[") {
			resolved++
		}
	})
	if resolved == 0 {
		t.Error("no drawn text contained a call")
	}
}

// If texts are cut, mixed and repeated, Resolve either calls the deferred functions of one plan
// for this key and place, in their order, or it calls nothing.
func TestMixedPlans(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		keys := []expr.PlanKey{expr.NewPlanKey(), expr.NewPlanKey()}
		places := [][]string{{"a", "b"}, {"ab"}, {"a", "b", "run"}}
		type origin struct{ key, place, plan, index int }
		var made []string
		var origins []origin
		for plan := range 4 {
			o := origin{key: rapid.IntRange(0, 1).Draw(t, "key"), place: rapid.IntRange(0, 2).Draw(t, "place"), plan: plan}
			planned, err := expr.Plan(t.Context(), strings.Repeat("<+secrets.getJWT('c')>", 3), manager(), keys[o.key], places[o.place]...)
			if err != nil {
				t.Fatal(err)
			}
			for o.index = range 3 {
				made = append(made, placeholder.FindAllString(planned, -1)[o.index])
				origins = append(origins, o)
			}
		}
		key, place := rapid.IntRange(0, 1).Draw(t, "runner's key"), rapid.IntRange(0, 2).Draw(t, "runner's place")
		first := 3 * rapid.IntRange(0, 3).Draw(t, "plan")
		picks := rapid.OneOf(rapid.SliceOfN(rapid.IntRange(0, len(made)-1), 1, 4), rapid.SampledFrom([][]int{{first}, {first, first + 1}, {first, first + 1, first + 2}})).Draw(t, "picks")
		var text strings.Builder
		legal := true
		for i, pick := range picks {
			text.WriteString("x" + made[pick])
			legal = legal && origins[pick] == origin{key, place, origins[picks[0]].plan, i}
		}
		var h host
		got, err := expr.Resolve(t.Context(), text.String(), h.env(), keys[key], places[place]...)
		switch {
		case legal && (err != nil || got != strings.Repeat("xgetJWT[c]", len(picks))):
			t.Fatalf("Resolve = %q, %v", got, err)
		case !legal && (!errors.Is(err, expr.ErrPlaceholder) || got != "" || h.calls != nil):
			t.Fatalf("Resolve = %q, %v with the calls %q", got, err, h.calls)
		}
	})
}

// Two lists never have the same encoding, and each list is restored.
func TestStringsAreInjective(t *testing.T) {
	t.Parallel()
	lists := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "\x00", "\x01a", strings.Repeat("x", 200)})), 0, 5)
	rapid.Check(t, func(t *rapid.T) {
		a, b := lists.Draw(t, "a"), lists.Draw(t, "b")
		if slices.Equal(a, b) != (string(expr.AppendStrings(a)) == string(expr.AppendStrings(b))) {
			t.Fatalf("%q and %q have one encoding", a, b)
		}
		padding := rapid.SliceOfN(rapid.Just(byte(0)), 0, 9).Draw(t, "padding")
		got, ok := expr.CutStrings(append(expr.AppendStrings(a), padding...))
		if !ok || !slices.Equal(a, got) {
			t.Fatalf("%q is restored as %q", a, got)
		}
	})
}
