package main

import (
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
	"github.com/oidctoken/oidctoken/expr"
)

// reader reads variables by the path that follows the root of an expression.
type reader = func(path string) (value string, ok bool)

// newStep returns the broker's view of a step. The pipeline's author writes the
// variables of the file, so their values may hold expressions. The operator
// gives variables with -set, and their values are never read as expressions.
func (h *host) newStep(stage *pipeline.Stage, step *pipeline.Step) (*broker.Step, error) {
	roots := map[string]map[string]pipeline.Text{"pipeline": h.file.Variables, "stage": stage.Variables}
	author, user := make(map[string]reader), make(map[string]reader)
	for root, variables := range roots {
		author[root] = readVariables(variables, func(v pipeline.Text) bool { return v.Line != 0 })
		user[root] = readVariables(variables, func(v pipeline.Text) bool { return v.Line == 0 })
	}
	expressions := &h.file.Expressions
	return h.broker.NewStep(broker.StepConfig{
		Scope:           h.file.Scope(stage, step),
		Variables:       user,
		AuthorVariables: author,
		Delimiters:      delimiters(expressions.Delimiters),
		Strict:          expressions.Strict,
		ForeignRoots:    expressions.ForeignRoots,
	})
}

// readVariables returns the variables for which has is true.
func readVariables(variables map[string]pipeline.Text, has func(pipeline.Text) bool) reader {
	return func(path string) (string, bool) {
		name, ok := strings.CutPrefix(path, "variables.")
		v, known := variables[name]
		return v.Text, ok && known && has(v)
	}
}

func delimiters(names []string) (d expr.Delimiters) {
	if slices.Contains(names, pipeline.Angle) {
		d |= expr.Angle
	}
	if slices.Contains(names, pipeline.Braces) {
		d |= expr.Braces
	}
	return d
}
