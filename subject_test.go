package oidctoken_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken"
)

// withSubject is a profile that differs from the default by its template.
func withSubject(template string) *oidctoken.Profile {
	return &oidctoken.Profile{Subject: template, Algorithms: []string{"EdDSA"}}
}

// T10
func TestSubject(t *testing.T) {
	accountLevel := minimal()
	organizationLevel := minimal()
	organizationLevel.Organization = oidctoken.Entity{ID: "payments"}
	for _, tt := range []struct {
		name     string
		scope    oidctoken.Scope
		template string
		want     string
	}{
		{"default of an account", accountLevel, "", "account/acme"},
		{"default of an organization", organizationLevel, "", "account/acme:org/payments"},
		{"default of a project", full(), "", "account/acme:org/payments:project/ledger"},
		{"the default, written out", full(), oidctoken.DefaultSubject, "account/acme:org/payments:project/ledger"},
		{"a single claim", full(), "{account_uid}", "acc-0001"},
		{"text that has delimiters", full(), "{account_id}:ref:{ref}", "acme:ref:refs%2Fpull%2F7%2Fmerge"},
		{"text beyond ASCII", full(), "{account_id}:{head_ref}", "acme:fix%2F%C3%BCberlauf"},
		{"quotes, spaces and a backslash", full(), "{account_id}:{triggered_by_name}", "acme:Zo%C3%AB%20%22Z%22%20O%27Neil%20%5C%20team"},
		{"unreserved characters", full(), "{account_id}:{template_version}:{execution_id}", "acme:v1.2:x-0005"},
		{"a bool", full(), "{account_id}:fork/{is_fork}", "acme:fork/false"},
		{"a closing label", full(), "{account_id}:end", "acme:end"},
		{"brackets with a closing label", full(), "{account_id}[(org/{organization_id})]", "acme(org/payments)"},
		{"brackets that are left out", accountLevel, "{account_id}[:org/{organization_id}][:project/{project_id}]:end", "acme:end"},
		{"a claim twice", full(), "{account_id}:{account_id}[:{organization_id}:{account_id}]", ""},
		{"brackets that repeat a claim from outside", full(), "{account_id}[/org/{organization_id}/of/{account_id}]", "acme/org/payments/of/acme"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want == "" {
				tt.want = "acme:acme:payments:acme"
			}
			tt.scope.Profile = withSubject(tt.template)
			got, err := subjectOf(t.Context(), newIssuer(t, oidctoken.Config{}), tt.scope)
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("sub = %q, want %q", got, tt.want)
			}
		})
	}
}

const (
	ambiguous   = "has a claim that is not followed by a label which begins with a delimiter, such as : or /"
	alike       = "has brackets that cannot be told from what follows them"
	noLabel     = "has brackets that do not hold a label and then a claim"
	twoClaims   = "has brackets with claims of two entities: a scope that knows one of them would lose it"
	noAccount   = "does not name {account_id} or {account_uid} outside brackets: accounts would share subjects"
	outOfPlace  = "has a bracket out of place"
	badInLabel  = "has a character that a label cannot have"
	nothingSure = "names no claim outside brackets"
)

// A template is refused where two scopes could share a subject, by the issuer
// for its own profile, and by Mint for a connector's.
func TestSubjectTemplateRefused(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for _, tt := range []struct{ name, template, want string }{
		{"two values side by side", "{account_id}{ref}", ambiguous},
		{"a letter between values", "{account_id}x{ref}", ambiguous},
		{"an unreserved sign between values", "{account_id}-{ref}", ambiguous},
		{"a value before brackets of letters", "{account_id}[org/{organization_id}]", ambiguous},
		{"a value before what brackets leave", "{account_id}[:o/{organization_id}]x", ambiguous},
		{"a value at the end of brackets", "{account_id}:[a/{ref}]b", ambiguous},
		{"brackets that begin alike", "{account_id}[:{organization_id}][:{project_id}]", alike},
		{"brackets whose label begins the next one's", "{account_id}[:a{ref}][:ab{sha}]", alike},
		{"brackets like the label behind them", "{account_id}[:p/{ref}]:p/{sha}", alike},
		{"brackets like a label far behind them", "{account_id}[:p/{ref}][/{tag}]:p/{sha}", alike},
		{"brackets before a bare value", "{account_id}:[x:{ref}]{sha}", alike},
		{"brackets without a label", "{account_id}[{ref}]", noLabel},
		{"brackets without a claim", "{account_id}[:x]", noLabel},
		{"empty brackets", "{account_id}[]", noLabel},
		{"two claims in brackets", "{account_id}[:{organization_id}:{project_id}]", twoClaims},
		{"no account", "org/{organization_id}", noAccount},
		{"an account in brackets alone", "{organization_id}[:{account_id}]", noAccount},
		{"no claim outside brackets", "x[:{account_id}]", nothingSure},
		{"no claim", "account", nothingSure},
		{"an unknown claim", "{account_id}:{org_id}", "names {org_id}, which is no claim of the table"},
		{"a registered claim", "{account_id}:{iss}", "names {iss}, which is no claim of the table"},
		{"a claim in capitals", "{ACCOUNT_ID}", "names {ACCOUNT_ID}, which is no claim of the table"},
		{"a claim that is anything", "{account_id}:{\x1b\a}", "names {...}, which is no claim of the table"},
		{"a brace that is not closed", "{account_id", outOfPlace},
		{"a brace that is not opened", "{account_id}:}", outOfPlace},
		{"a bracket that is not closed", "{account_id}[:x{ref}", "has a [ without its ]"},
		{"a bracket that is not opened", "{account_id}:x]", outOfPlace},
		{"brackets in brackets", "{account_id}[:x[:y{ref}]]", outOfPlace},
		{"a percent sign", "{account_id}%3A{ref}", badInLabel},
		{"a quote", `{account_id}:"{ref}`, badInLabel},
		{"a backslash", `{account_id}\{ref}`, badInLabel},
		{"a space", "{account_id}: {ref}", badInLabel},
		{"a line end", "{account_id}:\n{ref}", badInLabel},
		{"a letter beyond ASCII", "{account_id}:ü:{ref}", badInLabel},
		{"bytes that are not UTF-8", "{account_id}:\xff:{ref}", badInLabel},
		{"endless", "{account_id}" + strings.Repeat(":", 5000), "is a template of more than 4096 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := full()
			s.Profile = withSubject(tt.template)
			_, err := issuer.Mint(t.Context(), s)
			if diff := cmp.Diff(&oidctoken.ScopeError{Field: "Profile.Subject", Reason: tt.want}, scopeError(err)); diff != "" {
				t.Errorf("Mint (-want +got):\n%s", diff)
			}
			_, err = oidctoken.NewIssuer(oidctoken.Config{
				URL: issuerURL, Keys: oidctoken.StaticKeys{{Signer: memory(edKey())}}, Profile: *s.Profile,
			})
			if diff := cmp.Diff(&oidctoken.ConfigError{Field: "Profile.Subject", Reason: tt.want}, configError(err)); diff != "" {
				t.Errorf("NewIssuer (-want +got):\n%s", diff)
			}
		})
	}
}

