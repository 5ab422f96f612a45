package oidctoken_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken"
	"pgregory.net/rapid"
)

// forAudit are the claims that no policy rests on. This list is written by hand,
// not made from the table.
var forAudit = []string{
	"matrix", "connector_name", "service_name", "artifact_name", "triggered_by_name", "trigger_by_email", "head_ref",
}

func TestAuditClaims(t *testing.T) {
	var got []string
	for _, row := range oidctoken.ClaimTable() {
		if row.Audit {
			got = append(got, row.Name)
		}
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(forAudit))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims for audit (-want +got):\n%s", diff)
	}
}

// T17: a claim for audit that does not fit is left out and reported. It stops no
// token, and nothing of it is in one.
func TestAuditClaimsLeftOut(t *testing.T) {
	var r recorder
	issuer := newIssuer(t, oidctoken.Config{Audit: r.audit})
	cache := newCache(t, issuer, oidctoken.CacheConfig{})
	for _, row := range oidctoken.ClaimTable() {
		if !row.Audit {
			continue
		}
		t.Run(row.Name, func(t *testing.T) {
			for value := range notText {
				for _, null := range []bool{false, true} {
					s := scopeWith(row.Field)
					setField(t, &s, row.Field, "")
					s.Profile = &oidctoken.Profile{Algorithms: []string{"EdDSA"}, NullUnknown: null}
					without := must(issuer.Preview(t.Context(), s))
					setField(t, &s, row.Field, value)
					prepared := must(issuer.Prepare(t.Context(), s))
					for name, try := range map[string]func() (*oidctoken.Token, error){
						"Mint":          func() (*oidctoken.Token, error) { return issuer.Mint(t.Context(), s) },
						"Prepared.Mint": func() (*oidctoken.Token, error) { return prepared.Mint(t.Context()) },
						"Cache.Mint":    func() (*oidctoken.Token, error) { return cache.Mint(t.Context(), s) },
					} {
						token, err := try()
						if err != nil {
							t.Fatalf("%s of %.20q: %v", name, value, err)
						}
						_, payload, _, _ := parts(t, token.JWT())
						if want := string(must(without.MarshalJSON())); !strings.HasPrefix(string(payload), strings.TrimSuffix(want, "}")) {
							t.Errorf("%s of %.20q: %s, want as if it were unknown: %s", name, value, payload, want)
						}
						for _, e := range r.events { // the cache reports a token once
							if diff := cmp.Diff([]string{row.Name}, e.Omitted); diff != "" {
								t.Errorf("%s of %.20q: Omitted (-want +got):\n%s", name, value, diff)
							}
						}
						r.events = nil
					}
					claims := must(issuer.Preview(t.Context(), s))
					if got, known := claims.Get(row.Name); known {
						t.Errorf("Get = %.20q, want it unknown", got)
					}
					if diff := cmp.Diff([]string{row.Name}, claims.Omitted()); diff != "" {
						t.Errorf("Claims.Omitted (-want +got):\n%s", diff)
					}
				}
			}
		})
	}
}

// What is in a token, or unknown, is not reported as left out.
func TestNothingLeftOut(t *testing.T) {
	var r recorder
	issuer := newIssuer(t, oidctoken.Config{Audit: r.audit})
	for _, s := range []oidctoken.Scope{minimal(), inStage("open")} {
		mint(t, issuer, s)
		if e := r.only(t); e.Omitted != nil {
			t.Errorf("Omitted = %q, want none", e.Omitted)
		}
	}
	s := minimal()
	s.Account.ID = ""
	if _, err := issuer.Mint(t.Context(), s); err == nil {
		t.Fatal("Mint took an account without an id")
	}
	if e := r.only(t); e.Omitted != nil {
		t.Errorf("Omitted of a refusal = %q, want none", e.Omitted)
	}
}

// A claim for audit that a subject names is needed: left out, the subject would
// be that of another execution.
func TestAuditClaimInSubject(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for _, template := range []string{"{account_id}:{%s}", "{account_id}[:x/{%s}]"} {
		for _, row := range oidctoken.ClaimTable() {
			if !row.Audit {
				continue
			}
			for value, reason := range notText {
				s := scopeWith(row.Field)
				setField(t, &s, row.Field, value)
				s.Profile = withSubject(fmt.Sprintf(template, row.Name))
				_, err := issuer.Mint(t.Context(), s)
				if diff := cmp.Diff(&oidctoken.ScopeError{Field: row.Field, Reason: reason}, scopeError(err)); diff != "" {
					t.Errorf("%s of %.20q (-want +got):\n%s", s.Profile.Subject, value, diff)
				}
			}
		}
	}
}

// A branch's name that git takes stops no token, whatever the subject is.
func TestBranchNames(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	long := strings.Repeat("b", 255)
	for _, branch := range []string{
		"fix/#46", "dependabot/npm_and_yarn/a-1.2.3", "it's", `"quoted"`, "caf\u00e9", "cafe\u0301", "a,b;c&d=e", "<b>", "$HOME", "%2F",
		"日本語/ブランチ", "😀", "\u2028", "a!b", "(x)", "{x}", "a|b", "-x", "x.y", long, long + "/" + long, long + "/" + long + "/" + long,
		strings.Repeat("é", 127), strings.Repeat("é", 127) + "/" + long,
	} {
		ref := "refs/heads/" + branch
		s := inStage("ci")
		s.Source = &oidctoken.Source{Ref: ref, HeadRef: branch, BaseRef: branch, RefType: "branch"}
		s.Pipeline.Ref = ref
		payload := payloadOf(t, mint(t, issuer, s))
		for name, want := range map[string]string{"ref": ref, "head_ref": branch, "base_ref": branch, "pipeline_ref": ref} {
			if payload[name] != want {
				t.Errorf("%s = %q, want %q", name, payload[name], want)
			}
		}
	}
}

