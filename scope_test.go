package oidctoken_test

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken"
)

// setField sets the string field of s with that path, and reports whether it
// is one. Nothing that s points to is written to.
func setField(t *testing.T, s *oidctoken.Scope, path, value string) bool {
	t.Helper()
	return setIn(t, reflect.ValueOf(s).Elem(), strings.Split(path, "."), value)
}

func setIn(t *testing.T, v reflect.Value, path []string, value string) bool {
	t.Helper()
	if len(path) == 0 {
		if v.Kind() != reflect.String {
			return false
		}
		v.SetString(value)
		return true
	}
	field := v.FieldByName(path[0])
	if !field.IsValid() {
		t.Fatalf("%s has no field %s", v.Type(), path[0])
	}
	switch field.Kind() {
	case reflect.Pointer, reflect.Interface:
		if len(path) == 1 {
			return false // a *bool, or the stage itself
		}
		inner := field.Elem()
		if field.Kind() == reflect.Pointer {
			inner = field.Elem()
		}
		own := reflect.New(inner.Type())
		own.Elem().Set(inner)
		ok := setIn(t, own.Elem(), path[1:], value)
		if field.Kind() == reflect.Interface {
			own = own.Elem()
		}
		field.Set(own)
		return ok
	}
	return setIn(t, field, path[1:], value)
}

// scopeWith is a scope that has the field.
func scopeWith(string) oidctoken.Scope { return inStage("open") }

const notIdentifier = "is not an identifier: 1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or .."

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

// notReasons has the values that a row refuses, each with the reason; nil for a
// row whose value is no text of the scope.
func notReasons(row oidctoken.ClaimRow) map[string]string {
	all := func(reason string, values ...string) map[string]string {
		reasons := make(map[string]string)
		for _, v := range values {
			reasons[v] = reason
		}
		return reasons
	}
	switch {
	case row.Name == "stage_type" || row.Format == `"true", "false"`:
		return nil
	case row.Format == "text":
		return notText
	case row.Format == "identifier":
		return all(notIdentifier, notIdentifiers...)
	case row.Format == "identifier without a dot":
		reasons := all(notIdentifier, notIdentifiers...)
		maps.Copy(reasons, all("has a dot, which a reference to a connector uses after account and org", dotted...))
		return reasons
	case row.Name == "environment_type":
		reasons := all("is not one of "+environs+wordForm, notWords...)
		maps.Copy(reasons, all(`differs from "Production" in letter case only`, "production", "PRODUCTION"))
		maps.Copy(reasons, all(`differs from "PreProduction" in letter case only`, "preproduction", "Preproduction"))
		return reasons
	case knownLists[row.Name] != "":
		return all("is not one of "+knownLists[row.Name]+upperForm, notUpper...)
	}
	return all("is not one of "+row.Format, notLevels...)
}

// T17
func TestClaimValuesRefused(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for _, row := range oidctoken.ClaimTable() {
		t.Run(row.Name, func(t *testing.T) {
			reasons := notReasons(row)
			if s := scopeWith(row.Field); reasons == nil && setField(t, &s, row.Field, "x") {
				t.Errorf("%s can be any text", row.Field)
			}
			for value, reason := range reasons {
				s := scopeWith(row.Field)
				if !setField(t, &s, row.Field, value) {
					t.Fatalf("%s is no text", row.Field)
				}
				want := &oidctoken.ScopeError{Field: row.Field, Reason: reason}
				if row.Audit { // TestAuditClaimsLeftOut
					want = nil
				}
				for name, try := range map[string]func() error{
					"Mint":    func() error { _, err := issuer.Mint(t.Context(), s); return err },
					"Preview": func() error { _, err := issuer.Preview(t.Context(), s); return err },
					"Prepare": func() error { _, err := issuer.Prepare(t.Context(), s); return err },
				} {
					err := try()
					if diff := cmp.Diff(want, scopeError(err)); diff != "" || (err == nil) != (want == nil) {
						t.Errorf("%s of %.40q: %v (-want +got):\n%s", name, value, err, diff)
					}
				}
			}
		})
	}
}

