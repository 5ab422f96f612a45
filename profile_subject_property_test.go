package oidctoken_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken"
)

// knowledge holds the values of the claims that a template may name, "" if unknown.
type knowledge map[string]string

var (
	identifiers = []string{"account_id", "organization_id", "project_id"}
	texts       = []string{"account_uid", "organization_uid", "project_uid", "ref", "sha", "service_name", "execution_id", "runner_id", "acme_cell", "acme_zone"}

	// pairs lists claims of one entity, which may share brackets.
	pairs = []string{"{organization_id}@{organization_uid}", "{project_uid}@{project_id}", "{ref}@{sha}", "{organization_id}/{organization_uid}@{account_id}"}
)

// tricky lists values that resemble the template around them, or each other.
var tricky = []string{
	"", "a", "aa", "b", ":", "a:b", "/", "a/b", "%", "%3A", "a%3Ab", "%253A", ":org/a", "[a]", "{ref}",
	"а", // Cyrillic
	"A", "é", "e\u0301", " ", " a", `"`, `\`, `\"`, "~", "-", "\ufffd", "a\xff", "\x00",
}

func (k knowledge) scope(template string) oidctoken.Scope {
	return oidctoken.Scope{
		Audience:     "sts.example.com",
		Profile:      withSubject(template),
		Account:      oidctoken.Entity{ID: k["account_id"], UID: k["account_uid"]},
		Organization: oidctoken.Entity{ID: k["organization_id"], UID: k["organization_uid"]},
		Project:      oidctoken.Entity{ID: k["project_id"], UID: k["project_uid"]},
		Source:       &oidctoken.Source{Ref: k["ref"], SHA: k["sha"]},
		Execution:    &oidctoken.Execution{ID: k["execution_id"]},
		Runner:       &oidctoken.Runner{ID: k["runner_id"]},
		Stage:        oidctoken.Deployment{Service: &oidctoken.Entity{ID: "service", Name: k["service_name"]}},
		Extra:        k.extra(),
	}
}

// extra returns the host-defined claims that k knows.
func (k knowledge) extra() map[string]string {
	extra := make(map[string]string)
	for _, name := range []string{"acme_cell", "acme_zone"} {
		if k[name] != "" {
			extra[name] = k[name]
		}
	}
	return extra
}

// named returns k without the claims that the template does not name.
func (k knowledge) named(template string) string {
	var b strings.Builder
	for _, name := range append(identifiers, texts...) {
		if strings.Contains(template, "{"+name+"}") {
			b.WriteString(name + "=" + k[name] + "\x00")
		}
	}
	return b.String()
}

func drawKnowledge(t *rapid.T) knowledge {
	k := knowledge{"account_id": rapid.SampledFrom([]string{"a", "b", "aa", "$", "a$", "-", "a.b", "_", "24"}).Draw(t, "account_id")}
	for _, name := range identifiers[1:] {
		k[name] = rapid.SampledFrom([]string{"", "a", "b", "$", "24", "a-b", ".a", "a."}).Draw(t, name)
	}
	plain := rapid.SampledFrom([]string{"", "a", "aa", "b"})
	for _, name := range texts {
		k[name] = rapid.OneOf(plain, plain, plain, rapid.SampledFrom(tricky), rapid.StringN(0, 3, -1)).Draw(t, name)
	}
	return k
}

// drawTemplate returns templates. Many of them are valid, and their labels are easy to
// confuse.
func drawTemplate(t *rapid.T) string {
	labels := []string{":", ":a", ":aa", "a", "/"}
	if rapid.Bool().Draw(t, "wild") {
		labels = []string{":", "/", ":a", ":a/", ":b/", "a", "b", "", "-", "/a:", "::", "(", "."}
	}
	label := rapid.SampledFrom(labels)
	claim := rapid.Map(rapid.SampledFrom(append(identifiers, texts...)), func(name string) string { return "{" + name + "}" })
	var b strings.Builder
	b.WriteString(rapid.SampledFrom([]string{"{account_id}", "{account_uid}", "a/{account_id}", ""}).Draw(t, "account"))
	for range rapid.IntRange(0, 4).Draw(t, "segments") {
		inside := label.Draw(t, "label") + claim.Draw(t, "claim")
		if rapid.IntRange(0, 5).Draw(t, "more") == 0 {
			inside += label.Draw(t, "label") + claim.Draw(t, "claim")
		}
		if rapid.IntRange(0, 3).Draw(t, "pair") == 0 {
			inside = label.Draw(t, "label") + rapid.SampledFrom(pairs).Draw(t, "pair")
		}
		if rapid.IntRange(0, 3).Draw(t, "closed") == 0 {
			inside += label.Draw(t, "closing label")
		}
		if rapid.IntRange(0, 2).Draw(t, "optional") > 0 {
			inside = "[" + inside + "]"
		}
		b.WriteString(inside)
	}
	return b.String()
}

