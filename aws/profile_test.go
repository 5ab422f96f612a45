package aws_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

func TestProfile(t *testing.T) {
	e := newExchanger(t, nil, aws.Config{Subject: "account/{account_id}"})
	p := e.Profile()
	if p.Claims == nil {
		t.Error("Claims is nil: the JWT would not be pinned to the role")
	}
	p.Claims = nil
	want := oidctoken.Profile{
		Subject:    "account/{account_id}",
		Algorithms: []string{"ES256", "RS256", "ES384", "ES512", "RS384", "RS512"},
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("Profile (-want +got):\n%s", diff)
	}
	p.Algorithms[0] = "EdDSA" // by the caller
	if got := e.Profile().Algorithms[0]; got != "ES256" {
		t.Errorf("a caller changed the Exchanger's algorithms: %s", got)
	}
	if got := e.Audience(); got != "sts.amazonaws.com" {
		t.Errorf("Audience = %s, want sts.amazonaws.com", got)
	}
	if got := e.Cloud(); got != "aws" {
		t.Errorf("Cloud = %s, want aws", got)
	}
}

func scope(e *aws.Exchanger) oidctoken.Scope {
	p := e.Profile()
	return oidctoken.Scope{
		Audience: e.Audience(), Profile: &p,
		Account: oidctoken.Entity{ID: "acme"}, Organization: oidctoken.Entity{ID: "payments"}, Project: oidctoken.Entity{ID: "ledger"},
		Trigger: &oidctoken.Trigger{ByID: "u-17", ByName: "Zoë Müller (she/her)"},
	}
}

func TestClaims(t *testing.T) {
	const (
		roles  = "https://aws.amazon.com/roles"
		tags   = "https://aws.amazon.com/tags"
		source = "https://aws.amazon.com/source_identity"
	)
	issuer := oidctokentest.NewIssuer(t)
	principal := func(pairs ...string) map[string]any {
		all := make(map[string]any)
		for i := 0; i < len(pairs); i += 2 {
			all[pairs[i]] = []any{pairs[i+1]}
		}
		return all
	}
	for _, tt := range []struct {
		name        string
		config      aws.Config
		nullUnknown bool
		want        map[string]any
	}{
		{"pinned by default", aws.Config{}, false, map[string]any{roles: roleARN}},
		{"not pinned", aws.Config{InsecureAnyRole: true}, false, map[string]any{}},
		{"tags", aws.Config{SessionTags: []string{"project_id", "sub", "environment_id"}, TransitiveTagKeys: []string{"environment_id", "project_id"}}, false,
			map[string]any{roles: roleARN, tags: map[string]any{
				"principal_tags":      principal("project_id", "ledger", "sub", "account/acme:org/payments:project/ledger"),
				"transitive_tag_keys": []any{"project_id"},
			}}},
		{"tags without transitive ones", aws.Config{SessionTags: []string{"account_id"}}, false,
			map[string]any{roles: roleARN, tags: map[string]any{"principal_tags": principal("account_id", "acme")}}},
		{"no known tag", aws.Config{SessionTags: []string{"environment_id"}, TransitiveTagKeys: []string{"environment_id"}}, false,
			map[string]any{roles: roleARN}},
		{"null is no tag", aws.Config{SessionTags: []string{"environment_id", "project_id"}}, true,
			map[string]any{roles: roleARN, tags: map[string]any{"principal_tags": principal("project_id", "ledger")}}},
		{"source identity", aws.Config{SourceIdentity: "triggered_by_id"}, false, map[string]any{roles: roleARN, source: "u-17"}},
		{"unknown source identity", aws.Config{SourceIdentity: "trigger_by_email"}, false, map[string]any{roles: roleARN}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := scope(newExchanger(t, nil, tt.config))
			s.Profile.NullUnknown = tt.nullUnknown
			claims, err := issuer.Preview(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(claims)
			if err != nil {
				t.Fatal(err)
			}
			var all map[string]any
			if err := json.Unmarshal(text, &all); err != nil {
				t.Fatal(err)
			}
			got := make(map[string]any)
			for name, value := range all {
				if strings.HasPrefix(name, "https://aws.amazon.com/") {
					got[name] = value
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("claims for AWS (-want +got):\n%s", diff)
			}
		})
	}
}

func TestClaimsRefuse(t *testing.T) {
	issuer := oidctokentest.NewIssuer(t)
	for _, tt := range []struct {
		name   string
		config aws.Config
		change func(*oidctoken.Scope)
		want   string
	}{
		{"tag value", aws.Config{SessionTags: []string{"triggered_by_name"}}, func(*oidctoken.Scope) {},
			"failed: aws: session tag triggered_by_name: the claim's value has a character other than letters, digits, spaces and _.:/=+-@: set Config.UnfitTags to UnfitOmit or UnfitEncode"},
		{"branch", aws.Config{SessionTags: []string{"ref"}}, func(s *oidctoken.Scope) { s.Source = &oidctoken.Source{Ref: "refs/heads/fix#1"} },
			"failed: aws: session tag ref: the claim's value has a character other than letters, digits, spaces and _.:/=+-@: set Config.UnfitTags to UnfitOmit or UnfitEncode"},
		{"source identity", aws.Config{SourceIdentity: "triggered_by_name"}, func(*oidctoken.Scope) {},
			"failed: aws: source identity triggered_by_name: the claim's value is not of 2 to 64 letters, digits and _+=,.@-: set Config.UnfitSourceIdentity to UnfitOmit or UnfitEncode"},
		{"short source identity", aws.Config{SourceIdentity: "triggered_by_id"}, func(s *oidctoken.Scope) { s.Trigger.ByID = "u" },
			"failed: aws: source identity triggered_by_id: the claim's value is not of 2 to 64 letters, digits and _+=,.@-: set Config.UnfitSourceIdentity to UnfitOmit or UnfitEncode"},
		{"long source identity", aws.Config{SourceIdentity: "triggered_by_id"}, func(s *oidctoken.Scope) { s.Trigger.ByID = strings.Repeat("u", 65) },
			"failed: aws: source identity triggered_by_id: the claim's value is not of 2 to 64 letters, digits and _+=,.@-: set Config.UnfitSourceIdentity to UnfitOmit or UnfitEncode"},
		{"tag that no token can have", aws.Config{SessionTags: []string{"head_ref"}}, func(s *oidctoken.Scope) { s.Source = &oidctoken.Source{HeadRef: strings.Repeat("x", 1025)} },
			"failed: aws: session tag head_ref: the claim's value is longer than 1024 bytes, or is not UTF-8, or has control characters: set Config.UnfitTags to UnfitOmit"},
		{"source identity that no token can have", aws.Config{SourceIdentity: "trigger_by_email"}, func(s *oidctoken.Scope) { s.Trigger.ByEmail = "a\xff" },
			"failed: aws: source identity trigger_by_email: the claim's value is longer than 1024 bytes, or is not UTF-8, or has control characters: set Config.UnfitSourceIdentity to UnfitOmit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := scope(newExchanger(t, nil, tt.config))
			tt.change(&s)
			_, err := issuer.Mint(t.Context(), s)
			var got *oidctoken.ScopeError
			errors.As(err, &got)
			if diff := cmp.Diff(&oidctoken.ScopeError{Field: "Profile.Claims", Reason: tt.want}, got); diff != "" {
				t.Errorf("Mint (-want +got):\n%s", diff)
			}
		})
	}
}
