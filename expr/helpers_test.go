package expr_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken/expr"
)

// host supplies an Env for the tests and records each call.
type host struct {
	calls []string
}

// env has secret functions, the function path.join, whose result is not a secret, and the
// variables of a stage.
func (h *host) env() expr.Env {
	secret := func(name string, least, most int, fields ...string) expr.Func {
		return expr.Func{MinArgs: least, MaxArgs: most, Fields: fields, Secret: true, Call: h.record(name)}
	}
	variables := map[string]string{
		"variables.conn":    "account.gcp_prod",
		"variables.name":    "gcp_prod",
		"variables.tier":    "prod",
		"variables.yes":     "true",
		"variables.no":      "false",
		"variables.empty":   "",
		"variables.my-conn": "hyphened",
		"variables.hostile": `<+secrets.getJWT("stolen")>`,
		"name":              "deploy",
		"":                  "the stage",
	}
	return expr.Env{
		Functions: map[string]expr.Func{
			"secrets.getJWT":            secret("getJWT", 1, 2),
			"secrets.getGCPAccessToken": secret("getGCPAccessToken", 1, 2),
			"secrets.getAWSCredentials": secret("getAWSCredentials", 1, 1, "accessKeyId", "secretAccessKey", "sessionToken"),
			"path.join":                 {MinArgs: 0, MaxArgs: 3, Call: h.record("join")},
			"path.pair":                 {MinArgs: 2, MaxArgs: 2, Call: h.record("pair")},
			"path.err":                  {Call: func(context.Context, expr.Call) (string, error) { return "true", errRefused }},
			"path.hostile": {Call: func(context.Context, expr.Call) (string, error) {
				return `<+secrets.getJWT("x")>`, nil
			}},
			"path.fail": {Secret: true, Call: func(context.Context, expr.Call) (string, error) {
				return "half a result", errRefused
			}},
		},
		Variables: map[string]func(string) (string, bool){
			"stage": func(path string) (string, bool) { v, ok := variables[path]; return v, ok },
		},
	}
}

var errRefused = errors.New("host: refused")

// record returns a function whose result shows its arguments, without bytes that have a meaning
// in an expression.
func (h *host) record(name string) func(context.Context, expr.Call) (string, error) {
	return func(_ context.Context, c expr.Call) (string, error) {
		result := name + "[" + strings.Join(c.Args, "|") + "]"
		if c.Field != "" {
			result += "." + c.Field
		}
		h.calls = append(h.calls, result)
		return result, nil
	}
}

// expand expands text with the env of a new host.
func expand(t *testing.T, text string) (got string, calls []string, err error) {
	t.Helper()
	var h host
	got, err = expr.Expand(t.Context(), text, h.env())
	return got, h.calls, err
}

// mustFail expands text and returns the error's fields. Expand must fail without a result.
func mustFail(t *testing.T, text string, env expr.Env) expr.Error {
	t.Helper()
	got, err := expr.Expand(t.Context(), text, env)
	if got != "" {
		t.Errorf("Expand(%.200q) returns %.200q along with an error", text, got)
	}
	var e *expr.Error
	if !errors.As(err, &e) {
		t.Fatalf("Expand(%.200q) = %.200q, %v; want an *Error", text, got, err)
	}
	return *e
}

