package oidctoken_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken"
)

func TestMatrixText(t *testing.T) {
	for _, tt := range []struct {
		combination map[string]string
		want        string
	}{
		{nil, ""},
		{map[string]string{}, ""},
		{map[string]string{"zone": "eu-west/1", "os": "linux"}, "os=linux,zone=eu-west%2F1"},
		{map[string]string{"": ""}, "="},
		{map[string]string{"a": "1,b=2"}, "a=1%2Cb%3D2"},
	} {
		if got := oidctoken.MatrixText(tt.combination); got != tt.want {
			t.Errorf("MatrixText(%v) = %q, want %q", tt.combination, got, tt.want)
		}
	}
	text := rapid.StringOfN(rapid.RuneFrom([]rune("ab,=%2C")), 0, 3, -1)
	draw := rapid.MapOfN(text, text, 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		if same := oidctoken.MatrixText(a) == oidctoken.MatrixText(b); same != cmp.Equal(a, b) {
			t.Errorf("%v and %v: same text = %t", a, b, same)
		}
	})
}

var (
	notText = map[string]string{
		strings.Repeat("x", 1025):     "is longer than 1024 bytes",
		strings.Repeat("ü", 513):      "is longer than 1024 bytes",
		strings.Repeat("\xff", 1<<20): "is longer than 1024 bytes",
		"\x00":                        "has a control character",
		"a\nb":                        "has a control character",
		"a\tb":                        "has a control character",
		"a\x7f":                       "has a control character",
		"a\u0085":                     "has a control character", // C1
		"\xff":                        "is not valid UTF-8",
		"ab\xc3":                      "is not valid UTF-8", // cut short
		"\xed\xa0\x80":                "is not valid UTF-8", // a surrogate
		"\xc0\xaf":                    "is not valid UTF-8", // overlong /
		"\ufffd\xff":                  "is not valid UTF-8",
	}
	isText = []string{
		"x", strings.Repeat("x", 1024), strings.Repeat("ü", 512), "\ufffd", `"`, `\`, `\u0041`, "<&>'", "a\u2028b", "😀", " a ",
		"{account_id}", "null", ".", "..", "refs/heads/fix/#46-it's-\"über\"",
		"refs/heads/" + strings.Repeat(strings.Repeat("b", 255)+"/", 3) + strings.Repeat("b", 245),
	}
	notIdentifiers = []string{
		strings.Repeat("x", 129), ".", "..", "a b", "a:b", "a/b", "a%3Ab", "a@b", "a~b", "a+b", "é", "а", "ａ", "a\x00", "\xff", " a", "a\n", `a"`, `a\`,
		strings.Repeat("x", 1<<20),
	}
	areIdentifiers = []string{
		"x", "_", "_0", "A9_z", strings.Repeat("x", 128), "6_vXHzo9Qeu9fXvj-AabCQ", "-x", "--", "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
		"42", "0", "007", "1e3", "0x10", "a-b", "$", "$a$", "a$b",
	}
	dotted = []string{"...", ".hidden", "a.", "com.example.app", "a..b", "." + strings.Repeat("x", 127)}

	notLevels  = []string{"x", "account ", "ACCOUNT", "Org", "a\x00", "\xff", strings.Repeat("x", 1025)}
	notUpper   = []string{"a", "Manual", "webhook", "A-B", "A B", " A", "A\n", "_A", "0A", "É", "A\x00", "\xff", strings.Repeat("A", 65)}
	areUpper   = []string{"A", "GITOPS", "A_1_", "Z9", strings.Repeat("A", 64)}
	notWords   = []string{"a-b", "a b", " a", "a\n", "_a", "0a", "é", "a\x00", "\xff", strings.Repeat("a", 65)}
	areWords   = []string{"a", "Staging", "non_prod", "QA2", strings.Repeat("a", 64)}
	upperForm  = ", nor another of the form ^[A-Z][A-Z0-9_]{0,63}$"
	wordForm   = ", nor another of the form ^[A-Za-z][A-Za-z0-9_]{0,63}$"
	contexts   = `"CONNECTOR_VALIDATION", "PIPELINE_CONFIGURATION", "PIPELINE_EXECUTION", "PERPETUAL_TASK"`
	triggers   = `"MANUAL", "WEBHOOK", "WEBHOOK_CUSTOM", "SCHEDULER_CRON", "ARTIFACT", "MANIFEST"`
	environs   = `"Production", "PreProduction"`
	knownLists = map[string]string{"context": contexts, "trigger_type": triggers, "environment_type": environs}
)

