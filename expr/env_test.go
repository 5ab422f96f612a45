package expr_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/expr"
)

// passing holds texts in which every expression passes through.
var passing = []string{
	// <+input> and its suffixes. Their arguments have their own rules.
	`<+input>`,
	`<+ input >`,
	`<+input>.allowedValues(a,b,<+secrets.getJWT("c")>)`,
	`<+input>.allowedValues("a)", 'b)', \"c)\")`,
	`<+input>.allowedValues("<+secrets.getJWT(")")>)")`,
	`<+input>.allowedValues(a,")<+secrets.getJWT("c")>")`,
	`<+input>.allowedValues(a, ')<+secrets.getJWT("c")>')`,
	`<+input>.default("a"'s)`,
	`<+input>.regex(^(dev|qa)-[a-z(]+\)$)`,
	`<+input>.regex(^\<+$)`,
	`<+input>.default(it's <+secrets.getJWT("c")>)`,
	`<+input>.default("<+secrets.getJWT(\"c\")>")`,
	`<+input>.default(<+f.x(")")>)`,
	`<+input>.default(f(x) <+secrets.getJWT("c")>)`,
	`<+input>.default([a <+secrets.getJWT("c")>)`,
	`<+input>.executionInput()`,
	`<+input>.selectOneFrom(a,b).executionInput()`,
	`<+input>.selectManyFrom(a,b).default(a).regex(.*).allowedValues(<+secrets.getJWT("c")>)`,
	`<+input>.default()`,

	// secrets.getValue.
	`<+secrets.getValue("account.password")>`,
	`<+secrets.getValue('a_<+stage.name>')>`,
	"<+ secrets\n.getValue( \"c\" ) >",
	`<+secrets.getValue("c").split(".")[0]>`,
	`<+!secrets.getValue("c") == <+secrets.getJWT("c")>>`,

	// Unknown roots, with any grammar.
	`<+pipeline.name>`,
	`<+pipeline.stages.build.spec.x["a>b"][0].f('>', <+secrets.getJWT(">")>) - 3 * 7>`,
	`<+pipeline.x < 3 ? 1 : <+secrets.getJWT("c")>>`,
	`<+<+pipeline.x>.y == "a" ? secrets.getJWT("c") : "">`,
	`<+"<+pipeline.x>" == "a" ? secrets.getJWT("c") : "">`,
	`<+"a" == pipeline.x ? secrets.getJWT("c") : "">`,
	`<+true && !(pipeline.x) ? secrets.getJWT("c") : "">`,
	`<+"a".concat(pipeline.x)>`,
	`<+"a".concat pipeline.x <+secrets.getJWT("c")>>`,
	`<+"a"."b" pipeline.x <+secrets.getJWT("c")>>`,
	`<+größe.wert>`,
	`<+input.x>`,
	`<+été.$x>`,
	`<+"a" == $.x>`,
	"<+unknown\r\n.x>",
	`<+unknown \"a>\" x>`,
	`<+unknown ((((((((((((((((((((((((((((((((((((((((>`,
}

func TestPassThrough(t *testing.T) {
	t.Parallel()
	for _, text := range passing {
		for _, around := range []struct{ before, want, after string }{
			{},
			{before: "a ", want: "a ", after: " b"},
			{before: text, want: text},
			{before: "<+stage.name>", want: "deploy", after: "x>"},
		} {
			got, calls, err := expand(t, around.before+text+around.after)
			if err != nil {
				t.Errorf("Expand(%q): %v", text, err)
				continue
			}
			if diff := cmp.Diff(around.want+text+around.after, got); diff != "" {
				t.Errorf("Expand(%q) (-want +got):\n%s", text, diff)
			}
			if calls != nil {
				t.Errorf("Expand(%q) calls %q", text, calls)
			}
		}
	}
}

func TestStrictLetsNothingPass(t *testing.T) {
	t.Parallel()
	for _, text := range passing {
		var h host
		env := h.env()
		env.Strict = true
		got := mustFail(t, "é\n <+stage.name>"+text, env)
		if got.Line != 2 || got.Column != len(" <+stage.name>")+1 || !strings.Contains(got.Reason, "strict mode") {
			t.Errorf("Expand(%q) strictly: %+v", text, got)
		}
		if h.calls != nil {
			t.Errorf("Expand(%q) strictly calls %q", text, h.calls)
		}
	}
}