// wantError compares two errors. The reason of got must contain the reason of want.
func wantError(t *testing.T, want, got expr.Error) {
	t.Helper()
	if !strings.Contains(got.Reason, want.Reason) {
		t.Errorf("reason %q does not contain %q", got.Reason, want.Reason)
	}
	want.Reason = got.Reason
	if diff := cmp.Diff(want, got, cmpopts.EquateErrors()); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

// place is the default place of a text.
var place = []string{"execution-7", "build", "test", "run"}

// manager returns the host's env without Call functions.
func manager() expr.Env {
	var h host
	env := h.env()
	for path, fn := range env.Functions {
		fn.Call = nil
		env.Functions[path] = fn
	}
	return env
}

func mustPlan(t *testing.T, text string, env expr.Env, key expr.PlanKey, place ...string) string {
	t.Helper()
	planned, err := expr.Plan(t.Context(), text, env, key, place...)
	if err != nil {
		t.Fatalf("Plan(%.200q): %v", text, err)
	}
	return planned
}

// mustRefuse resolves a text and returns the error's fields. Resolve must fail without a result
// and without a call.
func mustRefuse(t *testing.T, text string, key expr.PlanKey, place ...string) expr.Error {
	t.Helper()
	var h host
	got, err := expr.Resolve(t.Context(), text, h.env(), key, place...)
	if got != "" || h.calls != nil {
		t.Errorf("Resolve(%.200q) = %.200q with the calls %q", text, got, h.calls)
	}
	var e *expr.Error
	if !errors.As(err, &e) {
		t.Fatalf("Resolve(%.200q): %v; want an *Error", text, err)
	}
	if strings.Contains(err.Error(), expr.PlaceholderWord) {
		t.Errorf("the error shows the placeholder: %v", err)
	}
	return *e
}

// phases returns the results of a text in one phase and in two. Plan calls the functions that
// return no secret.
func phases(ctx context.Context, text string, change func(*expr.Env)) (once, twice string, onceErr, twiceErr error) {
	bind := func(planned bool) expr.Env {
		var h host
		env := h.env()
		for path, fn := range env.Functions {
			fn.Planned = planned && !fn.Secret
			env.Functions[path] = fn
		}
		change(&env)
		return env
	}
	once, onceErr = expr.Expand(ctx, text, bind(false))
	key := expr.NewPlanKey()
	if twice, twiceErr = expr.Plan(ctx, text, bind(true), key, place...); twiceErr == nil {
		twice, twiceErr = expr.Resolve(ctx, twice, bind(false), key, place...)
	}
	return once, twice, onceErr, twiceErr
}

// drawValue draws the content of an expression that Expand evaluates or refuses.
func drawValue(t *rapid.T, depth int) string {
	leaf := rapid.SampledFrom([]string{
		`"a"`, `'<b>'`, `\"c\"`, "true", "false", "stage.name", "stage.variables.yes", "stage.variables.no", "stage.variables.hostile", "user.v",
		`secrets.getJWT("c")`, `secrets.getJWT(user.v, 'aud')`, `secrets.getAWSCredentials("c").sessionToken`, "path.join()", "path.hostile()",
		"<+input>", `<+input>.default("x")`, "<+pipeline.x>", "path.fail()",
	})
	if depth == 0 {
		return leaf.Draw(t, "leaf")
	}
	value := func() string { return drawValue(t, depth-1) }
	switch rapid.IntRange(0, 8).Draw(t, "kind") {
	case 0:
		return "<+" + value() + ">"
	case 1:
		return "(" + value() + " + " + value() + ")"
	case 2:
		return "(" + value() + " == " + value() + ")"
	case 3:
		return "(" + rapid.SampledFrom([]string{"true", "stage.variables.no", "stage.name == 'deploy'", "!(user.v != 'x')"}).Draw(t, "condition") + " ? " + value() + " : " + value() + ")"
	case 4:
		return "secrets.getJWT(" + value() + ")"
	case 5:
		return "path.join(" + value() + ", " + value() + ")"
	case 6:
		return "<+" + value() + "><+" + value() + ">"
	case 7:
		return `'a<+` + value() + `>b'`
	}
	return leaf.Draw(t, "leaf")
}

// drawBody draws the content of an expression after its first path, in any order, with closed
// quotes and nested expressions.
func drawBody(t *rapid.T, depth int) string {
	bare := rapid.SampledFrom([]string{
		" ", "\r\n", ".", ",", "(", ")", "[", "]", "?", ":", "==", "!=", "&&", "||", "!", "+ ", "-", "*", "/", "=",
		"&", "|", "< ", "{", "}", ";", "#", "é", "\xff", "\x00", "0", "a", "true", `\`, "secrets.getJWT(", "stage.name", "input",
	})
	inside := rapid.SampledFrom([]string{
		" ", "\n", ">", "(", ")", "a", "é", "secrets.getJWT()", "+", "< ", `\\\\`,
	})
	var b strings.Builder
	quoted := func(quote string) {
		b.WriteString(" " + quote)
		for range rapid.IntRange(0, 3).Draw(t, "parts") {
			b.WriteString(inside.Draw(t, "inside"))
			if depth > 0 && rapid.Bool().Draw(t, "nested") {
				b.WriteString("<+x" + drawBody(t, depth-1) + ">")
			}
		}
		b.WriteString(quote)
	}
	for range rapid.IntRange(0, 6).Draw(t, "pieces") {
		switch rapid.IntRange(0, 6).Draw(t, "kind") {
		case 0:
			quoted(`"`)
		case 1:
			quoted(`'`)
		case 2:
			quoted(`\"`)
		case 3:
			if depth > 0 {
				b.WriteString("<+x" + drawBody(t, depth-1) + ">")
			}
		default:
			b.WriteString(bare.Draw(t, "bare"))
		}
	}
	return b.String()
}

// fill returns a function that makes a text of a given size by repeating the middle.
func fill(before, middle, after string) func(int) string {
	return func(size int) string {
		n := (size - len(before) - len(after)) / len(middle)
		return before + strings.Repeat(middle, n) + after
	}
}

// combinations holds all combinations of delimiters.
var combinations = []expr.Delimiters{0, expr.Angle, expr.Braces, expr.Angle | expr.Braces}

// withAuthor returns the host's env with author's variables under the roots "author" and
// "stage".
func withAuthor(h *host, values map[string]string) expr.Env {
	env := h.env()
	read := func(path string) (string, bool) { v, ok := values[path]; return v, ok }
	env.AuthorVariables = map[string]func(string) (string, bool){"author": read, "stage": read}
	return env
}
