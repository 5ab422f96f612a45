package expr_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/expr"
)

// The fault of every text is in line 2 of "é\n" + text + " <+stage.name>": after a character of
// two bytes and before a correct expression. No function is called and no text returned.
//
// E02
func TestTextAtFault(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		column     int
		function   string
		reason     string // a part of the reason
	}{
		// Not closed.
		{"expression not closed", `a <+secrets.getJWT("c")`, 3, "secrets.getJWT", "the expression that begins here is not closed"},
		{"unknown expression not closed", `a <+ b`, 3, "b", "the expression that begins here is not closed"},
		{"nested expression not closed", `<+path.join(<+stage.name)`, 13, "stage.name", "the expression that begins here is not closed"},
		{"the outer of two not closed", `<+path.join(<+stage.name)>`, 1, "path.join", "the expression that begins here is not closed"},
		{"string not closed", `<+secrets.getJWT("c)>`, 18, "secrets.getJWT", "the string that begins here is not closed"},
		{"single-quoted string not closed", `<+unknown's>`, 10, "unknown", "the string that begins here is not closed"},
		{"JSON string not closed", `<+secrets.getJWT(\"c")>`, 18, "secrets.getJWT", "the string that begins here is not closed"},
		{"JSON string with its quote escaped", `<+secrets.getJWT(\"c\\\")>`, 18, "secrets.getJWT", "the string that begins here is not closed"},
		{"expression in a string not closed", `<+secrets.getJWT("<+")>`, 21, "", "the string that begins here is not closed"},
		{"suffix not closed", `<+input>.default(`, 9, "input", "the suffix that begins here is not closed"},
		{"suffix with its parenthesis escaped", `<+input>.regex(\)`, 9, "input", "the suffix that begins here is not closed"},
		{"suffix with its parenthesis in a class", `<+input>.regex([)`, 9, "input", "the suffix that begins here is not closed"},

		// Unknown names.
		{"unknown function", `a <+secrets.getJwt("c")>`, 5, "secrets.getJwt", "unknown function; the nearest is secrets.getJWT"},
		{"far from all functions", `<+secrets.xyz("c")>`, 3, "secrets.xyz", "unknown function; the nearest is secrets.getJWT"},
		{"nearest of two", `<+secrets.getGCPToken("c")>`, 3, "secrets.getGCPToken", "the nearest is secrets.getGCPAccessToken"},
		{"a function of a function", `<+secrets.getJWT.getJWT("c")>`, 3, "secrets.getJWT.getJWT", "unknown function; the nearest is secrets.getJWT"},
		{"root with variables only", `<+stage.get("c")>`, 3, "stage.get", "stage has variables, but no functions"},
		{"reflection on a root", `<+secrets.getClass()>`, 3, "secrets.getClass", "unknown function"},
		{"reflection on a variable", `<+stage.name.getClass()>`, 3, "stage.name.getClass", "unknown function"},
		{"reflection by a path", `<+stage.class.forName>`, 3, "stage.class.forName", "unknown variable"},
		{"reflection on a string", `<+"".getClass()>`, 6, "getClass", "unknown method; the only method is concat"},
		{"reflection by a field", `<+"".class>`, 6, "", `a string has no field "class"`},
		{"unknown variable", `<+stage.variables.con>`, 3, "stage.variables.con", "unknown variable"},
		{"variable of a root with functions only", `<+secrets.getJWT1>`, 3, "secrets.getJWT1", "unknown function; the nearest is secrets.getJWT"},
		{"function without arguments", `<+secrets.getJWT>`, 3, "secrets.getJWT", "is a function: its arguments are missing"},
		{"unknown field", `<+secrets.getAWSCredentials("c").accessKeyID>`, 34, "secrets.getAWSCredentials", "; the nearest is .accessKeyId"},
		{"missing field", `<+secrets.getAWSCredentials("c")>`, 3, "secrets.getAWSCredentials", "one field has to be read: .accessKeyId, .secretAccessKey, .sessionToken"},
		{"field of a field", `<+path.join("c").x>`, 18, "", `a string has no field "x"`},
		{"unknown root further on", `<+stage.name == pipeline.x>`, 17, "pipeline.x", `unknown root "pipeline"`},
		{"unknown root as an argument", `<+path.join(pipeline.x)>`, 13, "pipeline.x", `unknown root "pipeline"`},
		{"unknown root of a call", `<+path.join(pipeline.x())>`, 13, "pipeline.x", `unknown root "pipeline"`},
		{"bare getValue further on", `<+stage.variables.yes ? secrets.getValue("c") : "">`, 25, "secrets.getValue", "has to be an expression of its own"},
		{"in the branch not chosen", `<+true ? "" : secrets.getjwt("c")>`, 15, "secrets.getjwt", "unknown function"},
		{"after an or that stops", `<+true || stage.nothing>`, 11, "stage.nothing", "unknown variable"},

		// Arity.
		{"too few arguments", `<+secrets.getJWT()>`, 3, "secrets.getJWT", "takes 1 to 2 arguments, has 0"},
		{"too many arguments", `<+secrets.getJWT("a", "b", "c")>`, 3, "secrets.getJWT", "takes 1 to 2 arguments, has 3"},
		{"exactly one argument", `<+secrets.getAWSCredentials().sessionToken>`, 3, "secrets.getAWSCredentials", "takes 1 argument, has 0"},
		{"exactly two arguments", `<+path.pair("a")>`, 3, "path.pair", "takes 2 arguments, has 1"},
		{"an argument to a function without arguments", `<+path.hostile("x")>`, 3, "path.hostile", "takes no arguments, has 1"},
		{"arity of concat", `<+"a".concat("b", "c")>`, 7, "concat", "takes 1 argument, has 2"},

		// Grammar.
		{"empty nested expression", `<+path.join(<+>)>`, 13, "path.join", "<+ does not begin an expression here"},
		{"a delimiter before a number", `<+stage.name == <+5>`, 17, "stage.name", "<+ does not begin an expression here"},
		{"nothing but a delimiter", `<+<+>`, 3, "", "<+ does not begin an expression here"},
		{"less", `<+stage.name < "a">`, 14, "stage.name", "there are no ordering operators"},
		{"number", `<+stage.name == 3>`, 17, "stage.name", "a number must be quoted"},
		{"assignment", `<+stage.name = "x">`, 14, "stage.name", `unexpected '='`},
		{"single ampersand", `<+true & true>`, 8, "", `unexpected '&'`},
		{"minus", `<+stage.name - "x">`, 14, "stage.name", `unexpected '-'`},
		{"two values", `<+stage.name "x">`, 14, "stage.name", "unexpected string"},
		{"string beside an expression", `<+"p_" <+stage.name>>`, 8, "stage.name", `unexpected "<+"`},
		{"comparison of a comparison", `<+"a" == "b" == "c">`, 14, "", "needs parentheses"},
		{"no operand", `<+stage.name + >`, 16, "stage.name", "expected a value, found end of the expression"},
		{"no colon", `<+stage.name ? "a">`, 19, "stage.name", `expected ":", found end of the expression`},
		{"no closing parenthesis", `<+path.join("a" "b")>`, 17, "path.join", `expected ")", found string`},
		{"trailing comma", `<+path.join("a",)>`, 17, "path.join", `expected a value, found ")"`},
		{"name after a name", `<+path.join("a") stage>`, 18, "path.join", `unexpected name "stage"`},
		{"trailing dot", `<+stage.name.>`, 14, "stage.name", "expected a name, found end of the expression"},
		{"no name after a dot", `<+path.join("a")."b">`, 18, "path.join", "expected a name, found string"},
		{"name out of expressions", `<+stage.<+stage.name>>`, 9, "stage", `expected a name, found "<+"`},
		{"open bracket", `<+path.join("a")[1>`, 19, "path.join", `expected "]"`},
		{"index of a string", `<+path.join("a")[1]>`, 17, "", "a string has no index"},

		// Values.
		{"no truth", `<+stage.name ? "a" : "b">`, 3, "", "the condition is neither true nor false"},
		{"no truth to negate", `<+!stage.variables.empty>`, 4, "", "the condition is neither true nor false"},
		{"no truth for and", `<+true && "True">`, 11, "", "the condition is neither true nor false"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var h host
			text := "é\n" + tt.text + " <+stage.name>"
			if strings.Contains(tt.reason, "not closed") {
				text = "é\n" + tt.text
			}
			got := mustFail(t, text, h.env())
			wantError(t, expr.Error{Line: 2, Column: tt.column, Function: tt.function, Reason: tt.reason}, got)
			if h.calls != nil {
				t.Errorf("unexpected calls %q", h.calls)
			}
		})
	}
}

