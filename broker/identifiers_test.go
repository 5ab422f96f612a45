package broker_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
)

// IDs may be random, numbers, UUIDs or slugs. Every connector has its own files, with names
// that have no special meaning for a tool.
func TestFilesOfAnyIdentifier(t *testing.T) {
	const account = "6_vXHzo9Qeu9fXvj-AabCQ"
	const project = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
	config := brokerConfig(t, newCloud("gcp"))
	connectors := config.Connectors.(broker.ConnectorMap)
	ids := []string{"a$b", "a_b", "A$b", "a-b", "A-B", "-x", "_x", "--", "$HOME", "_HOME", "42", "007", "1e3", "account-x", strings.Repeat("-", 128)}
	var refs []string
	for _, id := range ids {
		for ref, key := range map[string]broker.ConnectorKey{
			id:              {Account: account, Organization: "0", Project: project, ID: id},
			"org." + id:     {Account: account, Organization: "0", ID: id},
			"account." + id: {Account: account, ID: id},
		} {
			connectors[key] = &broker.Connector{Audiences: []string{"https://vault.example.com", "https://other.example.com"}}
			refs = append(refs, ref)
		}
	}
	step := newStep(t, start(t, config), oidctoken.Scope{
		Account:      oidctoken.Entity{ID: account},
		Organization: oidctoken.Entity{ID: "0"},
		Project:      oidctoken.Entity{ID: project},
	})
	safe := regexp.MustCompile(`\A[A-Za-z0-9_][A-Za-z0-9_-]*\.jwt\z`)
	files := make(map[string]string)
	for _, ref := range refs {
		for _, audience := range []string{"https://vault.example.com", "https://other.example.com"} {
			got := expand(t, step, `<+secrets.getJWTFile("`+ref+`", "`+audience+`")>`)
			name := filepath.Base(got)
			if !safe.MatchString(name) || len(name) > 255 {
				t.Errorf("%s: the file is named %q", ref, name)
			}
			folded := strings.ToLower(name)
			if other, taken := files[folded]; taken {
				t.Errorf("%s and %s share the file %s", other, ref, name)
			}
			files[folded] = ref
		}
	}
}
