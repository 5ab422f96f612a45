package expr_test

import (
	"context"
	"errors"
	"testing"

	"github.com/oidctoken/oidctoken/expr"
)

// A secret, and an expression that passes through, may be placed into text and used in no other
// way. The reason tells why. No function is called, because the text is at fault.
func TestOpaqueValuesAreNotUsed(t *testing.T) {
	t.Parallel()
	const (
		secret = "the result is a secret: it may be placed into text, but not "
		passes = "this expression passes through: it may be placed into text, but not "
	)
	for _, tt := range []struct {
		name, text       string
		column           int
		function, reason string
	}{
		{"split", `<+<+secrets.getJWT("c")>.split(".")[1]>`, 3, "secrets.getJWT", secret + "given a method, because the new value could not be masked"},
		{"bare split", `<+secrets.getJWT("c").split(".")>`, 3, "secrets.getJWT", secret + "given a method, because"},
		{"concat", `<+secrets.getJWT("c").concat("x")>`, 3, "secrets.getJWT", secret + "given a method, because"},
		{"getClass", `<+secrets.getJWT("c").getClass()>`, 3, "secrets.getJWT", secret + "given a method, because"},
		{"method of a field", `<+secrets.getAWSCredentials("c").sessionToken.concat("x")>`, 3, "secrets.getAWSCredentials", secret + "given a method, because"},
		{"concatenated to", `<+"x".concat(<+secrets.getJWT("c")>)>`, 14, "secrets.getJWT", secret + "passed as an argument, because"},
		{"index", `<+secrets.getJWT("c")[0]>`, 3, "secrets.getJWT", secret + "indexed, because"},
		{"field", `<+secrets.getJWT("c").payload>`, 3, "secrets.getJWT", secret + "asked for a field, because"},
		{"argument", `<+path.join("a", secrets.getJWT("c"))>`, 18, "secrets.getJWT", secret + "passed as an argument, because"},
		{"argument of a secret's function", `<+secrets.getJWT(<+secrets.getJWT("c")>)>`, 18, "secrets.getJWT", secret + "passed as an argument, because"},
		{"argument in a string", `<+path.join("a <+secrets.getJWT("c")>")>`, 13, "secrets.getJWT", secret + "passed as an argument, because"},
		{"argument in a branch", `<+path.join(true ? "a" : secrets.getJWT("c"))>`, 13, "secrets.getJWT", secret + "passed as an argument, because"},
		{"plus", `<+"a" + secrets.getJWT("c")>`, 9, "secrets.getJWT", secret + "joined with +, because"},
		{"plus in front", `<+secrets.getGCPAccessToken("c") + "a">`, 3, "secrets.getGCPAccessToken", secret + "joined with +, because"},
		{"compared", `<+secrets.getJWT("c") == "a" ? "y" : "n">`, 3, "secrets.getJWT", secret + "compared, because"},
		{"compared from the right", `<+"a" != <+secrets.getJWT("c")>>`, 10, "secrets.getJWT", secret + "compared, because"},
		{"condition", `<+secrets.getJWT("c") ? "y" : "n">`, 3, "secrets.getJWT", secret + "made a condition, because"},
		{"negated", `<+!secrets.getJWT("c")>`, 4, "secrets.getJWT", secret + "made a condition, because"},
		{"and", `<+true && secrets.getJWT("c")>`, 11, "secrets.getJWT", secret + "made a condition, because"},
		{"or", `<+secrets.getJWT("c") || true>`, 3, "secrets.getJWT", secret + "made a condition, because"},
		{"secret beside what passes", `<+"a" + (stage.variables.yes ? <+pipeline.x> : secrets.getJWT("c"))>`, 10, "secrets.getJWT", secret + "joined with +, because"},

		{"passing argument", `<+secrets.getJWT(<+pipeline.x>)>`, 18, "pipeline.x", passes + "passed as an argument, because its value is not known here"},
		{"passing argument in a string", `<+secrets.getJWT("<+input>.default('a')")>`, 18, "input", passes + "passed as an argument, because"},
		{"passing secret as an argument", `<+secrets.getJWT(<+secrets.getValue("c")>)>`, 18, "secrets.getValue", passes + "passed as an argument, because"},
		{"passing operand", `<+stage.name == <+pipeline.x>>`, 17, "pipeline.x", passes + "compared, because"},
		{"passing plus", `<+"a" + stage.name + <+pipeline.x>>`, 22, "pipeline.x", passes + "joined with +, because"},
		{"passing field", `<+stage.variables.yes ? <+pipeline.f()>.x : "">`, 25, "pipeline.f", passes + "asked for a field, because"},
		{"unknown suffix", `<+stage.variables.yes ? <+input>.x() : "">`, 25, "input", passes + "given a method, because"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var h host
			got := mustFail(t, tt.text, h.env())
			wantError(t, expr.Error{Line: 1, Column: tt.column, Function: tt.function, Reason: tt.reason}, got)
			if h.calls != nil {
				t.Errorf("unexpected calls %q", h.calls)
			}
		})
	}
}

// Arguments reach a function byte for byte, neither trimmed nor cleaned, so a refused value
// cannot slip past it. Its error ends the expansion.
//
// E05
func TestFunctionRefusesItsArgument(t *testing.T) {
	t.Parallel()
	for _, ref := range []string{"", ".x", "org.", "../x", "a/b", " a", "a ", "a\x00b", "account.gcp_prod\n", "é", "gcp prod", `a\b`, "<a>"} {
		var seen []string
		env := expr.Env{Functions: map[string]expr.Func{
			"secrets.getJWT": {MinArgs: 1, MaxArgs: 1, Secret: true, Call: func(_ context.Context, c expr.Call) (string, error) {
				seen = append(seen, c.Args...)
				return "token", errRefused
			}},
		}}
		got := mustFail(t, "\n a <+secrets.getJWT('"+ref+"')><+secrets.getJWT('b')>", env)
		wantError(t, expr.Error{Line: 2, Column: 6, Function: "secrets.getJWT", Reason: "failed", Err: errRefused}, got)
		if !errors.Is(&got, errRefused) || len(seen) != 1 || seen[0] != ref {
			t.Errorf("the function received %q, want %q once", seen, ref)
		}
	}
}