// T11, T17
func TestSubjectIsInjective(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{ExtraPrefix: "acme_"})
	drawn, accepted, rendered := 0, 0, 0
	property := func(rt *rapid.T) {
		template := drawTemplate(rt)
		drawn++
		if template == "" {
			template = oidctoken.DefaultSubject
		}
		seen := map[string]knowledge{}
		for i := range 60 {
			k := drawKnowledge(rt)
			subject, err := subjectOf(t.Context(), issuer, k.scope(template))
			if e := scopeError(err); e != nil && e.Field == "Profile.Subject" && !strings.HasPrefix(e.Reason, "makes a subject") {
				return // the template is refused
			}
			if i == 0 {
				accepted++
			}
			if err != nil {
				continue
			}
			rendered++
			if other, there := seen[subject]; there && other.named(template) != k.named(template) {
				rt.Fatalf("template %q renders %q for\n%q and\n%q", template, subject, k.named(template), other.named(template))
			}
			seen[subject] = k
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		for range 25 {
			property(rt)
		}
	})
	// With too few subjects, the property was not tested.
	if accepted*10 < drawn || rendered < accepted {
		t.Errorf("of %d templates, %d were accepted and gave %d subjects: too few", drawn, accepted, rendered)
	}
}

// T11, T17
func FuzzSubject(f *testing.F) {
	issuer := newIssuer(f, oidctoken.Config{ExtraPrefix: "acme_"})
	f.Add("", "a", "b", "", "a:b", "", "")
	f.Add("{account_id}:{ref}:{sha}", "a", "a", "x:y", "x", "z", "y:z")
	f.Add("{account_id}[:r/{ref}][/s/{sha}]", "a", "a", "%2F", "/", "а", "a")
	f.Add("{account_uid}[:{ref}:{sha}]", "a", "b", "\xff", "\ufffd", `"`, " ")
	f.Add("{account_id}[:{ref}@{sha}][/{acme_cell}]", "$", "24", "a", "%24", "-", ".")
	f.Fuzz(func(t *testing.T, template, account1, account2, ref1, ref2, sha1, sha2 string) {
		if template == "" {
			template = oidctoken.DefaultSubject
		}
		one := knowledge{"account_id": account1, "account_uid": account1, "ref": ref1, "sha": sha1, "organization_id": ref1, "organization_uid": sha1, "acme_cell": sha1}
		two := knowledge{"account_id": account2, "account_uid": account2, "ref": ref2, "sha": sha2, "organization_id": ref2, "organization_uid": sha2, "acme_cell": sha2}
		first, err1 := subjectOf(t.Context(), issuer, one.scope(template))
		second, err2 := subjectOf(t.Context(), issuer, two.scope(template))
		for _, v := range []struct {
			ref, subject string
			err          error
		}{{ref1, first, err1}, {ref2, second, err2}} {
			if v.err == nil && !utf8.ValidString(v.ref) {
				t.Errorf("Mint accepted %q", v.ref)
			}
			if v.err != nil && scopeError(v.err) == nil {
				t.Errorf("error %v is not a *ScopeError", v.err)
			}
			if strings.Trim(v.subject, "!#$&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~%") != "" {
				t.Errorf("sub %q has a character that a subject cannot have", v.subject)
			}
		}
		if err1 == nil && err2 == nil && (first == second) != (one.named(template) == two.named(template)) {
			t.Errorf("template %q: %q for %q, %q for %q", template, first, one.named(template), second, two.named(template))
		}
	})
}

// An ID that looks like the structure of a subject cannot imitate another subject.
func TestSubjectForgery(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for _, id := range []string{"a:project/b", "a/b", "a%3Aproject%2Fb", "а", "a\xff", "a b", `a"`, "[a]", "{a}", "a\n", "a@b", ".", "..", "a~b"} {
		s := minimal()
		s.Organization.ID = id
		_, err := issuer.Mint(t.Context(), s)
		if got := scopeError(err); got == nil || got.Field != "Organization.ID" {
			t.Errorf("organization %q: %v, want a *ScopeError", id, err)
		}
	}
}

// T11: if each account has an issuer identifier, a token of one account differs from all
// tokens of another, for all labels of a template.
func TestLabelsOfAnotherAccount(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{URL: issuerURL + "/{account_id}"})
	victim := minimal()
	victim.Account.ID, victim.Project.ID = "victim", "ledger"
	attacker := minimal()
	attacker.Account.ID = "ledger"
	attacker.Profile = &oidctoken.Profile{Algorithms: []string{"EdDSA"}, Subject: "account/victim:project/{account_id}"}
	var identities [2]string
	for i, s := range []oidctoken.Scope{victim, attacker} {
		payload := payloadOf(t, mint(t, issuer, s))
		if payload["sub"] != "account/victim:project/ledger" {
			t.Fatalf("sub is %v: the labels do not imitate the other account", payload["sub"])
		}
		identities[i] = fmt.Sprint(payload["iss"], payload["sub"])
	}
	if identities[0] == identities[1] {
		t.Errorf("two accounts have the identity %s", identities[0])
	}
}

// Templates that do not fit into the issuer's cache are parsed each time.
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