// Only a line feed ends a line, and columns are bytes.
func TestErrorPosition(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, before string
		line, column int
	}{
		{"start", "", 1, 1},
		{"same line", "ab", 1, 3},
		{"line feed", "ab\n", 2, 1},
		{"CRLF", "ab\r\ncd\r\n ", 3, 2},
		{"carriage return", "ab\rcd", 1, 6},
		{"empty lines", "\n\n\n", 4, 1},
		{"UTF-8", "日本\né☃", 2, 6},
		{"invalid UTF-8", "\xff\xfe", 1, 3},
		{"after an expression over lines", "<+unknown\n>  ", 2, 4},
		{"after a result with lines", "<+'a\nb'>", 2, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var h host
			got := mustFail(t, tt.before+"<+stagee>", h.env())
			wantError(t, expr.Error{Line: tt.line, Column: tt.column, Function: "stagee", Reason: `unknown root "stagee"`}, got)
		})
	}
}

// The first fault of a text is reported, whatever its kind.
func TestFirstFault(t *testing.T) {
	t.Parallel()
	var h host
	got := mustFail(t, `<+stage.name> <+stage.nothing> <+secrets.nothing()> <+stage.name ''>`, h.env())
	wantError(t, expr.Error{Line: 1, Column: 17, Function: "stage.nothing", Reason: "unknown variable"}, got)
}