// What is taken is in the token as it was given.
func TestClaimValuesTaken(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for _, row := range oidctoken.ClaimTable() {
		var values []string
		switch {
		case row.Name == "stage_type" || row.Format == `"true", "false"`:
			continue // not text: TestGolden and TestBools have them
		case row.Format == "text":
			values = isText
		case row.Format == "identifier":
			values = append(append(values, areIdentifiers...), dotted...)
		case row.Format == "identifier without a dot":
			values = areIdentifiers
		case row.Name == "environment_type":
			values = append(unquoted(environs), areWords...)
		case knownLists[row.Name] != "":
			values = append(unquoted(knownLists[row.Name]), areUpper...)
		default:
			values = unquoted(row.Format)
		}
		t.Run(row.Name, func(t *testing.T) {
			for _, value := range values {
				s := scopeWith(row.Field)
				setField(t, &s, row.Field, value)
				if value == "CONNECTOR_VALIDATION" {
					s = minimal()
				}
				if got := payloadOf(t, mint(t, issuer, s))[row.Name]; got != value {
					t.Errorf("%s = %q, want %q", row.Name, got, value)
				}
			}
		})
	}
}

// unquoted splits a list such as "a", "b".
func unquoted(list string) []string { return strings.Split(strings.Trim(list, `"`), `", "`) }

// Every bool is told apart: true, false and unknown.
func TestBools(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for _, tt := range []struct {
		value *bool
		want  any
	}{{ptr(true), "true"}, {ptr(false), "false"}, {nil, nil}} {
		s := minimal()
		s.Source = &oidctoken.Source{RefProtected: tt.value}
		s.Stage = oidctoken.Custom{Environment: &oidctoken.Environment{ID: "prod", Protected: tt.value}}
		claims := payloadOf(t, mint(t, issuer, s))
		for _, name := range []string{"ref_protected", "environment_protected"} {
			if claims[name] != tt.want {
				t.Errorf("%s = %v, want %v", name, claims[name], tt.want)
			}
		}
	}
}

// What has no identifier is refused: without its claim, a subject would be
// that of the level above.
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

// T12
func TestAudience(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for _, audience := range []string{"a", "sts.amazonaws.com", "api://AzureADTokenExchange", `"quoted\`, "a,b", "<&>", strings.Repeat("a", 600)} {
		s := minimal()
		s.Audience = audience
		if got := payloadOf(t, mint(t, issuer, s))["aud"]; got != audience {
			t.Errorf("aud = %v, want the string %q", got, audience)
		}
	}
	for audience, reason := range map[string]string{
		strings.Repeat("a", 601): "is longer than 600 bytes",
		"a b":                    "is not printable ASCII without spaces",
		" a":                     "is not printable ASCII without spaces",
		"a\n":                    "is not printable ASCII without spaces",
		"é":                      "is not printable ASCII without spaces",
		"\xff":                   "is not printable ASCII without spaces",
	} {
		s := minimal()
		s.Audience = audience
		_, err := issuer.Mint(t.Context(), s)
		if diff := cmp.Diff(&oidctoken.ScopeError{Field: "Audience", Reason: reason}, scopeError(err)); diff != "" {
			t.Errorf("Mint for %.20q (-want +got):\n%s", audience, diff)
		}
	}
}

// The context says what is worked at, even if the host does not. A connector is
// validated outside pipelines.
func TestContext(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	contradicts := func(part string) *oidctoken.ScopeError {
		return &oidctoken.ScopeError{Field: "Context", Reason: "is CONNECTOR_VALIDATION, and the Scope has a " + part + ": connectors are validated outside pipelines"}
	}
	const validation, execution = "CONNECTOR_VALIDATION", "PIPELINE_EXECUTION"
	for _, tt := range []struct {
		name   string
		change func(*oidctoken.Scope)
		want   string
		wrong  *oidctoken.ScopeError // if it is said to be a validation
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
				t.Errorf("%s, said to be %q: context = %v, want %s", tt.name, context, got, want)
			}
		}
		s := minimal()
		tt.change(&s)
		s.Context = oidctoken.ConnectorValidation
		_, err := issuer.Mint(t.Context(), s)
		if diff := cmp.Diff(tt.wrong, scopeError(err)); diff != "" || (err == nil) != (tt.wrong == nil) {
			t.Errorf("%s, said to be a validation: %v (-want +got):\n%s", tt.name, err, diff)
		}
	}
}

// T17: names that are no claims do not stop a token, whatever their length. Those
// that are not UTF-8 are refused: logs show two of them as one.
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

// An error says what is wrong, and never repeats a value.
func TestScopeErrorText(t *testing.T) {
	s := minimal()
	s.Connector = &oidctoken.Connector{ID: "c", UID: "s3cr3t\x00"}
	_, err := newIssuer(t, oidctoken.Config{}).Mint(t.Context(), s)
	if got, want := err.Error(), "oidctoken: scope: Connector.UID has a control character"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}
