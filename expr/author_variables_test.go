package expr_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken/expr"
)

func TestAuthorVariables(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"plain":           "a text, <+5",
		"name":            "<+stage.variables.name>", // a user's variable
		"conn":            "account.<+author.name>",
		"jwt":             `<+secrets.getJWT(<+author.conn>)>`,
		"hostile":         "<+stage.variables.hostile>",
		"function":        "<+path.hostile()>",
		"yes":             `<+stage.name == "deploy">`,
		"empty":           "",
		"escape":          `<\+stage.name>`,
		"passing":         `<+vault.x> <+input>.default(<+stage.name>) <+secrets.getValue("x")>`,
		"creds":           `<+secrets.getAWSCredentials("c")>`,
		"part":            `<+secrets.getAWSCredentials("c").sessionToken>`,
		"variables.conn":  "the author's, which is replaced",
		"variables.other": "<+stage.variables.tier>",
		"":                "<+author.plain>!",
	}
	for _, tt := range []struct{ name, text, want string }{
		{"no expression", "<+author.plain>", "a text, <+5"},
		{"a user's variable", "<+author.name>", "gcp_prod"},
		{"an author's variable", "<+author.conn>", "account.gcp_prod"},
		{"a function", "x <+author.jwt> y", "x getJWT[account.gcp_prod] y"},
		{"twice", "<+author.jwt><+author.jwt>", "getJWT[account.gcp_prod]getJWT[account.gcp_prod]"},
		{"an argument", `<+secrets.getJWT(<+author.conn>)>`, "getJWT[account.gcp_prod]"},
		{"a bare argument", `<+secrets.getJWT(author.conn)>`, "getJWT[account.gcp_prod]"},
		{"in a string", `<+secrets.getJWT("x.<+author.name>")>`, "getJWT[x.gcp_prod]"},
		{"joined", `<+"a" + author.name + <+author.name>>`, "agcp_prodgcp_prod"},
		{"a method", `<+author.name.concat("x")>`, "gcp_prodx"},
		{"a condition", `<+author.yes ? author.jwt : "">`, "getJWT[account.gcp_prod]"},
		{"a branch that is not chosen", `<+author.yes ? "a" : author.jwt>`, "a"},
		{"a comparison", `<+author.name == "gcp_prod">`, "true"},
		{"empty", "a<+author.empty>b", "ab"},
		{"the root", "<+author>", "a text, <+5!"},
		{"an escape", "<+author.escape>", "<+stage.name>"},
		{"what passes", "<+author.passing>", `<+vault.x> <+input>.default(<+stage.name>) <+secrets.getValue("x")>`},
		{"a field", "<+author.part>", "getAWSCredentials[c].sessionToken"},
		{"a user's value is not scanned", "<+author.hostile>", `<+secrets.getJWT("stolen")>`},
		{"a result is not scanned", "<+author.function>", `<+secrets.getJWT("x")>`},
		{"a user's variable of the same path has precedence", "<+stage.variables.conn>", "account.gcp_prod"},
		{"an author's variable beside a user's", "<+stage.variables.other>", "prod"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var h host
			env := withAuthor(&h, values)
			got, err := expr.Expand(t.Context(), tt.text, env)
			if err != nil || got != tt.want {
				t.Errorf("Expand(%q) = %q, %v; want %q", tt.text, got, err, tt.want)
			}
			key := expr.NewPlanKey()
			for path, fn := range env.Functions {
				fn.Planned = !fn.Secret
				env.Functions[path] = fn
			}
			planned := mustPlan(t, tt.text, env, key, place...)
			if got, err := expr.Resolve(t.Context(), planned, env, key, place...); err != nil || got != tt.want {
				t.Errorf("Plan and Resolve = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// A fault in a value is reported at the place where the text reads the value. The reason gives
// the place in the value.
func TestAuthorVariableAtFault(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", expr.MaxResult)
	values := map[string]string{
		"unknown":  "a\n <+secrets.getJwt('c')>",
		"open":     "é <+secrets.getJWT('c')",
		"outer":    "\n\n<+author.unknown>",
		"self":     "x<+author.self>",
		"a":        "<+author.b>",
		"b":        "<+author.c>",
		"c":        "<+true ? '' : <+author.a>>",
		"jwt":      "<+secrets.getJWT('c')>",
		"passing":  "<+vault.x>",
		"fails":    "\n<+path.err()>",
		"miss":     "<+secret.getJWT('c')>",
		"missing":  "<+author.nothing>",
		"object":   "<+secrets.getAWSCredentials('c')>",
		"maximum":  long,
		"long":     long + "x",
		"sum":      "x<+author.maximum>",
		"sentence": "true or false",
	}
	for _, tt := range []struct {
		name, text string
		want       expr.Error
	}{
		{"unknown variable", "<+author.nothing>", expr.Error{Function: "author.nothing", Reason: "unknown variable"}},
		{"unknown function", "<+author.unknown>", expr.Error{Function: "secrets.getJwt", Reason: "unknown function; the nearest is secrets.getJWT, in the value of author.unknown, line 2, column 4"}},
		{"two values deep", "<+author.outer>", expr.Error{Function: "secrets.getJwt", Reason: "unknown function; the nearest is secrets.getJWT, in the value of author.unknown, line 2, column 4"}},
		{"not closed", "<+author.open>", expr.Error{Function: "secrets.getJWT", Reason: `is not closed; to write <+ as text, write <\+, in the value of author.open, line 1, column 4`}},
		{"a near miss", "<+author.miss>", expr.Error{Function: "secret.getJWT", Reason: `did you mean "secrets"?`}},
		{"no variable", "<+author.missing>", expr.Error{Function: "author.nothing", Reason: "unknown variable, in the value of author.missing, line 1, column 3"}},
		{"an object", "<+author.object>", expr.Error{Function: "secrets.getAWSCredentials", Reason: "one field has to be read"}},
		{"itself", "<+author.self>", expr.Error{Function: "author.self", Reason: "the variable refers to itself, in the value of author.self, line 1, column 4"}},
		{"a cycle", "<+author.a>", expr.Error{Function: "author.a", Reason: "the variable refers to itself, in the value of author.c, line 1, column 17"}},
		{"a cycle from its middle", "<+author.c>", expr.Error{Function: "author.c", Reason: "the variable refers to itself, in the value of author.b, line 1, column 3"}},
		{"a secret as an argument", "<+path.join(author.jwt)>", expr.Error{Column: 13, Function: "secrets.getJWT", Reason: "the result is a secret: it may be placed into text, but not passed as an argument"}},
		{"a secret with a method", "<+author.jwt.concat('x')>", expr.Error{Function: "secrets.getJWT", Reason: "the result is a secret"}},
		{"a secret compared", "<+author.jwt == 'x'>", expr.Error{Function: "secrets.getJWT", Reason: "the result is a secret"}},
		{"what passes as an argument", "<+path.join(author.passing)>", expr.Error{Column: 13, Function: "vault.x", Reason: "this expression passes through"}},
		{"no condition", "<+author.sentence ? 'a' : 'b'>", expr.Error{Reason: "the condition is neither true nor false"}},
		{"a value that is too long", "<+author.long>", expr.Error{Function: "author.long", Reason: "the result has more than 262144 bytes"}},
		{"a result that is too long", "<+author.sum>", expr.Error{Reason: "the result has more than 262144 bytes, in the value of author.sum"}},
		{"a function fails", "<+author.fails>", expr.Error{Function: "path.err", Reason: "failed, in the value of author.fails, line 2, column 3", Err: errRefused}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var h host
			env := withAuthor(&h, values)
			tt.want.Line = 2
			if tt.want.Column == 0 {
				tt.want.Column = 3
			}
			wantError(t, tt.want, mustFail(t, "\n"+tt.text, env))
			if h.calls != nil {
				t.Errorf("unexpected calls %q", h.calls)
			}
		})
	}
	var h host
	if got, err := expr.Expand(t.Context(), "<+author.maximum>", withAuthor(&h, values)); err != nil || got != long {
		t.Errorf("at the limit: %d bytes, %v", len(got), err)
	}
}

// References between variables are limited, both in depth and in number. E03
func TestAuthorVariablesAreBounded(t *testing.T) {
	t.Parallel()
	chain := func(n int) map[string]string {
		values := map[string]string{fmt.Sprint("v", n): "end<+''>"}
		for i := range n {
			values[fmt.Sprint("v", i)] = fmt.Sprintf("<+author.v%d>", i+1)
		}
		return values
	}
	doubling := func(n int) map[string]string {
		values := chain(n)
		for name, value := range values {
			values[name] = value + value
		}
		return values
	}
	many := func(expressions int) map[string]string {
		return map[string]string{"v0": "<+author.v1>", "v1": strings.Repeat("<+''>", expressions)}
	}
	for _, tt := range []struct {
		name     string
		good     map[string]string
		bad      map[string]string
		function string
		reason   string
	}{
		{"depth", chain(expr.MaxDepth - 1), chain(expr.MaxDepth), "author.v32", "more than 32 variables refer to one another"},
		{"doubling", doubling(7), doubling(expr.MaxDepth - 1), "", "more than 1000 expressions in the text and in the variables that it reads"},
		{"expressions", many(expr.MaxExpressions - 2), many(expr.MaxExpressions - 1), "author.v1", "more than 1000 expressions in the text and in the variables that it reads"},
		{"expressions of one", map[string]string{"v0": strings.Repeat("<+''>", expr.MaxExpressions-1)}, map[string]string{"v0": strings.Repeat("<+''>", expr.MaxExpressions)}, "author.v0", "more than 1000 expressions"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var h host
			if _, err := expr.Expand(t.Context(), "<+author.v0>", withAuthor(&h, tt.good)); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			got := mustFail(t, "<+author.v0>", withAuthor(&h, tt.bad))
			if tt.function == "" {
				tt.function = got.Function
			}
			wantError(t, expr.Error{Line: 1, Column: 3, Function: tt.function, Reason: tt.reason}, got)
		})
	}
	// A reader that invents variables without end is called a limited number of times.
	asked := 0
	env := expr.Env{AuthorVariables: map[string]func(string) (string, bool){"author": func(path string) (string, bool) {
		asked++
		return fmt.Sprintf("<+author.%s.a><+author.%s.b>", path, path), true
	}}}
	mustFail(t, "<+author.x>", env)
	if asked > expr.MaxExpressions {
		t.Errorf("called the reader %d times", asked)
	}
}

// A value is read once. Expand evaluates the value that was checked.
func TestAuthorVariableIsReadOnce(t *testing.T) {
	t.Parallel()
	asked := 0
	var h host
	env := h.env()
	env.AuthorVariables = map[string]func(string) (string, bool){"author": func(string) (string, bool) {
		asked++
		return fmt.Sprintf("<+path.join('%d')>", asked), true
	}}
	if got, err := expr.Expand(t.Context(), "<+author.x><+author.x>", env); err != nil || got != "join[1]join[1]" || asked != 1 {
		t.Errorf("Expand = %q, %v after %d calls of the reader", got, err, asked)
	}
}

func TestAuthorVariablesOfNoName(t *testing.T) {
	t.Parallel()
	read := func(string) (string, bool) { return "", true }
	for _, tt := range []struct {
		root string
		read func(string) (string, bool)
		want string
	}{
		{"a.b", read, `expr: Env.AuthorVariables["a.b"]: the root is not a name`},
		{"", read, `expr: Env.AuthorVariables[""]: the root is not a name`},
		{"$a", read, `expr: Env.AuthorVariables["$a"]: a root cannot begin with $`},
		{"input", read, `expr: Env.AuthorVariables["input"]: the root is reserved`},
		{"a", nil, `expr: Env.AuthorVariables["a"]: the reader is nil`},
	} {
		_, err := expr.Expand(t.Context(), "", expr.Env{AuthorVariables: map[string]func(string) (string, bool){tt.root: tt.read}})
		if err == nil || err.Error() != tt.want {
			t.Errorf("root %q: %v, want %s", tt.root, err, tt.want)
		}
	}
}

// Reading an author's variable has the same effect as writing its value in the text: the result
// is the same, or both fail. A user's variable is placed unchanged. E01
func TestAuthorVariableIsItsValue(t *testing.T) {
	t.Parallel()
	resolved := 0
	user := func(string) (string, bool) { return "<+stage.name>", true }
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SampledFrom([]string{"", "x", "<", `<\+`, "<+5 "}).Draw(t, "before") + "<+" + drawValue(t, rapid.IntRange(0, 3).Draw(t, "depth")) + ">"
		once, _, onceErr, _ := phases(t.Context(), value, func(env *expr.Env) { env.Variables["user"] = user })
		read := map[string]func(string) (string, bool){"author": func(path string) (string, bool) { return value, path == "v" }}
		got, twice, err, twiceErr := phases(t.Context(), "<+author.v>", func(env *expr.Env) { env.Variables["user"], env.AuthorVariables = user, read })
		if got != once || (err == nil) != (onceErr == nil) {
			t.Fatalf("%q: %q, %v; as a variable: %q, %v", value, once, onceErr, got, err)
		}
		if err == nil && (twiceErr != nil || twice != once) {
			t.Fatalf("%q: %q; in two phases: %q, %v", value, once, twice, twiceErr)
		}
		var want, have *expr.Error
		if onceErr != nil {
			if !errors.As(onceErr, &want) || !errors.As(err, &have) || want.Function != have.Function || !strings.HasPrefix(have.Reason, want.Reason) {
				t.Fatalf("%q: %v; as a variable: %v", value, onceErr, err)
			}
		} else {
			resolved++
		}
		got, _, err, _ = phases(t.Context(), "<+author.v>", func(env *expr.Env) { maps.Copy(env.Variables, read) })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(value, got); diff != "" {
			t.Fatalf("a user's value (-want +got):\n%s", diff)
		}
	})
	if resolved == 0 {
		t.Error("no text was resolved")
	}
}