// An issuer whose URL has the account needs none in its subjects.
func TestSubjectWithoutAccount(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{URL: issuerURL + "/{account_id}"})
	s := full()
	s.Profile = withSubject("{pipeline_id}")
	got, err := subjectOf(t.Context(), issuer, s)
	if err != nil || got != "release" {
		t.Errorf("sub = %q, %v; want release", got, err)
	}
}

// A claim outside brackets that is unknown is an error, by the claim's field.
func TestSubjectUnknownClaim(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for name, field := range map[string]string{
		"organization_id": "Organization.ID", "account_uid": "Account.UID", "pipeline_id": "Pipeline.ID",
		"environment_id": "Stage.Environment.ID", "db_schema_id": "Step.Database.SchemaID", "ref": "Source.Ref",
	} {
		t.Run(name, func(t *testing.T) {
			s := minimal()
			s.Profile = withSubject("{account_id}:{" + name + "}")
			_, err := issuer.Mint(t.Context(), s)
			want := &oidctoken.ScopeError{Field: field, Reason: "is unknown, and the profile's subject demands it"}
			if diff := cmp.Diff(want, scopeError(err)); diff != "" {
				t.Errorf("Mint (-want +got):\n%s", diff)
			}
		})
	}
}

// T10
func TestSubjectLength(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for _, tt := range []struct {
		name       string
		bytes, max int
		want       string // reason
	}{
		{"255 bytes", 255, 0, ""},
		{"256 bytes", 256, 0, "makes a subject of 256 bytes: the limit is 255"},
		{"127 bytes of 127", 127, 127, ""},
		{"128 bytes of 127", 128, 127, "makes a subject of 128 bytes: the limit is 127"},
		{"255 of 255, said", 255, 255, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := minimal()
			s.Profile = withSubject("{account_id}:{account_uid}")
			s.Profile.MaxSubject = tt.max
			s.Account.UID = strings.Repeat("u", tt.bytes-len("acme:"))
			token, err := issuer.Mint(t.Context(), s)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if got := len(payloadOf(t, token)["sub"].(string)); got != tt.bytes {
					t.Errorf("sub has %d bytes, want %d", got, tt.bytes)
				}
				return
			}
			if diff := cmp.Diff(&oidctoken.ScopeError{Field: "Profile.Subject", Reason: tt.want}, scopeError(err)); diff != "" {
				t.Errorf("Mint (-want +got):\n%s", diff)
			}
		})
	}
}

// A value that breaks its own rule is at fault, not the template that names it.
func TestSubjectOfBadValue(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for value, reason := range notText {
		s := minimal()
		s.Profile = withSubject("{account_id}:{account_uid}")
		s.Account.UID = value
		_, err := issuer.Mint(t.Context(), s)
		if diff := cmp.Diff(&oidctoken.ScopeError{Field: "Account.UID", Reason: reason}, scopeError(err)); diff != "" {
			t.Errorf("Mint with %.20q (-want +got):\n%s", value, diff)
		}
	}
}

// Templates beyond those that an issuer keeps are parsed each time.
func TestManySubjectTemplates(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	s := minimal()
	for round := range 2 {
		for i := range 1100 {
			label := fmt.Sprintf("label-%d/", i)
			s.Profile = withSubject(label + "{account_id}")
			got, err := subjectOf(t.Context(), issuer, s)
			if err != nil || got != label+"acme" {
				t.Fatalf("round %d, template %d: sub = %q, %v", round, i, got, err)
			}
		}
	}
}
