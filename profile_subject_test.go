package oidctoken_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

// withSubject returns a profile with a template.
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
		{"text outside ASCII", full(), "{account_id}:{head_ref}", "acme:fix%2F%C3%BCberlauf"},
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
	alike       = "has brackets whose label is the beginning of the text that may follow them"
	noLabel     = "has brackets that do not contain a label and then a claim"
	twoClaims   = "has brackets with claims of two entities: give each entity its own brackets"
	noAccount   = "does not name {account_id} or {account_uid} outside brackets: accounts would share subjects"
	outOfPlace  = "has a bracket out of place"
	badInLabel  = "has a character that a label cannot have"
	nothingSure = "names no claim outside brackets"
)

// A template with which two scopes could share a subject is refused: by NewIssuer in
// Config.Profile, and by Mint in Scope.Profile.
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
		{"an entity's claim beside another's", "{account_id}[:{organization_id}@{project_uid}]", twoClaims},
		{"a pair and another entity's claim", "{account_id}[:{organization_id}@{organization_uid}:{project_id}]", twoClaims},
		{"a stage beside its service", "{account_id}[:{stage_id}:{service_id}]", twoClaims},
		{"two templates", "{account_id}[:{template_id}:{pipeline_template_id}]", twoClaims},
		{"a step beside its database", "{account_id}[:{step_id}:{db_schema_id}]", twoClaims},
		{"a host-defined claim without a prefix", "{account_id}:{acme_cell}", "names {acme_cell}, which is not a claim"},
		{"a pair without a delimiter", "{account_id}[:{organization_id}{organization_uid}]", ambiguous},
		{"a pair with a letter between", "{account_id}[:{organization_id}x{organization_uid}]", ambiguous},
		{"two claims in brackets", "{account_id}[:{organization_id}:{project_id}]", twoClaims},
		{"no account", "org/{organization_id}", noAccount},
		{"an account in brackets alone", "{organization_id}[:{account_id}]", noAccount},
		{"no claim outside brackets", "x[:{account_id}]", nothingSure},
		{"no claim", "account", nothingSure},
		{"an unknown claim", "{account_id}:{org_id}", "names {org_id}, which is not a claim"},
		{"a registered claim", "{account_id}:{iss}", "names {iss}, which is not a claim"},
		{"a claim in capitals", "{ACCOUNT_ID}", "names {ACCOUNT_ID}, which is not a claim"},
		{"a claim that is anything", "{account_id}:{\x1b\a}", "names {...}, which is not a claim"},
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
		{"a letter outside ASCII", "{account_id}:ü:{ref}", badInLabel},
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
			if diff := cmp.Diff(&oidctoken.ConfigError{Package: "oidctoken", Field: "Profile.Subject", Reason: tt.want}, configError(err)); diff != "" {
				t.Errorf("NewIssuer (-want +got):\n%s", diff)
			}
		})
	}
}

// A subject need not name the account if the URL of the issuer contains it.
func TestSubjectWithoutAccount(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{URL: issuerURL + "/{account_id}"})
	s := full()
	s.Profile = withSubject("{pipeline_id}")
	got, err := subjectOf(t.Context(), issuer, s)
	if err != nil || got != "release" {
		t.Errorf("sub = %q, %v; want release", got, err)
	}
}

// An unknown claim outside brackets is an error, which names the claim's field.
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
			want := &oidctoken.ScopeError{Field: field, Reason: "is unknown, but the profile's subject requires it"}
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