// The kind of an open stage is the claim stage_type, and cannot imitate that of a
// type of this package.
func TestOpenStageKind(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	const form = "is not of the form ^[A-Za-z][A-Za-z0-9_]{0,63}$"
	reasons := map[string]string{"": "is required"}
	for _, kind := range notWords {
		reasons[kind] = form
	}
	for _, kind := range []string{"CI", "Deployment", "Custom", "Approval", "IACM", "SecurityTests", "FeatureFlag", "Pipeline"} {
		reasons[kind] = "is that of another stage type, which has to be used"
		for _, spelled := range []string{strings.ToLower(kind), strings.ToUpper(kind), strings.ToLower(kind[:1]) + kind[1:]} {
			if spelled != kind {
				reasons[spelled] = `differs from "` + kind + `" in letter case only`
			}
		}
	}
	for kind, reason := range reasons {
		s := minimal()
		s.Stage = oidctoken.OpenStage{Kind: kind, ID: "s"}
		_, err := issuer.Mint(t.Context(), s)
		if diff := cmp.Diff(&oidctoken.ScopeError{Field: "Stage.Kind", Reason: reason}, scopeError(err)); diff != "" {
			t.Errorf("kind %.20q (-want +got):\n%s", kind, diff)
		}
	}
	for _, kind := range append(areWords, "Deploy", "CD", "PipelineStage", "OpenStage", "CI_") {
		s := minimal()
		s.Stage = oidctoken.OpenStage{Kind: kind, ID: "s"}
		if got := payloadOf(t, mint(t, issuer, s))["stage_type"]; got != kind {
			t.Errorf("stage_type = %v, want %s", got, kind)
		}
	}
}

// The claims of a stage are what the host gave it when the token was prepared.
func TestOpenStageIsCopied(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	s := inStage("open")
	want := must(issuer.Preview(t.Context(), s))
	text := must(want.MarshalJSON())
	stage := s.Stage.(oidctoken.OpenStage)
	stage.Service.ID, stage.Environment.ID, *stage.Environment.Protected = "x", "x", false
	stage.Infrastructure.ID, stage.Artifact.ID, stage.Workspace.ID = "x", "x", "x"
	s.PipelineTemplate.ID, *s.Execution.IsRollback = "x", true
	if diff := cmp.Diff(string(text), string(must(want.MarshalJSON()))); diff != "" {
		t.Errorf("claims after the scope changed (-want +got):\n%s", diff)
	}
	custom := inStage("custom")
	want = must(issuer.Preview(t.Context(), custom))
	custom.Stage.(oidctoken.Custom).Service.ID = "x"
	if got, _ := want.Get("service_id"); got != "checkout" {
		t.Errorf("service_id = %s after the scope changed", got)
	}
}

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
			t.Errorf("%v and %v: the same text is %t", a, b, same)
		}
	})
}

// A "$" cannot stand in an issuer's URL, and can everywhere else.
func TestAccountInURL(t *testing.T) {
	const dollar = "has a $, which cannot stand in the issuer's URL"
	for _, tt := range []struct {
		account string
		reason  string // where the URL holds the account
	}{
		{"6_vXHzo9Qeu9fXvj-AabCQ", ""}, {"42", ""}, {"-", ""}, {".hidden", ""}, {"...", ""}, {"a.b-c_d", ""},
		{"a$b", dollar}, {"$", dollar}, {"a$", dollar},
	} {
		s := minimal()
		s.Account.ID = tt.account
		mint(t, newIssuer(t, oidctoken.Config{}), s)

		url := issuerURL + "/t/{account_id}/v1"
		issuer := newIssuer(t, oidctoken.Config{URL: url})
		token, err := issuer.Mint(t.Context(), s)
		path := "/t/" + tt.account + "/v1" + discovery
		response := get(issuer, "GET", path)
		if tt.reason != "" {
			if diff := cmp.Diff(&oidctoken.ScopeError{Field: "Account.ID", Reason: tt.reason}, scopeError(err)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.account, diff)
			}
			if response.StatusCode != 404 {
				t.Errorf("GET %s: %s, want 404", path, response.Status)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.account, err)
			continue
		}
		want := strings.Replace(url, "{account_id}", tt.account, 1)
		if got := payloadOf(t, token)["iss"]; got != want {
			t.Errorf("iss = %v, want %s", got, want)
		}
		if got := object(t, []byte(body(t, response)))["issuer"]; got != want {
			t.Errorf("GET %s: issuer = %v, want %s", path, got, want)
		}
	}
}

// Policy and Audit receive the values that a token leaves out: they are the
// host's own.
func TestPolicySeesWhatIsLeftOut(t *testing.T) {
	long := strings.Repeat("x", 2000)
	var seen string
	issuer := newIssuer(t, oidctoken.Config{Allow: func(_ context.Context, s oidctoken.Scope) error {
		seen = s.Source.HeadRef
		return nil
	}})
	s := minimal()
	s.Source = &oidctoken.Source{HeadRef: long}
	mint(t, issuer, s)
	if seen != long {
		t.Errorf("policy saw %d bytes", len(seen))
	}
}
