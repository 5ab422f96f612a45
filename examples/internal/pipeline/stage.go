package pipeline

import (
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken"
)

// The fields of a Scope that a stage or a step may replace.
var (
	inStep  = []string{"Runner", "Template"}
	inStage = []string{"Runner", "Template"}
	inCI    = []string{"Runner", "Template", "Source"}
)

func (r *reader) stages(f *File, n *node, path string) error {
	first := make(map[string]int)
	return r.list(n, path, func(i int, n *node) error {
		at := r.element(path, i, n)
		s := Stage{Line: n.line, places: make(places)}
		if err := r.stage(&s, n, at); err != nil {
			return err
		}
		f.Stages = append(f.Stages, s)
		return r.unique(first, at)
	})
}

func (r *reader) stage(s *Stage, n *node, path string) error {
	kind, err := r.stageType(n, path, s.places)
	if err != nil {
		return err
	}
	typed := reflect.New(reflect.TypeOf(kind)).Elem()
	typed.Set(reflect.ValueOf(kind))
	keys := append(r.stageKeys(typed, &s.over, s.places),
		field{names("stage", "Name"), func(n *node, path string) (err error) {
			s.Name, err = r.value(n, path)
			return err
		}},
		r.variablesField(&s.Variables),
		field{[]string{"steps"}, func(n *node, path string) error { return r.steps(s, n, path) }},
		field{names("stage", "Type"), func(*node, string) error { return nil }}, // it was read first
	)
	if err := r.mapping(n, path, keys, belongs); err != nil {
		return err
	}
	s.Scope = typed.Interface().(oidctoken.Stage)
	s.ID = typed.FieldByName("ID").String()
	_, approval := s.Scope.(oidctoken.Approval)
	switch {
	case s.ID == "":
		return r.missing(path, "id")
	case len(s.Steps) == 0 && !approval:
		return r.missing(path, "steps")
	}
	for _, step := range s.Steps {
		if step.Run == "" && !approval {
			return r.missing(path+".steps"+selector(step.ID), "run")
		}
	}
	return nil
}

// stageKeys returns the keys of a stage that its scope is made of.
func (r *reader) stageKeys(typed reflect.Value, over *oidctoken.Scope, found places) schema {
	pick := inStage
	switch typed.Interface().(type) {
	case oidctoken.CI, oidctoken.OpenStage:
		pick = inCI
	}
	members := r.members(typed, "stage", "Stage.", found)
	if i := members.find("kind"); i >= 0 { // type is the key for the kind
		members = slices.Delete(members, i, i+1)
	}
	return append(members,
		r.members(reflect.ValueOf(over).Elem(), "", "", found, pick...)...)
}

// stageTypes are the kinds of stages that have a type of their own.
var stageTypes = []oidctoken.Stage{
	oidctoken.CI{},
	oidctoken.Deployment{},
	oidctoken.Custom{},
	oidctoken.Approval{},
	oidctoken.IACM{},
	oidctoken.SecurityTests{},
	oidctoken.FeatureFlag{},
	oidctoken.PipelineStage{},
}

// kindOf returns a stage's type in the form of the file.
func kindOf(t oidctoken.Stage) string {
	if _, ok := t.(oidctoken.PipelineStage); ok {
		return "Pipeline" // the form of the claim
	}
	return reflect.TypeOf(t).Name()
}

// stageType finds a stage's type, which decides what keys it has. A type that is
// not known is the kind of an OpenStage, unless it looks like a known one.
func (r *reader) stageType(n *node, path string, found places) (oidctoken.Stage, error) {
	if n.kind != mapping {
		return nil, r.fail(path, "is %s, where a mapping is wanted", n.kind)
	}
	var types []string
	for _, e := range n.entries {
		if !slices.Contains(names("stage", "Type"), e.key) {
			continue
		}
		at := join(path, e.key)
		r.lines[at] = e.value.line
		written, err := r.value(e.value, at)
		if err != nil {
			return nil, err
		}
		for _, t := range stageTypes {
			if kindOf(t) == written {
				return t, nil
			}
			types = append(types, kindOf(t))
		}
		if meant := nearest(written, types); meant != "" {
			return nil, r.fail(at, "is not one of %s%s", strings.Join(types, ", "), meant)
		}
		found["Stage.Kind"] = at
		return oidctoken.OpenStage{Kind: written}, nil
	}
	return nil, r.missing(path, "type")
}

func (r *reader) steps(s *Stage, n *node, path string) error {
	first := make(map[string]int)
	return r.list(n, path, func(i int, n *node) error {
		at := r.element(path, i, n)
		step := Step{Line: n.line, places: make(places)}
		if err := r.step(&step, n, at); err != nil {
			return err
		}
		s.Steps = append(s.Steps, step)
		return r.unique(first, at)
	})
}

func (r *reader) step(s *Step, n *node, path string) error {
	keys := append(r.stepKeys(s),
		field{names("step", "Name"), func(n *node, path string) (err error) {
			s.Name, err = r.value(n, path)
			return err
		}},
		field{[]string{"connectors"}, func(n *node, path string) error {
			texts, err := r.texts(n, path)
			for i, t := range texts {
				s.Connectors = append(s.Connectors, Ref{t, r.lines[fmt.Sprintf("%s[%d]", path, i)]})
			}
			return err
		}},
		field{[]string{"env"}, func(n *node, path string) (err error) {
			s.Env, err = r.variables(n, path, func(name string) string {
				if !isName(name) {
					return "is not a variable's name, ^[A-Za-z_][A-Za-z0-9_]*$"
				}
				return ""
			})
			return err
		}},
		field{[]string{"files"}, func(n *node, path string) (err error) {
			if s.Files, err = r.variables(n, path, checkFileName); err != nil {
				return err
			}
			return r.checkFiles(s.Files, path)
		}},
		field{[]string{"run"}, func(n *node, path string) (err error) {
			s.RunLine = n.line
			s.Run, err = r.text(n, path)
			return err
		}},
	)
	keys = append(keys, r.settings(reflect.ValueOf(s).Elem())...)
	if err := r.mapping(n, path, keys, belongs); err != nil {
		return err
	}
	if s.ID = s.Scope.ID; s.ID == "" {
		return r.missing(path, "id")
	}
	return nil
}

// stepKeys returns the keys of a step that its scope is made of.
func (r *reader) stepKeys(s *Step) schema {
	return append(r.members(reflect.ValueOf(&s.Scope).Elem(), "step", "Step.", s.places),
		r.members(reflect.ValueOf(&s.over).Elem(), "", "", s.places, inStep...)...)
}

// checkFileName accepts a path below the step's directory, outside the part of
// it that the broker and the runner use.
func checkFileName(name string) string {
	if !fs.ValidPath(name) || name == "." || len(name) > 1024 {
		return `is not a relative path with slashes, without "." and ".."`
	}
	if first, _, _ := strings.Cut(name, "/"); first == ".oidctoken" {
		return "is in .oidctoken, which is not the step's"
	}
	return ""
}

// checkFiles refuses a file that is the directory of another.
func (r *reader) checkFiles(files []Text, path string) error {
	names := make(map[string]bool)
	for _, f := range files {
		names[f.Name] = true
	}
	for _, f := range files {
		for i := range len(f.Name) {
			if f.Name[i] == '/' && names[f.Name[:i]] {
				return r.fail(join(path, f.Name), "is below %s, which is a file, too", f.Name[:i])
			}
		}
	}
	return nil
}
