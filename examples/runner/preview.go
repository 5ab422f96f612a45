package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
)

// use is a token that a step would get.
type use struct {
	Stage     string            `json:"stage"`
	Step      string            `json:"step"`
	Connector string            `json:"connector"`
	Audience  string            `json:"audience"`
	Claims    *oidctoken.Claims `json:"claims"`
}

// previewAll resolves every text of the file without minting, to find mistakes
// before anything starts. refused holds the refusals by the rules of
// connectors: in a run, such a step fails in its turn.
func (h *host) previewAll(ctx context.Context) (uses []use, refused []error, err error) {
	for i := range h.file.Stages {
		stage := &h.file.Stages[i]
		for j := range stage.Steps {
			step := &stage.Steps[j]
			more, err := h.preview(ctx, stage, step)
			var denied *broker.DeniedError
			switch {
			case step.ExpectRefusal && err != nil && isRefusal(err):
			case errors.As(err, &denied):
				refused = append(refused, err)
			case err != nil:
				return nil, nil, err
			}
			uses = append(uses, more...)
		}
	}
	return uses, refused, nil
}

// preview returns the tokens that a step would be given, each once.
func (h *host) preview(ctx context.Context, stage *pipeline.Stage, step *pipeline.Step) ([]use, error) {
	if err := h.checkEnv(stage, step); err != nil {
		return nil, err
	}
	given, err := h.newStep(stage, step)
	if err != nil {
		return nil, err
	}
	defer given.Close() // it has written nothing, so that nothing can fail
	var found []broker.Use
	for _, ref := range step.Connectors {
		u, err := given.PreviewConnector(ctx, ref.Text)
		if err != nil {
			return nil, h.file.Error(ref.Line, stage, step, connectorField(ref), err)
		}
		found = append(found, u)
	}
	for _, text := range step.Texts() {
		more, err := given.Preview(ctx, text.Text)
		if err != nil {
			return nil, h.file.Error(text.Line, stage, step, text.Name, err)
		}
		found = append(found, more...)
	}
	var uses []use
	seen := make(map[[2]string]bool)
	for _, u := range found {
		if key := [2]string{u.Connector, u.Audience}; !seen[key] {
			seen[key] = true
			uses = append(uses, use{stage.ID, step.ID, u.Connector, u.Audience, u.Claims})
		}
	}
	return uses, nil
}

// printUses prints one JSON object a line.
func printUses(w io.Writer, uses []use) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for _, u := range uses {
		if err := encoder.Encode(u); err != nil {
			return err
		}
	}
	return nil
}

// printComparison prints, for the first connector that several stages use, which
// claims of its tokens are the same in each, and which differ.
func printComparison(w io.Writer, uses []use) error {
	var stages []use
	for _, u := range uses {
		if u.Connector == uses[0].Connector && !slices.ContainsFunc(stages, func(o use) bool { return o.Stage == u.Stage }) {
			stages = append(stages, u)
		}
	}
	names, values, err := claimsOf(stages)
	if err != nil {
		return err
	}
	var same, different [][]string
	for _, name := range names {
		row := []string{name}
		for _, v := range values {
			text := "-"
			if value, ok := v[name]; ok {
				text = fmt.Sprint(value)
			}
			row = append(row, text)
		}
		if len(slices.Compact(slices.Clone(row[1:]))) == 1 {
			same = append(same, row[:2])
		} else {
			different = append(different, row)
		}
	}
	fmt.Fprintf(w, "\nOne connector, %s, in %d stages. Its tokens state the same in each:\n\n", uses[0].Connector, len(stages))
	if err := printTable(w, same); err != nil {
		return err
	}
	header := []string{"claim"}
	for _, u := range stages {
		header = append(header, u.Stage)
	}
	fmt.Fprint(w, "\nThe differences:\n\n")
	return printTable(w, append([][]string{header}, different...))
}

// claimsOf returns the names of all claims, in their order, and the claims of
// each use.
func claimsOf(uses []use) (names []string, values []map[string]any, err error) {
	values = make([]map[string]any, len(uses))
	for i, u := range uses {
		b, err := u.Claims.MarshalJSON()
		if err != nil {
			return nil, nil, err
		}
		if err := json.Unmarshal(b, &values[i]); err != nil {
			return nil, nil, err
		}
		ordered, err := memberNames(b)
		if err != nil {
			return nil, nil, err
		}
		for _, name := range ordered {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names, values, nil
}

const (
	tableWidth = 100 // of a line, in bytes
	tableGap   = 2   // between columns
)

// printTable prints rows of a name and values within tableWidth. A value that
// does not fit loses its middle.
func printTable(w io.Writer, rows [][]string) error {
	first := 0
	for _, row := range rows {
		first = max(first, len(row[0]))
	}
	table := tabwriter.NewWriter(w, 0, 0, tableGap, ' ', 0) // Flush returns its errors
	for _, row := range rows {
		room := (tableWidth-tableGap-first)/len(row[1:]) - tableGap
		fmt.Fprintf(table, "  %s", row[0])
		for _, value := range row[1:] {
			if len(value) > room {
				value = value[:room/2-2] + "..." + value[len(value)-(room-room/2-1):]
			}
			fmt.Fprintf(table, "\t%s", value)
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

// memberNames returns the names of a JSON object's members, as they stand in it.
func memberNames(object []byte) ([]string, error) {
	var members []string
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		members = append(members, name.(string))
		var value any
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
	}
	return members, nil
}