// If several functions are equally near, the error always names the same one.
func TestNearestOfEquals(t *testing.T) {
	t.Parallel()
	call := func(context.Context, expr.Call) (string, error) { return "", nil }
	env := expr.Env{Functions: map[string]expr.Func{"a.bz": {Call: call}, "a.bx": {Call: call}, "a.by": {Call: call}, "b.b": {Call: call}}}
	for range 20 {
		got := mustFail(t, "<+a.b()>", env)
		wantError(t, expr.Error{Line: 1, Column: 3, Function: "a.b", Reason: "unknown function; the nearest is a.bx"}, got)
	}
}

// If a function returns an error, its result and all earlier results are dropped, and no later
// function is called.
//
// E02
func TestFunctionFails(t *testing.T) {
	t.Parallel()
	var h host
	text := "<+secrets.getJWT('a')>\n <+true ? <+path.fail()> : ''> <+secrets.getJWT('b')>"
	got := mustFail(t, text, h.env())
	wantError(t, expr.Error{Line: 2, Column: 13, Function: "path.fail", Reason: "failed", Err: errRefused}, got)
	if diff := cmp.Diff([]string{"getJWT[a]"}, h.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if want := "expr: line 2, column 13: path.fail: failed: host: refused"; got.Error() != want {
		t.Errorf("Error() = %q, want %q", got.Error(), want)
	}
	if !errors.Is(&got, errRefused) {
		t.Error("the function's error is not wrapped")
	}
}

// A function's error is returned wherever the expression uses the result.
//
// E02
func TestFunctionFailsInside(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`<+%>`, `<+<+%>>`, `<+"a<+%>">`, `<+<+stage.name><+%>>`, `<+% + "a">`, `<+"a" + %>`, `<+% == "a">`, `<+"a" == %>`,
		`<+!%>`, `<+% && true>`, `<+true && %>`, `<+false || %>`, `<+% ? "a" : "b">`, `<+true ? % : "b">`, `<+false ? "a" : %>`,
		`<+path.join(%)>`, `<+path.join("a", %)>`, `<+"a".concat(%)>`, `<+(%).concat("a")>`, `<+secrets.getAWSCredentials(%).sessionToken>`,
	} {
		var h host
		got := mustFail(t, strings.ReplaceAll(text, "%", "path.err()"), h.env())
		wantError(t, expr.Error{Line: 1, Column: strings.Index(text, "%") + 1, Function: "path.err", Reason: "failed", Err: errRefused}, got)
		if h.calls != nil {
			t.Errorf("Expand(%q) calls %q", text, h.calls)
		}
	}
}

