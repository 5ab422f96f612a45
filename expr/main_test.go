package expr_test

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	step, ok := os.LookupEnv(runnerVariable)
	if !ok {
		os.Exit(m.Run())
	}
	if err := runStep(step, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}