// Claims of one entity in brackets must all be known or all be unknown.
func TestSubjectOfEntity(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	const immutable = "account/{account_id}@{account_uid}[:org/{organization_id}@{organization_uid}][:project/{project_id}@{project_uid}]"
	change := func(f func(*oidctoken.Scope)) oidctoken.Scope {
		s := inStage("deployment")
		f(&s)
		return s
	}
	beside := func(field, claim string) *oidctoken.ScopeError {
		return &oidctoken.ScopeError{Field: field, Reason: "is unknown, but the profile's subject names it beside {" + claim + "}, which is known"}
	}
	for _, tt := range []struct {
		name, template string
		scope          oidctoken.Scope
		want           string
		err            *oidctoken.ScopeError
	}{
		{"all known", immutable, full(), "account/acme@acc-0001:org/payments@org-0002:project/ledger@prj-0003", nil},
		{"no project", immutable, change(func(s *oidctoken.Scope) { s.Project = oidctoken.Entity{} }), "account/acme@acc-0001:org/payments@org-0002", nil},
		{"neither", immutable, change(func(s *oidctoken.Scope) { s.Organization, s.Project = oidctoken.Entity{}, oidctoken.Entity{} }), "account/acme@acc-0001", nil},
		{"no uid", immutable, change(func(s *oidctoken.Scope) { s.Project.UID = "" }), "", beside("Project.UID", "project_id")},
		{"no uid of the first", immutable, change(func(s *oidctoken.Scope) { s.Organization.UID = "" }), "", beside("Organization.UID", "organization_id")},
		{"no uid outside brackets", immutable, change(func(s *oidctoken.Scope) { s.Account.UID = "" }), "",
			&oidctoken.ScopeError{Field: "Account.UID", Reason: "is unknown, but the profile's subject requires it"}},
		{"the first of three is unknown", "{account_id}[:{ref_type}/{ref}@{sha}]", change(func(s *oidctoken.Scope) { s.Source.RefType = "" }), "", beside("Source.RefType", "sha")},
		{"the last of three is unknown", "{account_id}[:{ref_type}/{ref}@{sha}]", change(func(s *oidctoken.Scope) { s.Source.SHA = "" }), "", beside("Source.SHA", "ref")},
		{"an entity that is not there", "{account_id}[:{ref_type}/{ref}@{sha}]", change(func(s *oidctoken.Scope) { s.Source = nil }), "acme", nil},
		{"of a stage's entity", "{account_id}[:env/{environment_id}@{environment_uid}]", inStage("deployment"), "acme:env/prod@env-0011", nil},
		{"of a stage's entity that is not there", "{account_id}[:env/{environment_id}@{environment_uid}]", inStage("ci"), "acme", nil},
		{"of a stage", "{account_id}[:{stage_type}/{stage_id}]", inStage("ci"), "acme:CI/build", nil},
		{"of no stage", "{account_id}[:{stage_type}/{stage_id}]", full(), "acme", nil},
		{"beside a claim from outside", "{account_id}[/{organization_id}@{organization_uid}/{account_id}]", change(func(s *oidctoken.Scope) { s.Organization.UID = "" }), "", beside("Organization.UID", "organization_id")},
		{"left out beside a claim from outside", "{account_id}[/{organization_id}@{organization_uid}/{account_id}]",
			change(func(s *oidctoken.Scope) { s.Organization = oidctoken.Entity{} }), "acme", nil},
		{"a claim from outside that is unknown", "{account_id}[/{organization_id}/{account_uid}]:{account_uid}", change(func(s *oidctoken.Scope) { s.Account.UID = "" }), "",
			&oidctoken.ScopeError{Field: "Account.UID", Reason: "is unknown, but the profile's subject requires it"}},
		{"a uid with the separator", immutable, change(func(s *oidctoken.Scope) { s.Account.UID = "x@y" }), "account/acme@x%40y:org/payments@org-0002:project/ledger@prj-0003", nil},
		{"an identifier with a dollar", "{account_id}", change(func(s *oidctoken.Scope) { s.Account.ID = "$a.b-c" }), "%24a.b-c", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.scope.Profile = withSubject(tt.template)
			got, err := subjectOf(t.Context(), issuer, tt.scope)
			if diff := cmp.Diff(tt.err, scopeError(err)); diff != "" {
				t.Errorf("Preview: %v (-want +got):\n%s", err, diff)
			}
			if got != tt.want {
				t.Errorf("sub = %q, want %q", got, tt.want)
			}
		})
	}
}

