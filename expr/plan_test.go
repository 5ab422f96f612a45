package expr_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/expr"
)

var placeholder = regexp.MustCompile(`oidctoken-placeholder\.v1\.[A-Za-z0-9_-]+\.oidctoken-placeholder`)

// Plan replaces each call by a placeholder. Resolve then gives the same result as Expand, with
// the same calls.
func TestPlanAndResolve(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{ // @ is a placeholder
		{"nothing", "a < b", "a < b"},
		{"empty", "", ""},
		{"variables", `<+stage.name> <+"a" + <+stage.variables.tier>>`, "deploy aprod"},
		{"token", `TOKEN=<+secrets.getJWT("c")>!`, "TOKEN=@!"},
		{"audience", `<+secrets.getJWT('account.c', "https://vault")>`, "@"},
		{"in JSON", `{"t": "<+secrets.getJWT(\"c\")>"}`, `{"t": "@"}`},
		{"argument from a variable", `<+secrets.getJWT(<+stage.variables.conn>)>`, "@"},
		{"argument that is joined", `<+secrets.getJWT("p_" + "<+stage.name>".concat('x'))>`, "@"},
		{"argument of any bytes", "<+secrets.getJWT('\x00\xff \n>')>", "@"},
		{"field", `<+secrets.getAWSCredentials("c").sessionToken><+secrets.getAWSCredentials("c").accessKeyId>`, "@@"},
		{"the same twice", `<+secrets.getJWT("c")> # <+secrets.getJWT("c")>`, "@ # @"},
		{"branch", `<+stage.variables.yes ? secrets.getJWT("a") : secrets.getJWT("b")>`, "@"},
		{"other branch", `<+stage.variables.no || false ? secrets.getJWT("a") : "none">`, "none"},
		{"in a string", `<+"a <+secrets.getJWT('c')> <+stage.name>">`, "a @ deploy"},
		{"beside what passes", `<+input>.default("x") <+pipeline.x> <+secrets.getJWT("c")>`, `<+input>.default("x") <+pipeline.x> @`},
		{"inside what passes", `<+pipeline.f(<+secrets.getJWT("c")>)>`, `<+pipeline.f(<+secrets.getJWT("c")>)>`},
		{"value with an expression", `<+stage.variables.hostile>`, `<+secrets.getJWT("stolen")>`},
		{"result with an expression", `<+path.hostile()>`, "@"},
		{"no secret", `<+path.join("a", 'b')>`, "@"},
		{"no secret, joined", `<+"x/" + path.join("a") + stage.name + path.join()>`, "x/@deploy@"},
		{"no secret, in parentheses", `<+("x" + path.join("a")) + "y">`, "x@y"},
		{"no secret, concatenated", `<+"x/".concat(path.join("a"))> <+<+path.join("a")>.concat(".bak")>`, "x/@ @.bak"},
		{"no secret, a branch", `<+(stage.variables.yes ? path.join("a") : "b") + "c">`, "@c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key := expr.NewPlanKey()
			planned := mustPlan(t, tt.text, manager(), key, place...)
			if diff := cmp.Diff(tt.want, placeholder.ReplaceAllString(planned, "@")); diff != "" {
				t.Errorf("Plan (-want +got):\n%s", diff)
			}
			wantText, wantCalls, err := expand(t, tt.text)
			if err != nil {
				t.Fatal(err)
			}
			var h host
			got, err := expr.Resolve(t.Context(), planned, h.env(), key, place...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(wantText, got); diff != "" {
				t.Errorf("Resolve (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(wantCalls, h.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// Plan calls a function that is Planned, and its result is an ordinary value. Resolve does not
// call it.
func TestPlannedFunctions(t *testing.T) {
	t.Parallel()
	key := expr.NewPlanKey()
	var h host
	env := h.env()
	join := env.Functions["path.join"]
	join.Planned = true
	env.Functions["path.join"] = join
	planned := mustPlan(t, `<+path.join("a")> <+path.join("a") == "join[a]" ? secrets.getJWT(path.join("b")) : "">`, env, key, place...)
	if diff := cmp.Diff([]string{"join[a]", "join[a]", "join[b]"}, h.calls); diff != "" {
		t.Errorf("calls of Plan (-want +got):\n%s", diff)
	}
	h.calls = nil
	got, err := expr.Resolve(t.Context(), planned, h.env(), key, place...)
	if err != nil || got != "join[a] getJWT[join[b]]" {
		t.Errorf("Resolve: %q, %v", got, err)
	}
	if diff := cmp.Diff([]string{"getJWT[join[b]]"}, h.calls); diff != "" {
		t.Errorf("calls of Resolve (-want +got):\n%s", diff)
	}
}

// Plan finds the same faults as Expand, in the same places, and in strict mode too.
//
// E02
func TestPlanRefusesAsExpand(t *testing.T) {
	t.Parallel()
	key := expr.NewPlanKey()
	for _, strict := range []bool{false, true} {
		for _, text := range append([]string{
			"<+", "<+>", `<+secrets.getJwt("c")>`, `<+secrets.getJWT()>`, `<+stage.nothing>`, `<+stage.name ? "a" : "b">`,
			`<+<+secrets.getJWT("c")>.split(".")[1]>`, `<+"p_" + secrets.getJWT("c")>`, `<+secrets.getJWT("c") == "x" ? "a" : "b">`,
			`<+secrets.getAWSCredentials("c")>`, `<+path.join(<+secrets.getJWT("c")>)>`, `<+"".concat(<+input>)>`,
		}, passing...) {
			text = "\n é" + text
			var h host
			env, planEnv := h.env(), manager()
			env.Strict, planEnv.Strict = strict, strict
			_, want := expr.Expand(t.Context(), text, env)
			got, err := expr.Plan(t.Context(), text, planEnv, key, place...)
			if want == nil {
				if err != nil || got != text {
					t.Errorf("Plan(%q) = %q, %v", text, got, err)
				}
				continue
			}
			if err == nil || got != "" || err.Error() != want.Error() {
				t.Errorf("Plan(%q) = %q, %v; want %v", text, got, err, want)
			}
		}
	}
}

// Plan does not know the result of a deferred call, so it does not allow its use.
func TestDeferredCallsAreNotUsed(t *testing.T) {
	t.Parallel()
	const deferred = "the call is deferred: its result may be placed into text, but not "
	for _, tt := range []struct {
		name, text string
		column     int
		reason     string
	}{
		{"argument", `<+secrets.getJWT(path.join("a"))>`, 18, deferred + "passed as an argument, because it is not known before the step runs"},
		{"part of an argument", `<+secrets.getJWT("p_" + path.join("a"))>`, 18, deferred + "passed as an argument, because"},
		{"argument in a string", `<+secrets.getJWT("p_<+path.join('a')>")>`, 18, deferred + "passed as an argument, because"},
		{"argument by concat", `<+secrets.getJWT("p_".concat(path.join('a')))>`, 18, deferred + "passed as an argument, because"},
		{"argument by a receiver", `<+secrets.getJWT(<+path.join('a')>.concat("x"))>`, 18, deferred + "passed as an argument, because"},
		{"argument by a branch", `<+secrets.getJWT(true ? path.join("a") : "b")>`, 18, deferred + "passed as an argument, because"},
		{"compared", `<+path.join("a") == "a" ? "b" : "c">`, 3, deferred + "compared, because"},
		{"compared, joined", `<+"a" != "x" + path.join("a") ? "b" : "c">`, 10, deferred + "compared, because"},
		{"condition", `<+path.join("a") ? "b" : "c">`, 3, deferred + "made a condition, because"},
		{"and", `<+false && path.join("a")>`, 12, deferred + "made a condition, because"},
		{"not", `<+!path.join("a")>`, 4, deferred + "made a condition, because"},
		{"field", `<+path.join("a").x>`, 3, deferred + "asked for a field, because"},
		{"index", `<+path.join("a")[0]>`, 3, deferred + "indexed, because"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := expr.Plan(t.Context(), tt.text, manager(), expr.NewPlanKey(), place...)
			var e *expr.Error
			if got != "" || !errors.As(err, &e) {
				t.Fatalf("Plan = %q, %v", got, err)
			}
			wantError(t, expr.Error{Line: 1, Column: tt.column, Function: "path.join", Reason: tt.reason}, *e)
		})
	}
}

// Only Plan may write a placeholder. It is refused in the text, in a value, and in pieces that
// form one in the result.
func TestForgedPlaceholders(t *testing.T) {
	t.Parallel()
	key := expr.NewPlanKey()
	var h host
	old := mustPlan(t, `<+secrets.getJWT("c")>`, h.env(), key, place...)
	for _, tt := range []struct {
		name, text, value string // @ is a genuine placeholder of the same place
		line, column      int
	}{
		{"in the text", "\n a @", "", 2, 4},
		{"in a comment's expression", `<+secrets.getJWT("c")> # <+pipeline.x("@")>`, "", 1, 40},
		{"as an argument", `<+secrets.getJWT("@")>`, "", 1, 19},
		{"in the branch not chosen", `<+true ? "" : "@">`, "", 1, 16},
		{"the word", `a oidctoken-placeholder b`, "", 1, 3},
		{"in a value", "\n\nab<+user.v>", "x@", 3, 3},
		{"in a value after a call", `<+secrets.getJWT("c")>  <+user.v>`, "@", 1, 25},
		{"in a value before a call", ` <+user.v><+secrets.getJWT("c")>`, "@", 1, 2},
		{"in a value beside a call", `<+'a<+secrets.getJWT("c")><+user.v>'>`, "@", 1, 1},
		{"in a value that is an argument", `<+secrets.getJWT(<+user.v>)>`, "@", 1, 3},
		{"the word in a value", `<+user.v>`, "oidctoken-placeholder", 1, 1},
		{"begins in the text", `é oidctoken-pl<+user.v>`, "aceholder.v1.AAAA.oidctoken-placeholder", 1, 4},
		{"ends in the text", `<+user.v>ctoken-placeholder`, "oid", 1, 1},
		{"in pieces", `<+user.v>a<+user.v>`, "ceholder oidctoken-pl", 1, 1},
		{"open before a call", `<+user.v><+secrets.getJWT("c")>`, "oidctoken-placeholder.v1.AAAA", 1, 1},
		{"closed by a call", `<+user.v><+secrets.getJWT("c")>`, "oidctoken-placeholder.v1.AAAA.", 1, 1},
		{"continues after a call", `<+secrets.getJWT("c")><+user.v>`, ".v1.AAAA.oidctoken-placeholder", 1, 23},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := manager()
			value := strings.ReplaceAll(tt.value, "@", old)
			env.Variables["user"] = func(string) (string, bool) { return value, true }
			text := strings.ReplaceAll(tt.text, "@", old)
			got, err := expr.Plan(t.Context(), text, env, key, place...)
			var e *expr.Error
			if got != "" || !errors.As(err, &e) {
				t.Fatalf("Plan = %q, %v", got, err)
			}
			wantError(t, expr.Error{Line: tt.line, Column: tt.column, Reason: "looks like a placeholder", Err: expr.ErrPlaceholder}, *e)
			if strings.Contains(err.Error(), old) {
				t.Errorf("the error shows the placeholder: %v", err)
			}
		})
	}
}

// A malformed key, place or Env is an error of the host, whatever the text is.
func TestPlanConfiguration(t *testing.T) {
	t.Parallel()
	key := expr.NewPlanKey()
	call := func(context.Context, expr.Call) (string, error) { return "", nil }
	fn := func(f expr.Func) expr.Env { return expr.Env{Functions: map[string]expr.Func{"a.b": f}} }
	for _, tt := range []struct {
		name                  string
		env                   expr.Env
		key                   expr.PlanKey
		place                 []string
		wantPlan, wantResolve string
	}{
		{"right", fn(expr.Func{Call: call}), key, place, "", ""},
		{"no key", expr.Env{}, expr.PlanKey{}, place, "the zero PlanKey", "the zero PlanKey"},
		{"no place", expr.Env{}, key, nil, "has no parts", "has no parts"},
		{"empty part", expr.Env{}, key, []string{"a", ""}, "has an empty part", "has an empty part"},
		{"nothing to call", fn(expr.Func{}), key, place, "", "Call is nil"},
		{"nothing to call in Plan", fn(expr.Func{Planned: true}), key, place, "Call is nil", "Call is nil"},
		{"planned secret", fn(expr.Func{Planned: true, Secret: true, Call: call}), key, place, "contradict", "contradict"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, planErr := expr.Plan(t.Context(), "text", tt.env, tt.key, tt.place...)
			_, resolveErr := expr.Resolve(t.Context(), "text", tt.env, tt.key, tt.place...)
			for _, got := range []struct {
				want string
				err  error
			}{{tt.wantPlan, planErr}, {tt.wantResolve, resolveErr}} {
				var e *expr.Error
				switch {
				case got.want == "" && got.err != nil:
					t.Errorf("error %v", got.err)
				case got.want != "" && (got.err == nil || !strings.Contains(got.err.Error(), got.want) || errors.As(got.err, &e)):
					t.Errorf("error %v, want one with %q", got.err, got.want)
				}
			}
		})
	}
}
