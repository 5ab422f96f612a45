package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
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
			step := &stage.Steps[j]
			given, err := h.newStep(stage, step)
			if err != nil {
				return nil, err
			}
			seen := make(map[[2]string]bool)
			add := func(line int, field string, err error, more ...broker.Use) error {
				for _, u := range more {
					if key := [2]string{u.Connector, u.Audience}; !seen[key] {
						seen[key] = true
						uses = append(uses, use{stage.ID, step.ID, u.Connector, u.Audience, u.Claims})
					}
				}
				if err != nil {
					return h.file.Error(line, stage, step, field, err)
				}
				return nil
			}
			for _, ref := range step.Connectors {
				u, err := given.PreviewConnector(ctx, ref.Text)
				if err := add(ref.Line, "connectors["+ref.Text+"]", err, u); err != nil {
					return nil, err
				}
			}
			for _, text := range step.Texts() {
				more, err := given.Preview(ctx, text.Text)
				if err := add(text.Line, text.Name, err, more...); err != nil {
					return nil, err
				}
			}
			if err := given.Close(); err != nil {
				return nil, err
			}
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
	fmt.Fprintf(w, "\nOne connector, %s, in two stages. Its tokens say:\n\n", uses[0].Connector)
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
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "  claim")
	for _, u := range same {
		fmt.Fprintf(table, "\t%s", u.Stage)
	}
	fmt.Fprintln(table)
	for _, name := range names {
		mark := " "
		for _, v := range values {
			if v[name] != values[0][name] {
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
