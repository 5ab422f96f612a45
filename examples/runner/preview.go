package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"text/tabwriter"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
)

// use is a token that a step would be given.
type use struct {
	Stage     string            `json:"stage"`
	Step      string            `json:"step"`
	Connector string            `json:"connector"`
	Audience  string            `json:"audience"`
	Claims    *oidctoken.Claims `json:"claims"`
}

// previewAll resolves every text of the file without minting, so that what is
// wrong is found before anything is started.
func (h *host) previewAll(ctx context.Context) ([]use, error) {
	var uses []use
	for i := range h.file.Stages {
		stage := &h.file.Stages[i]
		for j := range stage.Steps {
			more, err := h.preview(ctx, stage, &stage.Steps[j])
			if err != nil {
				return nil, err
			}
			uses = append(uses, more...)
		}
	}
	return uses, nil
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

// printComparison shows, for the first connector that several stages use, what
// its tokens say in each.
func printComparison(w io.Writer, uses []use) error {
	var same []use
	for _, u := range uses {
		if u.Connector == uses[0].Connector && !slices.ContainsFunc(same, func(o use) bool { return o.Stage == u.Stage }) {
			same = append(same, u)
		}
	}
	values := make([]map[string]any, len(same))
	var names []string
	for i, u := range same {
		b, err := u.Claims.MarshalJSON()
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &values[i]); err != nil {
			return err
		}
		ordered, err := memberNames(b)
		if err != nil {
			return err
		}
		for _, name := range ordered {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) // Flush reports what could not be written
	fmt.Fprintf(table, "\nOne connector, %s, in %d stages. Its tokens say:\n\n", uses[0].Connector, len(same))
	fmt.Fprint(table, "  claim")
	for _, u := range same {
		fmt.Fprintf(table, "\t%s", u.Stage)
	}
	fmt.Fprintln(table)
	for _, name := range names {
		mark := " "
		for _, v := range values {
			if !reflect.DeepEqual(v[name], values[0][name]) {
				mark = "*"
			}
		}
		fmt.Fprintf(table, "%s %s", mark, name)
		for _, v := range values {
			if value, ok := v[name]; ok {
				fmt.Fprintf(table, "\t%v", value)
			} else {
				fmt.Fprint(table, "\t-")
			}
		}
		fmt.Fprintln(table)
	}
	fmt.Fprintln(table, "\n* differs")
	return table.Flush()
}

// memberNames are the names of a JSON object's members, as they stand in it.
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
