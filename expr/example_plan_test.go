package expr_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/oidctoken/oidctoken/expr"
)

// The manager has the names of the functions. The runner can call them.
func ExamplePlan() {
	key := expr.NewPlanKey()
	env := expr.Env{
		Functions: map[string]expr.Func{"secrets.getJWT": {MinArgs: 1, MaxArgs: 2, Secret: true}},
		Variables: stage(map[string]string{"variables.tier": "prod"}),
	}
	text := `deploy --to <+stage.variables.tier> --token <+secrets.getJWT("account.gcp_" + stage.variables.tier)>`
	planned, err := expr.Plan(context.Background(), text, env, key, "execution-7", "deploy", "apply", "run")
	before, _, _ := strings.Cut(planned, "placeholder.")
	fmt.Println(before+"...", err)
	fmt.Println(strings.Contains(planned, "gcp"), len(planned) < 400)

	// A user cannot reuse a placeholder from a plan.
	_, err = expr.Plan(context.Background(), "echo "+planned, env, key, "execution-7", "deploy", "apply", "run")
	fmt.Println(errors.Is(err, expr.ErrPlaceholder), err)
	// Output:
	// deploy --to prod --token oidctoken-... <nil>
	// false true
	// true expr: line 1, column 31: the text or a value here looks like a placeholder, and only Plan may write placeholders: invalid placeholder
}

func ExampleResolve() {
	bind := func(call func(context.Context, expr.Call) (string, error)) expr.Env {
		return expr.Env{Functions: map[string]expr.Func{"secrets.getJWT": {MinArgs: 1, MaxArgs: 2, Secret: true, Call: call}}}
	}
	ctx := context.Background()
	key := expr.NewPlanKey()
	planned, err := expr.Plan(ctx, `Bearer <+secrets.getJWT("account.vault")>`, bind(nil), key, "execution-7", "build", "test", "run")
	if err != nil {
		fmt.Println(err)
		return
	}

	// In the runner, before the step starts:
	runner := bind(func(_ context.Context, c expr.Call) (string, error) { return "(JWT for " + c.Args[0] + ")", nil })
	fmt.Println(expr.Resolve(ctx, planned, runner, key, "execution-7", "build", "test", "run"))

	// The same text in another step:
	_, err = expr.Resolve(ctx, planned, runner, key, "execution-7", "build", "upload", "run")
	fmt.Println(err)
	// Output:
	// Bearer (JWT for account.vault) <nil>
	// expr: line 1, column 8: the placeholder was edited, or it was made with another key or for another place: invalid placeholder
}

func ExampleNewPlanKey() {
	first, second := expr.NewPlanKey(), expr.NewPlanKey() // one for each execution
	fmt.Println(first.Text() == second.Text())
	// Output: false
}

// Text returns the key for the runner. Send it by another way than the plan.
func ExamplePlanKey_Text() {
	key := expr.NewPlanKey()
	fmt.Printf("%v, %d characters\n", key, len(key.Text()))
	// Output: plan key [REDACTED], 43 characters
}

func ExampleParsePlanKey() {
	key := expr.NewPlanKey()
	received, err := expr.ParsePlanKey(key.Text())
	fmt.Println(received.Text() == key.Text(), err)
	_, err = expr.ParsePlanKey("hunter2")
	fmt.Println(err)
	// Output:
	// true <nil>
	// expr: plan key: the text is not 32 bytes in base64url without padding
}
