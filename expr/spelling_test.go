package expr_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/expr"
)

// roots returns an Env with functions and variables of these roots.
func roots(known ...string) expr.Env {
	env := expr.Env{
		Functions: map[string]expr.Func{"secrets.getJWT": {MaxArgs: 1, Call: func(context.Context, expr.Call) (string, error) { return "", nil }}},
		Variables: map[string]func(string) (string, bool){},
	}
	for _, root := range known {
		env.Variables[root] = func(string) (string, bool) { return "", true }
	}
	return env
}

// A root that is close to a known one is an error that names the known one.
func TestNearMiss(t *testing.T) {
	t.Parallel()
	known := []string{"pipeline", "stage", "env", "step"}
	for _, tt := range []struct{ text, want string }{
		{`<+secret.getJWT("c")>`, "secrets"},
		{`<+secretss.getJWT("c")>`, "secrets"},
		{`<+sercets.getJWT("c")>`, "secrets"},
		{`<+sekretz.getJWT("c")>`, "secrets"},
		{`<+Secrets.getJWT("c")>`, "secrets"},
		{`<+SECRETS.getJWT("c")>`, "secrets"},
		{`<+secret.getValue("c")>`, "secrets"},
		{`<+piepline.variables.x>`, "pipeline"},
		{`<+pipline.variables.x>`, "pipeline"},
		{`<+pipelines.x>`, "pipeline"},
		{`<+Pipeline.x>`, "pipeline"},
		{`<+stages.x>`, "stage"},
		{`<+stgae.x>`, "stage"},
		{`<+stage2>`, "stage"},
		{`<+evn.X>`, "env"},
		{`<+ENV.X>`, "env"},
		{`<+"a" == piepline.x>`, "pipeline"},
		{`<+<+piepline.x>.y>`, "pipeline"},
	} {
		for _, strict := range []bool{false, true} {
			env := roots(known...)
			env.Strict = strict
			got := mustFail(t, "\n "+tt.text, env)
			root := strings.FieldsFunc(got.Function, func(r rune) bool { return r == '.' })[0]
			wantError(t, expr.Error{Line: 2, Column: 2, Function: got.Function, Reason: `unknown root "` + root + `": did you mean "` + tt.want + `"? To write <+ as text, write <\+`}, got)
		}
	}
	env := roots(known...)
	env.Delimiters = expr.Braces
	got := mustFail(t, `${{ secret.get_jwt("c") }}`, env)
	wantError(t, expr.Error{Line: 1, Column: 1, Function: "secret.get_jwt", Reason: `unknown root "secret": did you mean "secrets"? To write ${{ as text, write $\{{`}, got)
	env.Delimiters, env.Variables, env.AuthorVariables = 0, nil, env.Variables
	got = mustFail(t, `<+piepline.x>`, env)
	wantError(t, expr.Error{Line: 1, Column: 1, Function: "piepline.x", Reason: `did you mean "pipeline"?`}, got)
	got = mustFail(t, `<+stage.x == piepline.x>`, roots(known...))
	wantError(t, expr.Error{Line: 1, Column: 14, Function: "piepline.x", Reason: `unknown root "piepline" in an expression that has to be resolved here: did you mean "pipeline"?`}, got)
}

// Other unknown roots pass through: roots that are not close, common roots of platforms, and
// roots that the host lists.
func TestForeignRoots(t *testing.T) {
	t.Parallel()
	common := []string{
		"account", "app", "artifact", "artifacts", "codebase", "config", "env", "environment", "event", "execution", "github", "host", "infra",
		"infrastructure", "inputs", "instance", "job", "jobs", "json", "loop", "manifest", "manifests", "matrix", "needs", "org", "organization",
		"parameters", "pipeline", "project", "repeat", "runner", "service", "serviceVariables", "stage", "step", "stepGroup", "steps", "strategy",
		"template", "trigger", "user", "variable", "variables", "vars", "workflow", "xml",
	}
	// Each known root is tested alone, with the other roots unknown.
	for _, known := range common {
		for _, root := range common {
			if root == known {
				continue
			}
			text := "<+" + root + ".x>"
			if got, err := expr.Expand(t.Context(), text, roots(known)); err != nil || got != text {
				t.Errorf("%s, with the root %s: %q, %v", text, known, got, err)
			}
		}
	}
	for _, text := range []string{
		`<+input>`, `<+input.x>`, `<+end.x>`, `<+envs.x>`, `<+stg.x>`, `<+sp>`, `<+vault.x>`, `<+secretary.x>`, `<+seekritt.x>`, `<+pipe.x>`, `<+st.x>`, `<+org.x>`,
		`<+other.x(<+secret.getJWT("c")>)>`, `<+` + strings.Repeat("pipeline", 100) + `.x>`, `<+"a">`, `<+true>`,
	} {
		want := map[string]string{`<+"a">`: "a", `<+true>`: "true"}[text]
		if want == "" {
			want = text
		}
		if got, err := expr.Expand(t.Context(), text, roots("pipeline", "stage", "env", "step")); err != nil || got != want {
			t.Errorf("%.60s: %.60q, %v", text, got, err)
		}
	}
	const text = `<+secret.getJWT("c")> <+stages.x>`
	env := roots("stage")
	env.ForeignRoots = []string{"secret", "stages"}
	if got, err := expr.Expand(t.Context(), text, env); err != nil || got != text {
		t.Errorf("listed: %q, %v", got, err)
	}
	env.ForeignRoots = env.ForeignRoots[:1]
	mustFail(t, text, env)
	env.ForeignRoots = []string{"secret", "stages"}
	env.Strict = true
	wantError(t, expr.Error{Line: 1, Column: 1, Function: "secret.getJWT", Reason: "strict mode"}, mustFail(t, text, env))
	for root, want := range map[string]string{
		"a.b":     `expr: Env.ForeignRoots: "a.b" is not a name`,
		"":        `expr: Env.ForeignRoots: "" is not a name`,
		"secrets": `expr: Env.ForeignRoots: "secrets" has functions or variables in this Env`,
		"stage":   `expr: Env.ForeignRoots: "stage" has functions or variables in this Env`,
	} {
		env := roots("stage")
		env.ForeignRoots = []string{root}
		if _, err := expr.Expand(t.Context(), "", env); err == nil || err.Error() != want {
			t.Errorf("ForeignRoots %q: %v, want %s", root, err, want)
		}
	}
}

