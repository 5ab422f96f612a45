package expr_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/expr"
)

// If one byte of a placeholder is replaced, inserted or removed, no function is called, not
// even for an earlier placeholder.
func TestEditedPlaceholders(t *testing.T) {
	t.Parallel()
	key := expr.NewPlanKey()
	for _, source := range []string{
		"<+secrets.getJWT('a')>\n <+secrets.getJWT('b')> ",
		"<+secrets.getJWT('" + strings.Repeat("b", 100) + "')> ", // its last character has unused bits, and no later character reveals the change
	} {
		text := mustPlan(t, source, manager(), key, place...)
		at := placeholder.FindAllStringIndex(text, -1)
		last := at[len(at)-1]
		check := func(how string, i int, edited string) {
			t.Helper()
			if strings.Contains(edited, text[last[0]:last[1]]) { // the byte was inserted before the placeholder
				return
			}
			if e := mustRefuse(t, edited, key, place...); !errors.Is(&e, expr.ErrPlaceholder) {
				t.Errorf("byte %d %s: %v", i, how, &e)
			}
		}
		for i := last[0]; i < last[1]; i++ {
			for c := range 256 {
				if byte(c) != text[i] && (len(at) == 1 || c%16 == 1) { // a sample of the values for the inner bytes
					check("replaced", i, text[:i]+string([]byte{byte(c)})+text[i+1:])
				}
			}
			check("left out", i, text[:i]+text[i+1:])
			for _, c := range []string{"A", "=", ".", "\n", " ", "o"} {
				check("put in", i, text[:i]+c+text[i:])
			}
		}
	}
}

// A placeholder is valid for one text of one step of one execution.
func TestForeignPlaceholders(t *testing.T) {
	t.Parallel()
	key, other := expr.NewPlanKey(), expr.NewPlanKey()
	const text = "\n a <+secrets.getJWT('c')>"
	planned := mustPlan(t, text, manager(), key, place...)
	const foreign = "made with another key or for another place"
	for _, tt := range []struct {
		name  string
		key   expr.PlanKey
		place []string
	}{
		{"another execution's key", other, place},
		{"another step", key, []string{"execution-7", "build", "deploy", "run"}},
		{"another text of the step", key, []string{"execution-7", "build", "test", "env.run"}},
		{"a part less", key, place[:3]},
		{"a part more", key, append(slices.Clip(place), "run")},
		{"parts in another order", key, []string{"execution-7", "test", "build", "run"}},
		{"parts cut elsewhere", key, []string{"execution-7", "buil", "dtest", "run"}},
		{"parts in one", key, []string{"execution-7\x05build\x04test\x03run"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := mustRefuse(t, planned, tt.key, tt.place...)
			wantError(t, expr.Error{Line: 2, Column: 4, Reason: foreign, Err: expr.ErrPlaceholder}, e)
		})
	}
}

// A user who has seen a plan cannot reuse its placeholders in the same text.
func TestCopiedPlaceholders(t *testing.T) {
	t.Parallel()
	key := expr.NewPlanKey()
	const text = "<+secrets.getJWT('a')>\n<+secrets.getJWT('b')>\n"
	planned := mustPlan(t, text, manager(), key, place...)
	again := mustPlan(t, text, manager(), key, place...)
	a, b, _ := strings.Cut(strings.TrimSuffix(planned, "\n"), "\n")
	a2, b2, _ := strings.Cut(strings.TrimSuffix(again, "\n"), "\n")
	for _, tt := range []struct {
		name, text   string
		line, column int
	}{
		{"after the others", planned + " " + a, 3, 2},
		{"after itself", a + a + "\n" + b, 1, len(a) + 1},
		{"swapped", b + "\n" + a, 1, 1},
		{"in place of another", a + "\n" + a, 2, 1},
		{"the first left out", "\n" + b, 2, 1},
		{"of another plan of the text", a + "\n" + b2, 2, 1},
		{"with another plan of the text", planned + again, 3, 1},
		{"of another plan, after", planned + b2, 3, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := mustRefuse(t, tt.text, key, place...)
			wantError(t, expr.Error{Line: tt.line, Column: tt.column, Reason: "copied from another text", Err: expr.ErrPlaceholder}, e)
		})
	}
	for _, whole := range []string{planned, "x" + a + "<+input>" + b, a2 + b2} { // the text around the placeholders may change
		if _, err := expr.Resolve(t.Context(), whole, new(host).env(), key, place...); err != nil {
			t.Errorf("Resolve(%q): %v", whole, err)
		}
	}
}

