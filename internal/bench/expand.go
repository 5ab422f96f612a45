//go:build unix

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/oidctoken/oidctoken/expr"
	"github.com/oidctoken/oidctoken/internal/blocks"
)

// shape is a kind of text of any size.
type shape struct {
	name                  string
	before, middle, after string
	fails                 bool // the text is refused at its end
	slow                  bool // a text of 4 MiB takes much longer than a block should
	// memory marks a shape whose time is mostly memory access. Four times as much text
	// does not fit into the processor's caches, so copying a byte takes twice as long,
	// although parsing and evaluating are linear. Its ratio is shown and has no target.
	memory bool
}

// shapes would show a scanner or parser that reads text more than once.
var shapes = []shape{
	{name: "plain", middle: "echo a < b > c + d ' \" \\\n"},
	{name: "almost openers", middle: "<"},
	{name: "quotes", before: "<+x ", middle: `"'" '"' `, after: ">", slow: true},
	{name: "one string", before: "<+x '", middle: "abc>", after: "'>", slow: true},
	{name: "space in the grammar", before: "<+stage.name.concat(", middle: " ", after: "'x')>", slow: true},
	{name: "an open string", before: "<+x '", middle: "abc>", fails: true, slow: true},
	{name: "openers at the end", middle: "\n", after: strings.Repeat("<+", expr.MaxDepth+1), fails: true},
	{name: "expressions", middle: "<+stage.name.concat('" + strings.Repeat("x", 4<<20/expr.MaxExpressions-len("<+stage.name.concat('')>")) + "')>", slow: true},
	{name: "expressions far apart", middle: "<+stage.name>" + strings.Repeat("x", 4<<20/expr.MaxExpressions-len("<+stage.name>")), memory: true},
}

func (s shape) text(size int) string {
	return s.before + strings.Repeat(s.middle, (size-len(s.before)-len(s.after))/len(s.middle)) + s.after
}

// measure compares the times for 1 MiB and 4 MiB.
func (s shape) measure(plan blocks.Plan) (table, error) {
	if s.slow {
		plan.Rounds = max(1, plan.Rounds/8)
	}
	t := table{title: "expand: " + s.name, unit: "1 MiB"}
	ctx := context.Background()
	env := expr.Env{Variables: map[string]func(string) (string, bool){
		"stage": func(path string) (string, bool) { return "deploy", path == "name" },
	}}
	var candidates []blocks.Candidate
	for _, size := range []int{1 << 20, 4 << 20} {
		text := s.text(size)
		if got, err := expr.Expand(ctx, text, env); (err != nil) != s.fails || (got == "") != s.fails {
			return t, fmt.Errorf("%s: %d bytes expand to %d bytes, with the error %v", s.name, len(text), len(got), err)
		}
		run := func(n int) {
			for range n {
				if _, err := expr.Expand(ctx, text, env); (err != nil) != s.fails {
					panic(fmt.Sprintf("bench: %s: another end than before: %v", s.name, err))
				}
			}
		}
		row := countRow(fmt.Sprintf("%d MiB", size>>20), 1, run)
		candidates = append(candidates, blocks.Candidate{Name: row.name, Run: run})
		t.rows = append(t.rows, row)
	}
	t.result = plan.Compare(candidates...)
	if !s.memory {
		t.targets = []target{{id: "P8", what: "expand 4 MiB / 1 MiB, " + s.name, got: t.result.Ratio[1], limit: 4.4}}
	}
	return t, nil
}
