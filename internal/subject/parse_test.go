package subject_test

import (
	"testing"

	"github.com/oidctoken/oidctoken/internal/subject"
)

type scope map[string]string

// newParser returns a parser of templates that name the claims account_id, project_id
// and project_uid.
func newParser() *subject.Parser[scope] {
	entities := map[string]string{"account_id": "Account", "project_id": "Project", "project_uid": "Project"}
	return &subject.Parser[scope]{Claim: func(name string) *subject.Claim[scope] {
		if entities[name] == "" {
			return nil
		}
		return &subject.Claim[scope]{Name: name, Entity: entities[name], Value: func(s *scope) string { return (*s)[name] }}
	}}
}

func TestAppend(t *testing.T) {
	for _, tt := range []struct {
		template string
		scope    scope
		want     string
		err      subject.Error
	}{
		{"account/{account_id}", scope{"account_id": "acme"}, "account/acme", subject.Error{}},
		{"account/{account_id}", scope{"account_id": "a:b"}, "account/a%3Ab", subject.Error{}},
		{"{account_id}[:project/{project_id}]", scope{"account_id": "acme"}, "acme", subject.Error{}},
		{"{account_id}[:project/{project_id}]", scope{"account_id": "acme", "project_id": "p"}, "acme:project/p", subject.Error{}},
		{"{account_id}:{project_id}", scope{"account_id": "acme"}, "", subject.Error{Claim: "project_id", Reason: "is unknown, but the profile's subject requires it"}},
		{"{account_id}[:{project_id}@{project_uid}]", scope{"account_id": "acme", "project_id": "p"}, "",
			subject.Error{Claim: "project_uid", Reason: "is unknown, but the profile's subject names it beside {project_id}, which is known"}},
	} {
		template, reason := newParser().Parse(tt.template)
		if reason != "" {
			t.Fatalf("%s: %s", tt.template, reason)
		}
		got, err := template.Append(nil, &tt.scope)
		if err == nil {
			err = new(subject.Error)
		}
		if string(got) != tt.want || *err != tt.err {
			t.Errorf("%s: Append = %q, %+v; want %q, %+v", tt.template, got, *err, tt.want, tt.err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "account/{account_id}", "{account_id}[:{project_id}]", "[", "{", "]", "[:x/{project_id}]{account_id}", "{x}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, template string) {
		p := newParser()
		first, reason := p.Parse(template)
		again, sameReason := p.Parse(template)
		if first != again || reason != sameReason || (first == nil) != (reason != "") {
			t.Errorf("Parse(%q) = %p, %q and then %p, %q", template, first, reason, again, sameReason)
		}
	})
}
