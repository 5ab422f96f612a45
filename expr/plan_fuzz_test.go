package expr_test

import (
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/expr"
)

// FuzzPlan looks for a difference between one phase and two, for errors without a place, and
// for placeholders from a value.
func FuzzPlan(f *testing.F) {
	for _, text := range append([]string{
		"", "<+", `a<+secrets.getJWT("c", user.v)>b`, `<+"<+user.v>" + path.join("a")>`, "<+user.v>.v1.<+user.v>", "oidctoken-placeholder",
		`<+secrets.getAWSCredentials(<+user.v>).sessionToken>`, `oidctoken-pl<+user.v>`, `<+user.v == "a" ? secrets.getJWT("c") : <+input>>`,
	}, passing...) {
		f.Add(text, "aceholder")
		f.Add(text, `<+secrets.getJWT("stolen")>`)
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		once, twice, onceErr, twiceErr := phases(t.Context(), text, func(env *expr.Env) {
			env.Variables["user"] = func(string) (string, bool) { return value, true }
		})
		if twiceErr != nil && onceErr == nil {
			// Without placeholderWord, Plan and Expand refuse the same texts.
			if !strings.Contains(twiceErr.Error(), "looks like a placeholder") && !strings.Contains(twiceErr.Error(), "deferred") {
				t.Errorf("in one phase %q, in two %v", once, twiceErr)
			}
			checkPlace(t, text, twice, twiceErr)
			return
		}
		if (onceErr == nil) != (twiceErr == nil) || once != twice {
			t.Errorf("in one phase %q, %v, in two %q, %v", once, onceErr, twice, twiceErr)
		}
	})
}

// FuzzResolve changes the text around, in and instead of placeholders. Only whole placeholders
// of Plan may be resolved, and all other text must stay unchanged.
func FuzzResolve(f *testing.F) {
	key := expr.NewPlanKey()
	planned, err := expr.Plan(f.Context(), "<+secrets.getJWT('c')>", manager(), key, place...)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("", "", uint16(0), uint16(0))
	f.Add("a <+secrets.getJWT('c')>", "\n", uint16(0), uint16(0))
	f.Add("oidctoken-placeholder.v1.", ".oidctoken-placeholder", uint16(0), uint16(300))
	f.Add("oidctoken-placeholder.v1.AAAA.oidctoken-placeholder", "", uint16(25), uint16(1))
	f.Fuzz(func(t *testing.T, before, after string, at, length uint16) {
		from := int(at) % len(planned)
		to := min(from+int(length), len(planned))
		for _, text := range []string{before + planned + after, planned[:from] + before + planned[to:] + after, before + after} {
			var h host
			got, err := expr.Resolve(t.Context(), text, h.env(), key, place...)
			if err != nil {
				checkPlace(t, text, got, err)
				if h.calls != nil {
					t.Errorf("Resolve refused the text but called %q", h.calls)
				}
				if !strings.Contains(text, expr.PlaceholderWord) {
					t.Errorf("Resolve refused a text without placeholders: %v", err)
				}
				continue
			}
			if want := strings.Replace(text, planned, "getJWT[c]", 1); got != want || strings.Contains(want, expr.PlaceholderWord) {
				t.Errorf("Resolve = %q, want %q", got, want)
			}
		}
	})
}

// FuzzStrings looks for panics in cutStrings, and for lists that it does not restore.
func FuzzStrings(f *testing.F) {
	f.Add([]byte{})
	f.Add(expr.AppendStrings([]string{"a", "", "\x00"}))
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1})
	f.Add([]byte{1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, ok := expr.CutStrings(b)
		if !ok {
			return
		}
		again, ok := expr.CutStrings(expr.AppendStrings(list))
		if !ok || strings.Join(again, "|") != strings.Join(list, "|") || len(again) != len(list) {
			t.Errorf("%q is restored as %q", list, again)
		}
	})
}