// A variable that vanishes between the check and the evaluation is an error, not an empty
// value.
func TestVariableVanishes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`<+v.x>`, `<+v.x == "">`, `<+v.x ? "a" : "b">`, `<+"".concat(v.x)>`} {
		asked := 0
		got := mustFail(t, text, expr.Env{Variables: map[string]func(string) (string, bool){
			"v": func(string) (string, bool) { asked++; return "", asked == 1 },
		}})
		wantError(t, expr.Error{Line: 1, Column: strings.Index(text, "v.x") + 1, Function: "v.x", Reason: "unknown variable"}, got)
	}
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var h host
	env := h.env()
	env.Functions["path.cancel"] = expr.Func{Call: func(context.Context, expr.Call) (string, error) {
		cancel()
		return "", nil
	}}
	got, err := expr.Expand(ctx, "<+path.cancel()><+secrets.getJWT('b')>", env)
	var e *expr.Error
	if !errors.As(err, &e) || got != "" {
		t.Fatalf("Expand = %q, %v", got, err)
	}
	wantError(t, expr.Error{Line: 1, Column: 19, Function: "secrets.getJWT", Reason: "was not called", Err: context.Canceled}, *e)
	if h.calls != nil {
		t.Errorf("unexpected calls %q", h.calls)
	}
}

// No error shows the content of a string or a function's result, with any verb.
//
// E02
func TestErrorsHoldNoValue(t *testing.T) {
	t.Parallel()
	const value = "s3cr3t-value"
	env := expr.Env{
		Functions: map[string]expr.Func{
			"f.plain":  {MaxArgs: 1, Call: func(context.Context, expr.Call) (string, error) { return value, nil }},
			"f.secret": {MaxArgs: 1, Secret: true, Call: func(context.Context, expr.Call) (string, error) { return value, nil }},
			"f.large": {MaxArgs: 1, Call: func(context.Context, expr.Call) (string, error) {
				return strings.Repeat(value, expr.MaxResult/len(value)+1), nil
			}},
			"f.fail": {MaxArgs: 1, Call: func(context.Context, expr.Call) (string, error) { return value, errRefused }},
		},
		Variables: map[string]func(string) (string, bool){
			"v": func(path string) (string, bool) { return value, path == "x" },
		},
	}
	for _, text := range []string{
		`<+f.secret("s3cr3t-value") + "s3cr3t-value">`,
		`<+f.secret("s3cr3t-value").split("s3cr3t-value")[1]>`,
		`<+f.plain("s3cr3t-value", "s3cr3t-value")>`,
		`<+f.plan("s3cr3t-value")>`,
		`<+f.plain("s3cr3t-value") ? "a" : "b">`,
		`<+!v.x>`,
		`<+v.x && true>`,
		`<+f.large("s3cr3t-value")>`,
		`<+f.fail("s3cr3t-value")>`,
		`<+f.fail(v.x)>`,
		`<+f.plain("s3cr3t-value" "s3cr3t-value")>`,
		`<+f.plain("s3cr3t-value>`,
		`<+f.plain("s3cr3t-value"`,
		`<+f.plain(f.secret("s3cr3t-value"))>`,
		`<+f.plain(<+f.secret("s3cr3t-value")>.x)>`,
		`<+"s3cr3t-value".x>`,
		`<+"s3cr3t-value".concat()>`,
		`<+"s3cr3t-value"[0]>`,
		`<+v.x ("s3cr3t-value")>`,
	} {
		e := mustFail(t, text, env)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			for _, shown := range []string{fmt.Sprintf(verb, &e), fmt.Sprintf(verb, e)} {
				if strings.Contains(shown, value) {
					t.Errorf("Expand(%q): %s shows %q", text, verb, shown)
				}
			}
		}
	}
}

// Errors show no control characters, although a name may contain every byte above 0x7f.
func TestNamesAreShownPlainly(t *testing.T) {
	t.Parallel()
	var h host
	got := mustFail(t, "<+stage.é\u009b31m\xff\u202e>", h.env())
	wantError(t, expr.Error{Line: 1, Column: 3, Function: "stage.é?31m??", Reason: "unknown variable"}, got)
}

// Long names are cut, so errors stay short.
func TestLongNamesAreCut(t *testing.T) {
	t.Parallel()
	var h host
	long := strings.Repeat("é", 1000)
	for _, text := range []string{
		"<+secrets." + long + "()>",
		"<+stage." + long + ">",
		"<+stage.name == " + long + ".x>",
		"<+stage.name " + long + ">",
		"<+'a'." + long + ">",
		"<+'a'." + long + "()>",
		"<+secrets.getAWSCredentials('c')." + long + ">",
		"<+" + long,
	} {
		got := mustFail(t, text, h.env())
		if shown := got.Error(); len(shown) > 400 || strings.Contains(shown, "\ufffd") {
			t.Errorf("an error of %d bytes: %q", len(shown), shown)
		}
	}
}