// Strict mode reports an expression in a user's value, and no other text in one.
func TestStrictReportsUsersExpressions(t *testing.T) {
	t.Parallel()
	value := ""
	read := map[string]func(string) (string, bool){"v": func(string) (string, bool) { return value, true }}
	for _, tt := range []struct {
		value      string
		delimiters expr.Delimiters
		stays      bool
	}{
		{"", 0, false},
		{"a < b + c", 0, false},
		{"<+5 <+", 0, false},
		{"fix <+ the bug", 0, false}, // the expression is not closed, so it is text
		{`<\+v.x>`, 0, false},
		{"${{ v.x }}", 0, false},
		{"<+v.x>", expr.Braces, false},
		{"<+v.x>", 0, true},
		{"<+ unknown.x >", 0, true},
		{"a <+input>", 0, true},
		{"<+v.x> <+ the", 0, true},
		{"${{ v.x }}", expr.Braces, true},
		{"<+v.x>", expr.Angle | expr.Braces, true},
		{strings.Repeat("<+x>", 2000), 0, true},
	} {
		value = tt.value
		for _, strict := range []bool{false, true} {
			text := "\n<+v.x>"
			if tt.delimiters == expr.Braces {
				text = "\n${{v.x}}"
			}
			env := expr.Env{Variables: read, Delimiters: tt.delimiters, Strict: strict}
			if !strict || !tt.stays {
				if got, err := expr.Expand(t.Context(), text, env); err != nil || got != "\n"+value {
					t.Errorf("%.40q, strict %t: %.40q, %v", value, strict, got, err)
				}
				continue
			}
			column := strings.Index(text, "v.x")
			wantError(t, expr.Error{Line: 2, Column: column, Function: "v.x", Reason: "strict mode"}, mustFail(t, text, env))
			// The same value in an author's variable is resolved.
			env.Variables, env.AuthorVariables = nil, map[string]func(string) (string, bool){"v": func(path string) (string, bool) { return "''", true }}
			if _, err := expr.Expand(t.Context(), text, env); err != nil {
				t.Error(err)
			}
		}
	}
}
