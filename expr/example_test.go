package expr_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/oidctoken/oidctoken/expr"
)

// stage returns a reader of variables that are all in one map.
func stage(variables map[string]string) map[string]func(string) (string, bool) {
	return map[string]func(string) (string, bool){
		"stage": func(path string) (string, bool) { v, ok := variables[path]; return v, ok },
	}
}

func ExampleExpand() {
	env := expr.Env{
		Functions: map[string]expr.Func{
			"secrets.getJWT": {MinArgs: 1, MaxArgs: 2, Secret: true, Call: func(_ context.Context, c expr.Call) (string, error) {
				return "(JWT for " + c.Args[0] + ")", nil
			}},
		},
		Variables: stage(map[string]string{"variables.tier": "prod"}),
	}
	text := `TOKEN=<+secrets.getJWT("account.gcp_" + <+stage.variables.tier>)> # of <+pipeline.name>`
	got, err := expr.Expand(context.Background(), text, env)
	fmt.Println(got, err)
	// Output: TOKEN=(JWT for account.gcp_prod) # of <+pipeline.name> <nil>
}

// A host can read both delimiters. Functions have two spellings.
func ExampleDelimiters() {
	env := expr.Env{
		Delimiters: expr.Angle | expr.Braces,
		Functions: map[string]expr.Func{
			"secrets.getJWT": {MinArgs: 1, MaxArgs: 2, Secret: true, Call: func(_ context.Context, c expr.Call) (string, error) {
				return "(JWT for " + c.Args[0] + ")", nil
			}},
		},
		Variables: stage(map[string]string{"variables.tier": "prod"}),
	}
	for _, text := range []string{
		`<+secrets.getJWT("vault")> ${{ secrets.get_jwt("vault") }}`,
		`${{ secrets.get_jwt("vault_<+stage.variables.tier>") }}`,
		`bc <<<+5; echo <\+stage.name> $\{{ stage.name }}`,
	} {
		fmt.Println(expr.Expand(context.Background(), text, env))
	}
	// Output:
	// (JWT for vault) (JWT for vault) <nil>
	// (JWT for vault_prod) <nil>
	// bc <<<+5; echo <+stage.name> ${{ stage.name }} <nil>
}

// Parse a Template once if you use it many times.
func ExampleDelimiters_Parse() {
	env := expr.Env{Delimiters: expr.Braces, Variables: stage(map[string]string{"variables.tier": "prod"})}
	t, err := expr.Braces.Parse("deploy to ${{ stage.variables.tier }}")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(t.Expand(context.Background(), env))
	// Output: deploy to prod <nil>
}

// The author of the pipeline wrote the pipeline's variables. A user wrote the trigger's. Only
// the author's may contain expressions.
func ExampleEnv() {
	read := func(values map[string]string) func(string) (string, bool) {
		return func(path string) (string, bool) { v, ok := values[path]; return v, ok }
	}
	env := expr.Env{
		AuthorVariables: map[string]func(string) (string, bool){
			"pipeline": read(map[string]string{"variables.title": "Release of <+trigger.branch>"}),
		},
		Variables: map[string]func(string) (string, bool){
			"trigger": read(map[string]string{"branch": `<+secrets.getJWT("vault")>`}),
		},
	}
	fmt.Println(expr.Expand(context.Background(), "<+pipeline.variables.title>", env))
	_, err := expr.Expand(context.Background(), "<+piepline.variables.title>", env)
	fmt.Println(err)
	// Output:
	// Release of <+secrets.getJWT("vault")> <nil>
	// expr: line 1, column 1: piepline.variables.title: unknown root "piepline": did you mean "pipeline"? To write <+ as text, write <\+
}

// Parse finds unclosed expressions without an Env.
func ExampleParse() {
	_, err := expr.Parse("set -e\ncurl <+secrets.getJWT(\"account.vault\")")
	fmt.Println(err)
	// Output: expr: line 2, column 6: secrets.getJWT: the expression that begins here is not closed; to write <+ as text, write <\+
}

// Check finds the faults of a text before a function is called or a step started.
func ExampleTemplate_Check() {
	env := expr.Env{Functions: map[string]expr.Func{
		"secrets.getJWT": {MinArgs: 1, MaxArgs: 2, Secret: true, Call: func(context.Context, expr.Call) (string, error) {
			panic("not called by Check")
		}},
	}}
	for _, text := range []string{
		`<+secrets.getJwt("account.vault")>`,
		`<+secrets.getJWT("account.vault").split(".")[1]>`,
		`<+pipeline.name>`,
	} {
		t, err := expr.Parse(text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(t.Check(env))
	}
	// Output:
	// expr: line 1, column 3: secrets.getJwt: unknown function; the nearest is secrets.getJWT
	// expr: line 1, column 3: secrets.getJWT: the result is a secret: it may be placed into text, but not given a method, because the new value could not be masked
	// <nil>
}

// A dry run: the functions of the first Env only look at their arguments. So an unknown
// connector is reported, with its place, before a token is requested. No argument or condition
// can depend on a secret, so the real functions receive the same calls.
func ExampleTemplate_Expand() {
	connectors := map[string]bool{"account.vault": true}
	bind := func(call func(context.Context, expr.Call) (string, error)) expr.Env {
		return expr.Env{Functions: map[string]expr.Func{
			"secrets.getJWT": {MinArgs: 1, MaxArgs: 2, Secret: true, Call: call},
		}}
	}
	rehearsal := bind(func(_ context.Context, c expr.Call) (string, error) {
		if !connectors[c.Args[0]] {
			return "", errors.New("no connector " + c.Args[0])
		}
		return "", nil
	})
	mint := bind(func(context.Context, expr.Call) (string, error) { return "eyJ...", nil })

	ctx := context.Background()
	for _, text := range []string{`A=<+secrets.getJWT("account.vault")>`, `B=<+secrets.getJWT("account.gcp")>`} {
		t, err := expr.Parse(text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		if _, err := t.Expand(ctx, rehearsal); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(t.Expand(ctx, mint))
	}
	// Output:
	// A=eyJ... <nil>
	// expr: line 1, column 5: secrets.getJWT: failed: no connector account.gcp
}

// Err is set if a function failed. It is nil if the text is at fault.
func ExampleError() {
	refused := errors.New("policy refuses")
	env := expr.Env{Functions: map[string]expr.Func{
		"secrets.getJWT": {MinArgs: 1, MaxArgs: 2, Secret: true, Call: func(context.Context, expr.Call) (string, error) {
			return "", refused
		}},
	}}
	for _, text := range []string{"\n  <+secrets.getJWT('c')>", "<+secrets.getJWT()>"} {
		_, err := expr.Expand(context.Background(), text, env)
		var e *expr.Error
		if errors.As(err, &e) {
			fmt.Println(e.Line, e.Column, e.Function, e.Reason, e.Err == nil, errors.Is(err, refused))
		}
	}
	// Output:
	// 2 5 secrets.getJWT failed false true
	// 1 3 secrets.getJWT takes 1 to 2 arguments, has 0 true false
}
