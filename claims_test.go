package oidctoken_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

// forAudit lists the claims that no policy rests on. The list is written by hand; it is
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

// T17: an invalid value of an audit claim is left out of the token and reported. It does
// not stop the token.
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
							t.Errorf("%s of %.20q: %s, want the payload of an unknown claim: %s", name, value, payload, want)
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

// Claims that are in the token, or unknown, are not reported as left out.
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
		t.Fatal("Mint accepted an account without an ID")
	}
	if e := r.only(t); e.Omitted != nil {
		t.Errorf("Omitted of a refusal = %q, want none", e.Omitted)
	}
}

// An audit claim that the subject names is required. Without it, the subject would equal
// the subject of another execution.
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

// A name of a branch that git accepts does not stop a token, with any subject.
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

// The claims are not secret, and do not contain the token.
func TestClaimsHoldNoToken(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	prepared, err := issuer.Prepare(t.Context(), full())
	if err != nil {
		t.Fatal(err)
	}
	token := must(prepared.Mint(t.Context()))
	for how, text := range renderings(prepared.Claims()) {
		if leaks(t, text, token.JWT()) {
			t.Errorf("Claims by %s reveals the token", how)
		}
	}
	for how, text := range renderings(prepared) {
		if leaks(t, text, token.JWT()) {
			t.Errorf("Prepared by %s reveals the token", how)
		}
	}
}

// One connector of an account serves every project. The token names the project of the
// execution, and the level of the connector beside it.
func TestConnectorServesEveryProject(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	subjects := map[string]bool{}
	for _, caller := range []struct{ organization, project, subject string }{
		{"payments", "ledger", "account/acme:org/payments:project/ledger"},
		{"payments", "cards", "account/acme:org/payments:project/cards"},
		{"retail", "ledger", "account/acme:org/retail:project/ledger"},
	} {
		s := minimal()
		s.Organization.ID, s.Project.ID = caller.organization, caller.project
		s.Connector = &oidctoken.Connector{ID: "cloud_prod", Level: oidctoken.AccountLevel}
		claims := payloadOf(t, mint(t, issuer, s))
		want := map[string]any{
			"sub": caller.subject, "organization_id": caller.organization, "project_id": caller.project,
			"connector_id": "cloud_prod", "connector_scope": "account",
		}
		for name, value := range want {
			if claims[name] != value {
				t.Errorf("%s = %v, want %v", name, claims[name], value)
			}
		}
		subjects[caller.subject] = true
	}
	if len(subjects) != 3 {
		t.Errorf("three projects have %d subjects", len(subjects))
	}
}

// T20: every value of the table is a string of the scope, or is made from the scope.
func TestClaimsComeFromTheScope(t *testing.T) {
	t.Setenv("OIDCTOKEN_PROJECT_ID", "forged")
	t.Setenv("PROJECT_ID", "forged")
	for stage := range stages() {
		s := inStage(stage)
		given, err := json.Marshal(s) // the scope has no hooks
		if err != nil {
			t.Fatal(err)
		}
		known := string(given) + issuerURL + ` "CI" "Deployment" "Custom" "Approval" "IACM" "SecurityTests" "FeatureFlag" "PIPELINE_EXECUTION"`
		claims := payloadOf(t, mint(t, newIssuer(t, oidctoken.Config{}), s))
		for _, row := range oidctoken.ClaimTable() {
			value, there := claims[row.Name]
			if !there {
				continue
			}
			text, ok := value.(string)
			if !ok || !strings.Contains(known, strings.Trim(string(must(json.Marshal(text))), `"`)) {
				t.Errorf("%s: %s = %v, which the scope does not contain", stage, row.Name, value)
			}
		}
	}
}

// Preview and Prepared return the claims of the token, in the same order.
func TestClaimsEqualPayload(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{ExtraPrefix: "acme_"})
	for stage := range stages() {
		for _, null := range []bool{false, true} {
			s := inStage(stage)
			s.Audience = `https://a.example/?<b>&"c"`
			s.Extra = map[string]string{"acme_cell": `"<7>"`}
			s.Profile = making(map[string]any{"z": []int{1}}, nil)
			s.Profile.NullUnknown = null
			preview, err := issuer.Preview(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			prepared, err := issuer.Prepare(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			for name, token := range map[string]*oidctoken.Token{
				"Mint": mint(t, issuer, s), "Prepared.Mint": must(prepared.Mint(t.Context())),
			} {
				_, payload, _, _ := parts(t, token.JWT())
				want, _, found := strings.Cut(string(payload), `,"iat":`)
				if !found {
					t.Fatalf("no iat behind the claims of %s", payload)
				}
				for from, claims := range map[string]*oidctoken.Claims{"Preview": preview, "Prepared.Claims": prepared.Claims()} {
					if diff := cmp.Diff(want+"}", string(must(claims.MarshalJSON()))); diff != "" {
						t.Errorf("%s, %s and %s (-payload +claims):\n%s", stage, name, from, diff)
					}
				}
			}
		}
	}
}

func TestClaimsGet(t *testing.T) {
	claims, err := newIssuer(t, oidctoken.Config{}).Preview(t.Context(), inStage("ci"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"iss": issuerURL, "sub": "account/acme:org/payments:project/ledger", "aud": "https://sts.example.com/full",
		"account_id": "acme", "is_fork": "false", "stage_type": "CI",
		"environment_id": "", "jti": "", "exp": "", "acme_cell": "", "": "", "ACCOUNT_ID": "",
	} {
		if got, known := claims.Get(name); got != want || known != (want != "") {
			t.Errorf("Get(%q) = %q, %t; want %q", name, got, known, want)
		}
	}
}
