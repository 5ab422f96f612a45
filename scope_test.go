package oidctoken_test

import (
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
func scopeWith(field string) oidctoken.Scope {
	if strings.HasPrefix(field, "Stage.Workspace") {
		return inStage("iacm")
	}
	return inStage("deployment")
}

var (
	notText = map[string]string{
		strings.Repeat("x", 257):      "is longer than 256 bytes",
		strings.Repeat("ü", 129):      "is longer than 256 bytes",
		strings.Repeat("\xff", 1<<20): "is longer than 256 bytes",
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
	isText       = []string{"x", strings.Repeat("x", 256), strings.Repeat("ü", 128), "\ufffd", `"`, `\`, `\u0041`, "<&>'", "a\u2028b", "😀", " a ", "{account_id}", "null"}
	notIdentifer = []string{
		strings.Repeat("x", 129), "0a", "a-b", "a.b", "a b", "a:b", "a/b", "a%3Ab", "é", "а", "ａ", "a\x00", "\xff", " a", "a\n",
	}
	isIdentifier = []string{"x", "_", "_0", "A9_z", strings.Repeat("x", 128)}
	notEnum      = []string{"x", "account ", "ACCOUNT", "production", "Manual", "a\x00", "\xff", strings.Repeat("x", 257)}
)

// T17
func TestClaimValuesRefused(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	check := func(t *testing.T, row oidctoken.ClaimRow, value, reason string) {
		t.Helper()
		s := scopeWith(row.Field)
		if !setField(t, &s, row.Field, value) {
			t.Fatalf("%s is no text", row.Field)
		}
		for name, try := range map[string]func() error{
			"Mint":    func() error { _, err := issuer.Mint(t.Context(), s); return err },
			"Preview": func() error { _, err := issuer.Preview(t.Context(), s); return err },
			"Prepare": func() error { _, err := issuer.Prepare(t.Context(), s); return err },
		} {
			if diff := cmp.Diff(&oidctoken.ScopeError{Field: row.Field, Reason: reason}, scopeError(try())); diff != "" {
				t.Errorf("%s of %.40q (-want +got):\n%s", name, value, diff)
			}
		}
	}
	for _, row := range oidctoken.ClaimTable() {
		t.Run(row.Name, func(t *testing.T) {
			switch {
			case row.Name == "stage_type" || row.Format == `"true", "false"`:
				s := scopeWith(row.Field)
				if setField(t, &s, row.Field, "x") {
					t.Errorf("%s can be any text", row.Field)
				}
			case row.Format == "text":
				for value, reason := range notText {
					check(t, row, value, reason)
				}
			case row.Format == "identifier":
				for _, value := range notIdentifer {
					check(t, row, value, "is not an identifier, ^[A-Za-z_][0-9A-Za-z_]{0,127}$")
				}
			default:
				for _, value := range notEnum {
					check(t, row, value, "is not one of "+row.Format)
				}
			}
		})
	}
}

// What is taken is in the token as it was given.
func TestClaimValuesTaken(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for _, row := range oidctoken.ClaimTable() {
		values := strings.Split(strings.Trim(row.Format, `"`), `", "`)
		switch {
		case row.Name == "stage_type" || row.Format == `"true", "false"`:
			continue // not text: TestGolden and TestBools have them
		case row.Format == "text":
			values = isText
		case row.Format == "identifier":
			values = isIdentifier
		}
		t.Run(row.Name, func(t *testing.T) {
			for _, value := range values {
				s := scopeWith(row.Field)
				setField(t, &s, row.Field, value)
				if got := payloadOf(t, mint(t, issuer, s))[row.Name]; got != value {
					t.Errorf("%s = %q, want %q", row.Name, got, value)
				}
			}
		})
	}
}

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
		"Template.ID":             func(s *oidctoken.Scope) { s.Template = &oidctoken.Template{} },
		"Connector.ID":            func(s *oidctoken.Scope) { s.Connector = &oidctoken.Connector{Name: "n"} },
		"Stage.Service.ID":        func(s *oidctoken.Scope) { s.Stage = oidctoken.Deployment{Service: &oidctoken.Entity{Name: "n"}} },
		"Stage.Environment.ID":    func(s *oidctoken.Scope) { s.Stage = oidctoken.Custom{Environment: &oidctoken.Environment{UID: "u"}} },
		"Stage.Infrastructure.ID": func(s *oidctoken.Scope) { s.Stage = oidctoken.Deployment{Infrastructure: &oidctoken.Infrastructure{}} },
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

// The context says what is worked at, even if the host does not.
func TestContextDefault(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for _, tt := range []struct {
		name   string
		change func(*oidctoken.Scope)
		want   string
	}{
		{"nothing", func(*oidctoken.Scope) {}, "CONNECTOR_VALIDATION"},
		{"a connector", func(s *oidctoken.Scope) { s.Connector = &oidctoken.Connector{ID: "c"} }, "CONNECTOR_VALIDATION"},
		{"a pipeline", func(s *oidctoken.Scope) { s.Pipeline = &oidctoken.Pipeline{ID: "p"} }, "PIPELINE_EXECUTION"},
		{"an execution", func(s *oidctoken.Scope) { s.Execution = &oidctoken.Execution{} }, "PIPELINE_EXECUTION"},
		{"a stage", func(s *oidctoken.Scope) { s.Stage = oidctoken.CI{} }, "PIPELINE_EXECUTION"},
		{"said", func(s *oidctoken.Scope) { s.Stage, s.Context = oidctoken.CI{}, oidctoken.PerpetualTask }, "PERPETUAL_TASK"},
	} {
		s := minimal()
		tt.change(&s)
		if got := payloadOf(t, mint(t, issuer, s))["context"]; got != tt.want {
			t.Errorf("%s: context = %v, want %s", tt.name, got, tt.want)
		}
	}
}

// Names that are no claims are text, too: a policy may go by them, and what
// compares scopes sees them.
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
		*name(&s) = "Größe"
		mint(t, issuer, s)
	}
}

// An error says what is wrong, and never repeats a value.
func TestScopeErrorText(t *testing.T) {
	s := minimal()
	s.Connector = &oidctoken.Connector{ID: "c", Name: "s3cr3t\x00"}
	_, err := newIssuer(t, oidctoken.Config{}).Mint(t.Context(), s)
	if got, want := err.Error(), "oidctoken: scope: Connector.Name has a control character"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}