// A subject can name a host-defined claim like a claim of the table.
func TestSubjectOfExtra(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{ExtraPrefix: "acme_", Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}, Subject: "{account_id}[:cell/{acme_cell}]"}})
	const cell = `Extra["acme_cell"]`
	const notClaim = ", which is not a claim"
	long := strings.Repeat("x", 1025)
	for _, tt := range []struct {
		name, template string
		extra          map[string]string
		want           string
		field, reason  string
	}{
		{"outside brackets", "{account_id}:{acme_cell}", map[string]string{"acme_cell": "eu:7"}, "acme:eu%3A7", "", ""},
		{"in brackets", "{account_id}[:cell/{acme_cell}]", map[string]string{"acme_cell": "7"}, "acme:cell/7", "", ""},
		{"of the issuer's profile", "", map[string]string{"acme_cell": "7"}, "acme:cell/7", "", ""},
		{"left out", "{account_id}[:cell/{acme_cell}][/{acme_zone}]", map[string]string{"acme_zone": "a"}, "acme/a", "", ""},
		{"a name with dots", "{account_id}[/{acme_a.b}][:{acme_a.c}]", map[string]string{"acme_a.b": "1", "acme_a.c": "2"}, "acme/1:2", "", ""},
		{"twice", "{account_id}:{acme_cell}[/{acme_cell}]", map[string]string{"acme_cell": "7"}, "acme:7/7", "", ""},
		{"unknown", "{account_id}:{acme_cell}", nil, "", cell, "is unknown, but the profile's subject requires it"},
		{"known in another letter case", "{account_id}:{acme_cell}", map[string]string{"acme_Cell": "7"}, "", cell, "is unknown, but the profile's subject requires it"},
		{"empty", "{account_id}[:{acme_cell}]", map[string]string{"acme_cell": ""}, "", cell, "is empty"},
		{"long", "{account_id}[:{acme_cell}]", map[string]string{"acme_cell": long}, "", cell, "is longer than 1024 bytes"},
		{"no UTF-8", "{account_id}:{acme_cell}", map[string]string{"acme_cell": "a\xff"}, "", cell, "is not valid UTF-8"},
		{"two in brackets", "{account_id}[:{acme_cell}/{acme_zone}]", nil, "", "Profile.Subject", twoClaims},
		{"two with dots in brackets", "{account_id}[:{acme_a.b}/{acme_a.c}]", nil, "", "Profile.Subject", twoClaims},
		{"two long ones in brackets", "{account_id}[:{acme_" + strings.Repeat("x", 100) + "a}/{acme_" + strings.Repeat("x", 100) + "b}]", nil, "", "Profile.Subject", twoClaims},
		{"beside a claim of the table", "{account_id}[:{organization_id}/{acme_zone}]", nil, "", "Profile.Subject", twoClaims},
		{"instead of an account", "{acme_cell}", nil, "", "Profile.Subject", noAccount},
		{"another prefix", "{account_id}:{beta_cell}", nil, "", "Profile.Subject", "names {beta_cell}" + notClaim},
		{"the prefix in another letter case", "{account_id}:{Acme_cell}", nil, "", "Profile.Subject", "names {Acme_cell}" + notClaim},
		{"the prefix's beginning", "{account_id}:{acme}", nil, "", "Profile.Subject", "names {acme}" + notClaim},
		{"a name that is not ASCII", "{account_id}:{acme_é}", nil, "", "Profile.Subject", "names {...}" + notClaim},
		{"an empty name", "{account_id}:{}", nil, "", "Profile.Subject", "names {}" + notClaim},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := minimal()
			s.Extra = tt.extra
			if tt.template != "" {
				s.Profile = withSubject(tt.template)
			}
			got, err := subjectOf(t.Context(), issuer, s)
			var want *oidctoken.ScopeError
			if tt.field != "" {
				want = &oidctoken.ScopeError{Field: tt.field, Reason: tt.reason}
			}
			if diff := cmp.Diff(want, scopeError(err)); diff != "" || got != tt.want {
				t.Errorf("sub = %q, %v; want %q (-want +got):\n%s", got, err, tt.want, diff)
			}
		})
	}
}

// A template cannot name a claim of the table in another letter case, or a registered
// claim, with any ExtraPrefix.
func TestSubjectOfShadow(t *testing.T) {
	for _, tt := range []struct{ prefix, name string }{
		{"project", "project_ID"}, {"Project", "Project_id"}, {"s", "sub"}, {"S", "Sub"}, {"j", "jti"}, {"A", "ACCOUNT_ID"}, {"pipeline_t", "pipeline_template_Id"},
	} {
		s := full()
		s.Profile = withSubject("{account_id}:{" + tt.name + "}")
		_, err := newIssuer(t, oidctoken.Config{ExtraPrefix: tt.prefix}).Mint(t.Context(), s)
		want := &oidctoken.ScopeError{Field: "Profile.Subject", Reason: "names {" + tt.name + "}, which is not a claim"}
		if diff := cmp.Diff(want, scopeError(err)); diff != "" {
			t.Errorf("prefix %s (-want +got):\n%s", tt.prefix, diff)
		}
	}
	s := full()
	s.Profile = withSubject("{account_id}:{project_id}")
	got, err := subjectOf(t.Context(), newIssuer(t, oidctoken.Config{ExtraPrefix: "project"}), s)
	if err != nil || got != "acme:ledger" {
		t.Errorf("sub = %q, %v; want the table's project_id", got, err)
	}
}

// If a value breaks its own rule, the error names its field, not the template.
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
