package expr_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/expr"
)

// FuzzExpand looks for panics, for results together with errors, for errors of another type or
// with a place outside the text, and for differences between Check and Expand.
func FuzzExpand(f *testing.F) {
	for _, text := range passing {
		f.Add(text, false)
	}
	for _, text := range []string{
		"", "<+", "<+>", "a\r\n<+stage.name>é", `<+secrets.getJWT("c", 'a')>`, `{"a": "<+secrets.getJWT(\"c\\\"\")>"}`,
		`<+secrets.getAWSCredentials(<+stage.variables.conn>).sessionToken>`, `<+stage.name=="a"&&!(true||false)?"<+path.join()>":'b'>`,
		`<+"a".concat("b" + path.join(stage.name))>`, `<+<+secrets.getJWT("c")>.split(".")[1]>`, "<+<+<+<+", `<+'\''>`,
		`<+path.fail()>`, `<+path.hostile()>`, `<+a.b("\">")`, `<+stage.variables.yes ? <+input>.regex([(\)]) : "">`,
	} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, strict bool) {
		var h host
		env := h.env()
		env.Strict = strict
		tmpl, parseErr := expr.Parse(text)
		got, err := expr.Expand(t.Context(), text, env)
		if err != nil {
			checkPlace(t, text, got, err)
		}
		if parseErr != nil {
			if err == nil || parseErr.Error() != err.Error() {
				t.Errorf("Parse: %v, Expand: %v", parseErr, err)
			}
			return
		}
		calls := len(h.calls)
		checkErr := tmpl.Check(env)
		if len(h.calls) != calls {
			t.Error("Check called a function")
		}
		if checkErr != nil && (err == nil || checkErr.Error() != err.Error() || calls > 0) {
			t.Errorf("Check: %v, Expand: %v, with %d calls", checkErr, err, calls)
		}
		if !strings.Contains(text, "<+") && !strings.Contains(text, `<\+`) && got != text {
			t.Errorf("a text without expressions becomes %q", got)
		}
		if unbound, err := tmpl.Expand(t.Context(), expr.Env{}); err == nil && tmpl.Check(expr.Env{Strict: true}) != nil &&
			strings.Count(text, "<+") == 1 && !strings.Contains(text, `<\+`) && unbound != text {
			t.Errorf("an expression that passes through becomes %q", unbound)
		}
	})
}

// FuzzDelimiters looks for the same faults with all delimiters, and with an author's and a
// user's variable in the text. The user's value must never be read as an expression.
func FuzzDelimiters(f *testing.F) {
	for _, text := range append(slices.Clone(passing), "<+author.v>${{ author.v }}", `<\+$\{{<+5${{}}`, `${{ "${{ author.v }}" }}<+"<\+">`) {
		f.Add(text, "<+user.v>${{ user.v }}", `<+path.fail()>`, uint8(3))
		f.Add(text, "<+author.v>", `${{ path.fail() }}`, uint8(1))
		f.Add(text, `<+secrets.getJWT("c")>`, text, uint8(2))
	}
	f.Fuzz(func(t *testing.T, text, author, user string, delimiters uint8) {
		var h host
		env := h.env()
		env.Delimiters = expr.Delimiters(delimiters % 4)
		env.Variables["user"] = func(string) (string, bool) { return user, true }
		env.AuthorVariables = map[string]func(string) (string, bool){"author": func(string) (string, bool) { return author, true }}
		got, err := expr.Expand(t.Context(), text, env)
		if err != nil {
			checkPlace(t, text, got, err)
		} else if !begins(text) && !strings.Contains(text, `<\+`) && !strings.Contains(text, `$\{{`) && got != text {
			t.Errorf("a text without expressions becomes %q", got)
		}
		calls := len(h.calls)
		open, end := "<+", ">"
		if env.Delimiters == expr.Braces {
			open, end = "${{", "}}"
		}
		if got, err := expr.Expand(t.Context(), open+"user.v"+end, env); len(user) <= expr.MaxResult && (err != nil || got != user) || len(h.calls) != calls {
			t.Errorf("the user's value %q becomes %q, %v", user, got, err)
		}
	})
}

// checkPlace fails unless err is an *Error with a place in text, and got is empty.
func checkPlace(t *testing.T, text, got string, err error) {
	t.Helper()
	if got != "" {
		t.Errorf("result %q together with the error %v", got, err)
	}
	var e *expr.Error
	if !errors.As(err, &e) {
		t.Fatalf("%T: %v", err, err)
	}
	lines := strings.Split(text, "\n")
	if e.Line < 1 || e.Line > len(lines) || e.Column < 1 || e.Column > len(lines[e.Line-1])+1 {
		t.Errorf("place %d:%d is not in %q", e.Line, e.Column, text)
	}
	if e.Reason == "" {
		t.Error("an error without a reason")
	}
}