// A text that looks like a placeholder is either a valid placeholder or refused.
func TestHandwrittenPlaceholders(t *testing.T) {
	t.Parallel()
	key := expr.NewPlanKey()
	body := strings.Repeat("A", 208)
	const form, foreign = "written by hand, cut", "made with another key"
	for _, text := range []string{
		"oidctoken-placeholder", "oidctoken-placeholder.", "oidctoken-placeholder.v1", "oidctoken-placeholder.v1.",
		"oidctoken-placeholder.v1.AAAA.oidctoken-placeholde", "oidctoken-placeholder.v2." + body + ".oidctoken-placeholder",
		"oidctoken-placeholder.v1." + body + "==.oidctoken-placeholder", "oidctoken-placeholder.v1." + body + "\n.oidctoken-placeholder",
		"oidctoken-placeholder.v1." + strings.Repeat("A", expr.MaxText-100) + ".oidctoken-placeholder",
	} {
		e := mustRefuse(t, "é\n x"+text, key, place...)
		wantError(t, expr.Error{Line: 2, Column: 3, Reason: form, Err: expr.ErrPlaceholder}, e)
	}
	for _, body := range []string{"", "A", "AAAA", body} {
		e := mustRefuse(t, "é\n xoidctoken-placeholder.v1."+body+".oidctoken-placeholder", key, place...)
		wantError(t, expr.Error{Line: 2, Column: 3, Reason: foreign, Err: expr.ErrPlaceholder}, e)
	}
	for _, text := range []string{"", "oidctoken-placeholde", "Oidctoken-placeholder.v1.AAAA.", "oidctoken", `<+secrets.getJWT("c")>`, "<+"} {
		var h host
		if got, err := expr.Resolve(t.Context(), text, h.env(), key, place...); got != text || err != nil || h.calls != nil {
			t.Errorf("Resolve(%q) = %q, %v", text, got, err)
		}
	}
}

