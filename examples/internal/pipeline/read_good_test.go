package pipeline_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
)

var update = flag.Bool("update", false, "rewrite testdata")

// Good files with their results. The three spellings of one file share a
// result.
func TestReadGood(t *testing.T) {
	for _, tt := range []struct{ file, golden string }{
		{"every.yaml", "every.golden"},
		{"every_claim.yaml", "every.golden"},
		{"every_camel.yaml", "every.golden"},
		{"minimal.yaml", "minimal.golden"},
		{"aliases.yaml", "aliases.golden"},
		{"document.json", "document.golden"},
		{"platform.yaml", "platform.golden"},
	} {
		t.Run(tt.file, func(t *testing.T) {
			got := describe(readFile(t, tt.file))
			golden := filepath.Join("testdata", tt.golden)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("Read (-want +got):\n%s", diff)
			}
		})
	}
}

// A number, a date or a truth value of YAML is an identifier with the same
// text.
func TestReadIdentifiers(t *testing.T) {
	for _, id := range []string{
		"6_vXHzo9Qeu9fXvj-AabCQ", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "42", "007", "0", "1e3", "1E3", "0x10", "0o17", "0b11", "1_000", "12345678901234567890",
		"1.0", "1.10", ".5", "-1", "-.inf", ".nan", "2026-01-02", "true", "False", "yes", "on", "n", "$x", "a$b", "com.example.app", "--x", "...x",
	} {
		text := "account: " + id + "\norganization: {id: " + id + "}\nproject: {id: " + id + ", uid: " + id + "}\npipeline: " + id +
			"\nstages: [{id: " + id + ", type: CI, steps: [{id: " + id + ", run: x}]}]\n"
		f, err := pipeline.Read("f.yaml", []byte(text), nil)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		claims := preview(t, f.Scope(&f.Stages[0], &f.Stages[0].Steps[0]))
		for _, name := range []string{"account_id", "organization_id", "project_id", "project_uid", "pipeline_id", "stage_id", "step_id"} {
			if claims[name] != id {
				t.Errorf("%s = %v, want %s", name, claims[name], id)
			}
		}
	}
}

// A claim for audit that does not fit does not stop a file.
func TestReadLongTexts(t *testing.T) {
	long := strings.Repeat("x", 2000)
	text := "account: {id: acme, name: " + long + "}\nsource: {head_ref: " + long + "}\ntrigger: {by_name: " + long + "}\nexecution: {matrix: " + long + "}\n" +
		"stages: [{id: a, name: " + long + ", type: CI, artifact: {name: " + long + "}, steps: [{id: b, run: x}]}]\n"
	f, err := pipeline.Read("f.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	claims := preview(t, f.Scope(&f.Stages[0], &f.Stages[0].Steps[0]))
	for _, name := range []string{"head_ref", "triggered_by_name", "matrix", "artifact_name"} {
		if claims[name] != nil {
			t.Errorf("%s is in the token", name)
		}
	}
}

// A file can state every claim of a token.
func TestReadEveryClaim(t *testing.T) {
	f := readFile(t, "every.yaml")
	unsaid := make(map[string]bool)
	for i := range f.Stages {
		for j := range f.Stages[i].Steps {
			for name, value := range preview(t, f.Scope(&f.Stages[i], &f.Stages[i].Steps[j])) {
				unsaid[name] = (unsaid[name] || i+j == 0) && value == nil
			}
		}
	}
	var got []string
	for name, is := range unsaid {
		// Each token's own connector is no part of the scope.
		if is && !strings.HasPrefix(name, "connector_") {
			got = append(got, name)
		}
	}
	if len(got) > 0 || len(unsaid) < 60 {
		t.Errorf("of %d claims, no scope of every.yaml says %q", len(unsaid), got)
	}
}

func TestScopeAbove(t *testing.T) {
	f := readFile(t, "every.yaml")
	build := &f.Stages[0]
	for _, tt := range []struct {
		name     string
		scope    oidctoken.Scope
		stage    oidctoken.Stage
		template string
		runner   string
		source   string
	}{
		{"pipeline", f.Scope(nil, nil), nil, "golden", "r-1", "acme/ledger"},
		{"stage", f.Scope(build, nil), build.Scope, "stage_template", "self_hosted", "acme/other"},
		{"step", f.Scope(build, &build.Steps[0]), build.Scope, "step_template", "r-2", "acme/other"},
		{"other stage", f.Scope(&f.Stages[1], nil), f.Stages[1].Scope, "golden", "r-1", "acme/ledger"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.stage, tt.scope.Stage); diff != "" {
				t.Errorf("Stage (-want +got):\n%s", diff)
			}
			got := []string{tt.scope.Template.ID, tt.scope.Runner.ID, tt.scope.Source.Repository}
			if diff := cmp.Diff([]string{tt.template, tt.runner, tt.source}, got); diff != "" {
				t.Errorf("template, runner, source (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTexts(t *testing.T) {
	f := readFile(t, "every.yaml")
	want := []pipeline.Text{
		{Name: "env.ZONE", Text: "eu", Line: 72},
		{Name: "env.COUNT", Text: "007", Line: 73},
		{Name: "env.EMPTY", Text: "", Line: 74},
		{Name: "env.A_TOKEN", Text: `<+secrets.getJWT("account.vault")>`, Line: 75},
		{Name: "files.jwt", Text: `<+secrets.getJWT("account.vault")>`, Line: 77},
		{Name: "files[conf/app.yaml]", Text: "a: b\n", Line: 78},
		{Name: "run", Text: "echo one\necho two\n", Line: 80},
	}
	if diff := cmp.Diff(want, f.Stages[0].Steps[0].Texts()); diff != "" {
		t.Errorf("Texts (-want +got):\n%s", diff)
	}
	ask := f.Stages[3].Steps[0]
	if got := ask.Texts(); got != nil {
		t.Errorf("Texts of a step that runs nothing: %v", got)
	}
}

// describe lists everything in a file that is not zero, and the scopes that it
// makes, a line each.
func describe(f *pipeline.File) string {
	var b strings.Builder
	name := f.Name
	f.Name = ""
	flatten(&b, "File", reflect.ValueOf(*f))
	f.Name = name
	for i := range f.Stages {
		stage := &f.Stages[i]
		for j := range stage.Steps {
			step := &stage.Steps[j]
			fmt.Fprintf(&b, "\n%s/%s: %T\n", stage.ID, step.ID, stage.Scope)
			flatten(&b, "Scope", reflect.ValueOf(f.Scope(stage, step)))
		}
	}
	return b.String()
}

func flatten(b *strings.Builder, path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			if v.Elem().IsZero() {
				fmt.Fprintf(b, "%s = &%v\n", path, v.Elem())
			}
			flatten(b, path, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				flatten(b, path+"."+field.Name, v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			flatten(b, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
	case reflect.Func: // a Scope sets none
	default:
		if !v.IsZero() {
			fmt.Fprintf(b, "%s = %q\n", path, fmt.Sprint(v))
		}
	}
}
