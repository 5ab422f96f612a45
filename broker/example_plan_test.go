package broker_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"path/filepath"
	"strings"

	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/expr"
)

// A manager plans without keys. The runner's step resolves.
func ExamplePlan() {
	key := expr.NewPlanKey() // for the runner; a new key for each execution
	text := `vault login -token="<+secrets.getJWT("account.vault")>"`
	planned, err := broker.Plan(context.Background(), broker.PlanConfig{Key: key}, text, "run-1", "build", "login", "run")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Contains(planned, "account.vault"))

	step, remove := exampleStep()
	defer remove()
	resolved, err := step.Resolve(context.Background(), key, planned, "run-1", "build", "login", "run")
	fmt.Println(strings.HasPrefix(resolved, `vault login -token="eyJ`), err)
	// Output:
	// false
	// true <nil>
}

// Another step refuses the placeholder.
func ExampleStep_Resolve() {
	key := expr.NewPlanKey()
	planned, err := broker.Plan(context.Background(), broker.PlanConfig{Key: key}, `<+secrets.getJWT("account.vault")>`, "run-1", "build", "login", "run")
	if err != nil {
		log.Fatal(err)
	}
	step, remove := exampleStep()
	defer remove()
	_, err = step.Resolve(context.Background(), key, planned, "run-1", "build", "another", "run")
	fmt.Println(errors.Is(err, expr.ErrPlaceholder))
	// Output: true
}

func ExampleStep_WriteResolved() {
	key := expr.NewPlanKey()
	planned, err := broker.Plan(context.Background(), broker.PlanConfig{Key: key}, `<+secrets.getJWT("account.vault")>`, "run-1", "build", "login", "files.token")
	if err != nil {
		log.Fatal(err)
	}
	step, remove := exampleStep()
	defer remove()
	path, err := step.WriteResolved(context.Background(), "token", key, planned, "run-1", "build", "login", "files.token")
	fmt.Println(filepath.Base(path), err)
	// Output: token <nil>
}