// The end of the suffix is the end of the expression that passes through.
func TestAfterInput(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"unknown suffix", `<+input>.other(<+stage.name>)`, `<+input>.other(deploy)`},
		{"after a suffix", `<+input>.default(a) <+stage.name>`, `<+input>.default(a) deploy`},
		{"space before a suffix", `<+input> .default(<+stage.name>)`, `<+input> .default(deploy)`},
		{"no parenthesis", `<+input>.default <+stage.name>`, `<+input>.default deploy`},
		{"not the input", `<+input.x>.default(<+stage.name>)`, `<+input.x>.default(deploy)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, _, err := expand(t, tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Expand (-want +got):\n%s", diff)
			}
		})
	}
}

// Inside an expression that is resolved, an expression that passes through is ordinary text,
// unless its value is needed.
func TestPassThroughIsPlaced(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"branch", `<+stage.variables.yes ? <+secrets.getValue("a")> : <+secrets.getJWT("b")>>`, `<+secrets.getValue("a")>`},
		{"unknown root", `<+stage.variables.no ? "x" : <+pipeline.x < 3>>`, `<+pipeline.x < 3>`},
		{"input", `<+stage.variables.yes ? <+input>.default("a>b") : "x">`, `<+input>.default("a>b")`},
		{"in a string", `<+stage.variables.yes ? "a <+input>.default(b) c" : "x">`, `a <+input>.default(b) c`},
		{"beside another", `<+<+stage.name><+pipeline.x>>`, `deploy<+pipeline.x>`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, calls, err := expand(t, tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Expand (-want +got):\n%s", diff)
			}
			if calls != nil {
				t.Errorf("unexpected calls %q", calls)
			}
		})
	}
}

// A host that binds secrets.getValue receives its calls. With an Env without roots, every
// expression with a root passes through.
func TestBindingDecidesWhatPasses(t *testing.T) {
	t.Parallel()
	var h host
	env := h.env()
	env.Functions["secrets.getValue"] = expr.Func{MinArgs: 1, MaxArgs: 1, Secret: true, Call: h.record("getValue")}
	got, err := expr.Expand(t.Context(), `<+secrets.getValue("a")>`, env)
	if err != nil || got != "getValue[a]" {
		t.Errorf("bound getValue: %q, %v", got, err)
	}
	for _, text := range append(slices.Clone(passing), `<+secrets.getJWT("c")>`, `<+stage.name>`, `<+secrets.nothing()>`) {
		if got, err := expr.Expand(t.Context(), text, expr.Env{}); err != nil || got != text {
			t.Errorf("Expand(%q) with no roots: %q, %v", text, got, err)
		}
	}
}

func TestEnvIsChecked(t *testing.T) {
	t.Parallel()
	call := func(context.Context, expr.Call) (string, error) { return "", nil }
	read := func(string) (string, bool) { return "", true }
	functions := func(path string, fn expr.Func) expr.Env {
		return expr.Env{Functions: map[string]expr.Func{path: fn}}
	}
	variables := func(root string, read func(string) (string, bool)) expr.Env {
		return expr.Env{Variables: map[string]func(string) (string, bool){root: read}}
	}
	for _, tt := range []struct {
		name string
		env  expr.Env
		want string
	}{
		{"no call", functions("a.b", expr.Func{}), `expr: Env.Functions["a.b"]: Call is nil`},
		{"negative arity", functions("a.b", expr.Func{MinArgs: -1, Call: call}), `expr: Env.Functions["a.b"]: MinArgs and MaxArgs contradict each other`},
		{"arity", functions("a.b", expr.Func{MinArgs: 1, Call: call}), `expr: Env.Functions["a.b"]: MinArgs and MaxArgs contradict each other`},
		{"empty path", functions("", expr.Func{Call: call}), `expr: Env.Functions[""]: the key is not a path of names`},
		{"white space in a path", functions("a .b", expr.Func{Call: call}), `expr: Env.Functions["a .b"]: the key is not a path of names`},
		{"dot at the end", functions("a.", expr.Func{Call: call}), `expr: Env.Functions["a."]: the key is not a path of names`},
		{"method", functions("a.concat", expr.Func{Call: call}), `expr: Env.Functions["a.concat"]: concat is a method of every string`},
		{"input", functions("input.x", expr.Func{Call: call}), `expr: Env.Functions["input.x"]: the root is reserved`},
		{"path as a root", variables("a.b", read), `expr: Env.Variables["a.b"]: the root is not a name`},
		{"digit", variables("1", read), `expr: Env.Variables["1"]: the root is not a name`},
		{"constant", variables("true", read), `expr: Env.Variables["true"]: the root is reserved`},
		{"no reader", variables("a", nil), `expr: Env.Variables["a"]: the reader is nil`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tmpl, err := expr.Parse("no expression")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, fmt.Sprint(tmpl.Check(tt.env))); diff != "" {
				t.Errorf("Check (-want +got):\n%s", diff)
			}
			got, err := tmpl.Expand(t.Context(), tt.env)
			if diff := cmp.Diff(tt.want, fmt.Sprint(err)); diff != "" || got != "" {
				t.Errorf("Expand gives %q (-want +got):\n%s", got, diff)
			}
		})
	}
}