// A part without an identifier is refused. Without that claim, the subject would be the
// subject of the level above.
func TestRequired(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for field, change := range map[string]func(*oidctoken.Scope){
		"Audience":                func(s *oidctoken.Scope) { s.Audience = "" },
		"Account.ID":              func(s *oidctoken.Scope) { s.Account = oidctoken.Entity{UID: "u"} },
		"Organization.ID":         func(s *oidctoken.Scope) { s.Organization.UID = "u" },
		"Project.ID":              func(s *oidctoken.Scope) { s.Project.Name = "n" },
		"Pipeline.ID":             func(s *oidctoken.Scope) { s.Pipeline = &oidctoken.Pipeline{Ref: "main"} },
		"PipelineTemplate.ID":     func(s *oidctoken.Scope) { s.PipelineTemplate = &oidctoken.Template{SHA: "s"} },
		"Template.ID":             func(s *oidctoken.Scope) { s.Template = &oidctoken.Template{} },
		"Connector.ID":            func(s *oidctoken.Scope) { s.Connector = &oidctoken.Connector{Name: "n"} },
		"Stage.Service.ID":        func(s *oidctoken.Scope) { s.Stage = oidctoken.Deployment{Service: &oidctoken.Entity{Name: "n"}} },
		"Stage.Environment.ID":    func(s *oidctoken.Scope) { s.Stage = oidctoken.Custom{Environment: &oidctoken.Environment{UID: "u"}} },
		"Stage.Infrastructure.ID": func(s *oidctoken.Scope) { s.Stage = oidctoken.Deployment{Infrastructure: &oidctoken.Infrastructure{}} },
		"Stage.Kind":              func(s *oidctoken.Scope) { s.Stage = oidctoken.OpenStage{ID: "x"} },
		"Stage.Workspace.ID":      func(s *oidctoken.Scope) { s.Stage = oidctoken.IACM{Workspace: &oidctoken.Workspace{Phase: "plan"}} },
	} {
		t.Run(field, func(t *testing.T) {
			s := minimal()
			change(&s)
			_, err := issuer.Mint(t.Context(), s)
			if diff := cmp.Diff(&oidctoken.ScopeError{Field: field, Reason: "is required"}, scopeError(err)); diff != "" {
				t.Errorf("Mint (-want +got):\n%s", diff)
			}
		})
	}
}

// The default context depends on the parts of the scope. A connector is validated outside
// pipelines.
func TestContext(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	contradicts := func(part string) *oidctoken.ScopeError {
		return &oidctoken.ScopeError{Field: "Context", Reason: "is CONNECTOR_VALIDATION, but the Scope has a " + part + ": connectors are validated outside pipelines"}
	}
	const validation, execution = "CONNECTOR_VALIDATION", "PIPELINE_EXECUTION"
	for _, tt := range []struct {
		name   string
		change func(*oidctoken.Scope)
		want   string
		wrong  *oidctoken.ScopeError // the error for the context ConnectorValidation
	}{
		{"nothing", func(*oidctoken.Scope) {}, validation, nil},
		{"a connector", func(s *oidctoken.Scope) { s.Connector = &oidctoken.Connector{ID: "c"} }, validation, nil},
		{"a project", func(s *oidctoken.Scope) { s.Project.ID = "p" }, validation, nil},
		{"a trigger", func(s *oidctoken.Scope) { s.Trigger = &oidctoken.Trigger{ByID: "u"} }, validation, nil},
		{"a runner", func(s *oidctoken.Scope) { s.Runner = &oidctoken.Runner{ID: "r"} }, validation, nil},
		{"a pipeline", func(s *oidctoken.Scope) { s.Pipeline = &oidctoken.Pipeline{ID: "p"} }, execution, contradicts("Pipeline")},
		{"an execution", func(s *oidctoken.Scope) { s.Execution = &oidctoken.Execution{} }, execution, contradicts("Execution")},
		{"a source", func(s *oidctoken.Scope) { s.Source = &oidctoken.Source{} }, execution, contradicts("Source")},
		{"a template", func(s *oidctoken.Scope) { s.Template = &oidctoken.Template{ID: "t"} }, execution, contradicts("Template")},
		{"a pipeline template", func(s *oidctoken.Scope) { s.PipelineTemplate = &oidctoken.Template{ID: "t"} }, execution, contradicts("PipelineTemplate")},
		{"a stage", func(s *oidctoken.Scope) { s.Stage = oidctoken.CI{} }, execution, contradicts("Stage")},
		{"a step", func(s *oidctoken.Scope) { s.Step = &oidctoken.Step{} }, execution, contradicts("Step")},
	} {
		for context, want := range map[string]string{
			"": tt.want, oidctoken.PerpetualTask: "PERPETUAL_TASK", "GITOPS_SYNC": "GITOPS_SYNC", oidctoken.PipelineConfiguration: "PIPELINE_CONFIGURATION",
		} {
			s := minimal()
			tt.change(&s)
			s.Context = context
			if got := payloadOf(t, mint(t, issuer, s))["context"]; got != want {
				t.Errorf("%s, Context %q: context = %v, want %s", tt.name, context, got, want)
			}
		}
		s := minimal()
		tt.change(&s)
		s.Context = oidctoken.ConnectorValidation
		_, err := issuer.Mint(t.Context(), s)
		if diff := cmp.Diff(tt.wrong, scopeError(err)); diff != "" || (err == nil) != (tt.wrong == nil) {
			t.Errorf("%s, Context ConnectorValidation: %v (-want +got):\n%s", tt.name, err, diff)
		}
	}
}

// T17: names that are not claims do not stop a token, for all lengths. Names that are not
// UTF-8 are refused, since logs may show two of them alike.
func TestNamesThatAreNoClaims(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for field, name := range map[string]func(*oidctoken.Scope) *string{
		"Account.Name":      func(s *oidctoken.Scope) *string { return &s.Account.Name },
		"Organization.Name": func(s *oidctoken.Scope) *string { return &s.Organization.Name },
		"Project.Name":      func(s *oidctoken.Scope) *string { return &s.Project.Name },
	} {
		s := minimal()
		s.Organization.ID, s.Project.ID = "payments", "ledger"
		*name(&s) = "\xff"
		_, err := issuer.Mint(t.Context(), s)
		if diff := cmp.Diff(&oidctoken.ScopeError{Field: field, Reason: "is not valid UTF-8"}, scopeError(err)); diff != "" {
			t.Errorf("Mint (-want +got):\n%s", diff)
		}
		for _, good := range []string{"Größe", "two\tcolumns", strings.Repeat("x", 5000)} {
			*name(&s) = good
			mint(t, issuer, s)
		}
	}
}