// A function has two spellings. Call receives the field in the spelling of Env.Functions.
func TestSpellings(t *testing.T) {
	t.Parallel()
	for camel, snake := range map[string]string{
		"secrets.getJWT":                "secrets.get_jwt",
		"secrets.getJWTFile":            "secrets.get_jwt_file",
		"secrets.getGCPAccessToken":     "secrets.get_gcp_access_token",
		"secrets.getGCPCredentialsFile": "secrets.get_gcp_credentials_file",
		"secrets.getAWSCredentials":     "secrets.get_aws_credentials",
		"secrets.getAzureAccessToken":   "secrets.get_azure_access_token",
		"secrets.getValue":              "secrets.get_value",
		"a.getV2Token":                  "a.get_v2_token",
		"a.GetX":                        "a.get_x",
		"a.lower":                       "a.lower",
		"a.snake_case":                  "a.snake_case",
		"a.MixedIn_snake":               "a.mixed_in_snake",
		"fooBar.bazQux":                 "fooBar.baz_qux",
	} {
		var calls []expr.Call
		env := expr.Env{Functions: map[string]expr.Func{camel: {MinArgs: 1, MaxArgs: 1, Fields: []string{"accessKeyId", "x"}, Call: func(_ context.Context, c expr.Call) (string, error) {
			calls = append(calls, c)
			return "r", nil
		}}}}
		key := expr.NewPlanKey()
		for _, path := range []string{camel, snake} {
			for _, field := range []string{"accessKeyId", "access_key_id"} {
				text := "<+" + path + "('c')." + field + ">"
				got, err := expr.Expand(t.Context(), text, env)
				if err != nil || got != "r" {
					t.Errorf("%s: %q, %v", text, got, err)
				}
				planned := mustPlan(t, text, env, key, place...)
				if got, err := expr.Resolve(t.Context(), planned, env, key, place...); err != nil || got != "r" {
					t.Errorf("%s in two phases: %q, %v", text, got, err)
				}
			}
		}
		for _, c := range calls {
			if c.Field != "accessKeyId" || !slices.Equal(c.Args, []string{"c"}) {
				t.Errorf("%s is called with %+v", camel, c)
			}
		}
	}
}

// A root has one spelling. Another spelling is a misspelling, or an unknown root inside an
// expression.
func TestRootHasOneSpelling(t *testing.T) {
	t.Parallel()
	env := roots("v")
	env.Functions["fooBar.bazQux"] = expr.Func{Call: func(context.Context, expr.Call) (string, error) { return "", nil }}
	for text, column := range map[string]int{"<+foo_bar.baz_qux()>": 1, "<+v.x == foo_bar.baz_qux()>": 10} {
		wantError(t, expr.Error{Line: 1, Column: column, Function: "foo_bar.baz_qux", Reason: `did you mean "fooBar"?`}, mustFail(t, text, env))
	}
}

// A function whose path is in snake_case is called by that path. Two functions cannot share a
// spelling.
func TestSpellingsThatCollide(t *testing.T) {
	t.Parallel()
	call := func(result string) expr.Func {
		return expr.Func{Call: func(context.Context, expr.Call) (string, error) { return result, nil }}
	}
	env := expr.Env{Functions: map[string]expr.Func{"a.getJWT": call("camel"), "a.get_jwt": call("snake")}}
	if got, err := expr.Expand(t.Context(), "<+a.getJWT()> <+a.get_jwt()>", env); err != nil || got != "camel snake" {
		t.Errorf("both are bound: %q, %v", got, err)
	}
	env = expr.Env{Functions: map[string]expr.Func{"a.getJWT": call(""), "a.getJwt": call("")}}
	want := `expr: Env.Functions["a.getJwt"]: the snake_case spelling a.get_jwt also belongs to a.getJWT`
	if _, err := expr.Expand(t.Context(), "", env); err == nil || err.Error() != want {
		t.Errorf("one spelling of two: %v, want %s", err, want)
	}
}