// Text that was added after Plan stays text: no expression in it is evaluated, and no result is
// scanned.
//
// E01
func TestResolveScansOnce(t *testing.T) {
	t.Parallel()
	key := expr.NewPlanKey()
	planned := mustPlan(t, `<+secrets.getJWT("c")><+input><+secrets.getJWT("c")>`, manager(), key, place...)
	planned = strings.ReplaceAll(planned, "<+input>", `<+secrets.getJWT("stolen")><+stage.name>`)
	var result string
	calls := 0
	env := expr.Env{
		Functions: map[string]expr.Func{"secrets.getJWT": {MaxArgs: 1, Call: func(context.Context, expr.Call) (string, error) {
			calls++
			return result, nil
		}}},
		Variables: map[string]func(string) (string, bool){"stage": func(string) (string, bool) {
			t.Error("Resolve read a variable")
			return "", true
		}},
		Strict: true,
	}
	for _, result = range []string{planned, "<+", placeholder.FindString(planned), "oidctoken-pl"} {
		calls = 0
		got, err := expr.Resolve(t.Context(), planned, env, key, place...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(result+`<+secrets.getJWT("stolen")><+stage.name>`+result, got); diff != "" {
			t.Errorf("Resolve (-want +got):\n%s", diff)
		}
		if calls != 2 {
			t.Errorf("%d calls, want 2", calls)
		}
	}
}

// If a call fails, the error has the place of its placeholder. Earlier results are dropped, and
// no later function is called.
//
// E02
func TestResolveFails(t *testing.T) {
	t.Parallel()
	key := expr.NewPlanKey()
	planned := mustPlan(t, "<+secrets.getJWT('a')>\n é<+path.fail()> <+secrets.getJWT('b')>", manager(), key, place...)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	change := func(path string, change func(*expr.Func)) func(expr.Env) {
		return func(env expr.Env) {
			fn := env.Functions[path]
			change(&fn)
			env.Functions[path] = fn
		}
	}
	const others = "was planned with a function that this Env does not have, or has with other arguments or fields"
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		change func(expr.Env)
		want   expr.Error
		calls  []string
	}{
		{"a call", t.Context(), func(expr.Env) {}, expr.Error{Line: 2, Column: 4, Function: "path.fail", Reason: "failed", Err: errRefused}, []string{"getJWT[a]"}},
		{"the context", cancelled, func(expr.Env) {}, expr.Error{Line: 1, Column: 1, Function: "secrets.getJWT", Reason: "was not called", Err: context.Canceled}, nil},
		{"no such function", t.Context(), func(env expr.Env) { delete(env.Functions, "path.fail") },
			expr.Error{Line: 2, Column: 4, Function: "path.fail", Reason: others}, nil},
		{"too few arguments", t.Context(), change("path.fail", func(f *expr.Func) { f.MinArgs, f.MaxArgs = 1, 1 }),
			expr.Error{Line: 2, Column: 4, Function: "path.fail", Reason: others}, nil},
		{"too many arguments", t.Context(), change("secrets.getJWT", func(f *expr.Func) { f.MinArgs, f.MaxArgs = 0, 0 }),
			expr.Error{Line: 1, Column: 1, Function: "secrets.getJWT", Reason: others}, nil},
		{"a field is wanted", t.Context(), change("path.fail", func(f *expr.Func) { f.Fields = []string{"x"} }),
			expr.Error{Line: 2, Column: 4, Function: "path.fail", Reason: others}, nil},
		{"long result", t.Context(), change("path.fail", func(f *expr.Func) {
			f.Call = func(context.Context, expr.Call) (string, error) { return strings.Repeat("x", expr.MaxResult+1), nil }
		}), expr.Error{Line: 2, Column: 4, Function: "path.fail", Reason: "the result has more than 262144 bytes"}, []string{"getJWT[a]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var h host
			env := h.env()
			tt.change(env)
			got, err := expr.Resolve(tt.ctx, planned, env, key, place...)
			var e *expr.Error
			if got != "" || !errors.As(err, &e) {
				t.Fatalf("Resolve = %q, %v", got, err)
			}
			wantError(t, tt.want, *e)
			if diff := cmp.Diff(tt.calls, h.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// Resolve fails if the placeholder reads a field and the function no longer has fields.
func TestResolveField(t *testing.T) {
	t.Parallel()
	key := expr.NewPlanKey()
	planned := mustPlan(t, `<+secrets.getAWSCredentials("c").sessionToken>`, manager(), key, place...)
	for _, fields := range [][]string{nil, {"accessKeyId"}} {
		var h host
		env := h.env()
		fn := env.Functions["secrets.getAWSCredentials"]
		fn.Fields = fields
		env.Functions["secrets.getAWSCredentials"] = fn
		if got, err := expr.Resolve(t.Context(), planned, env, key, place...); err == nil || h.calls != nil {
			t.Errorf("with the fields %q: %q, %v, %q", fields, got, err, h.calls)
		}
	}
}

// A plan does not reveal the function or the connector, not even by its length, and no two
// placeholders are equal.
func TestPlaceholdersAreOpaque(t *testing.T) {
	t.Parallel()
	key := expr.NewPlanKey()
	planned := mustPlan(t, `<+secrets.getJWT("c")>
<+secrets.getJWT("c")>
<+secrets.getGCPAccessToken("account.production-of-a-customer", "scope")>
<+secrets.getAWSCredentials("org.aws").secretAccessKey>
<+path.join()>`, manager(), key, place...)
	lines := strings.Split(planned, "\n")
	for i, line := range lines {
		if len(line) != len(lines[0]) {
			t.Errorf("placeholder %d has %d bytes, the first %d", i, len(line), len(lines[0]))
		}
		if slices.Index(lines, line) != i {
			t.Errorf("placeholder %d occurs twice", i)
		}
		if strings.Trim(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
			t.Errorf("placeholder %d is %q", i, line)
		}
	}
}
