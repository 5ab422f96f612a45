package googletest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest/googletest"
)

func TestNewGoogleRefuses(t *testing.T) {
	const (
		celMapping   = "needs CEL, which is not evaluated here: write assertion.x, assertion['x'] or a literal without escapes"
		celCondition = "needs CEL, which is not evaluated here: write assertion.x == 'v', or several of that joined by &&"
		badName      = "is not projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"
		badIssuer    = "is not an https URL, or one of http for a loopback host, without query and fragment"
		badAttribute = "is neither google.subject nor attribute.NAME with a NAME of 1 to 100 of a-z 0-9 _"
		badMember    = "is not principal://, principalSet:// or serviceAccount: with a full name, or names a group"
		badLifetime  = "is not between 1 and 12 hours, in whole seconds"
	)
	providers := func(field, reason string) *oidctoken.ConfigError {
		return &oidctoken.ConfigError{Package: "googletest", Field: "Providers[0]." + field, Reason: reason}
	}
	many := make(map[string]string)
	for i := range 51 {
		many[fmt.Sprintf("attribute.a%d", i)] = "assertion.sub"
	}
	for _, tt := range []struct {
		name  string
		spoil func(*googletest.Config, *googletest.Provider)
		want  *oidctoken.ConfigError
	}{
		{"no providers", func(c *googletest.Config, _ *googletest.Provider) { c.Providers = nil }, &oidctoken.ConfigError{Package: "googletest", Field: "Providers", Reason: "is required"}},
		{"no name", func(_ *googletest.Config, p *googletest.Provider) { p.Name = "" }, providers("Name", "is required")},
		{"a pool", func(_ *googletest.Config, p *googletest.Provider) { p.Name = pool }, providers("Name", badName)},
		{"project id", func(_ *googletest.Config, p *googletest.Provider) {
			p.Name = strings.Replace(provider, "123", "acme", 1)
		}, providers("Name", badName)},
		{"with host", func(_ *googletest.Config, p *googletest.Provider) {
			p.Name = "//iam.googleapis.com/" + provider
		}, providers("Name", badName)},
		{"no issuer", func(_ *googletest.Config, p *googletest.Provider) { p.Issuer = "" }, providers("Issuer", "is required")},
		{"plain http", func(_ *googletest.Config, p *googletest.Provider) { p.Issuer = "http://example.com" }, providers("Issuer", badIssuer)},
		{"query", func(_ *googletest.Config, p *googletest.Provider) {
			p.Issuer = "https://example.com?a"
		}, providers("Issuer", badIssuer)},
		{"11 audiences", func(_ *googletest.Config, p *googletest.Provider) {
			p.AllowedAudiences = strings.Split("abcdefghijk", "")
		}, providers("AllowedAudiences", "has more than 10")},
		{"long audience", func(_ *googletest.Config, p *googletest.Provider) {
			p.AllowedAudiences = []string{strings.Repeat("a", 257)}
		}, providers("AllowedAudiences", "has one that is not of 1 to 256 characters")},
		{"groups", func(_ *googletest.Config, p *googletest.Provider) {
			p.AttributeMapping = map[string]string{"google.groups": "assertion.groups"}
		}, providers(`AttributeMapping["google.groups"]`, badAttribute)},
		{"attribute in upper case", func(_ *googletest.Config, p *googletest.Provider) {
			p.AttributeMapping = map[string]string{"attribute.Env": "assertion.env"}
		}, providers(`AttributeMapping["attribute.Env"]`, badAttribute)},
		{"51 attributes", func(_ *googletest.Config, p *googletest.Provider) { p.AttributeMapping = many }, providers("AttributeMapping", "has more than 50 custom attributes")},
		{"long expression", func(_ *googletest.Config, p *googletest.Provider) {
			p.AttributeMapping = map[string]string{"google.subject": "'" + strings.Repeat("a", 2048) + "'"}
		}, providers(`AttributeMapping["google.subject"]`, "is longer than 2048 characters")},
		{"call", func(_ *googletest.Config, p *googletest.Provider) {
			p.AttributeMapping = map[string]string{"google.subject": "assertion.sub.extract('a/{b}')"}
		}, providers(`AttributeMapping["google.subject"]`, celMapping)},
		{"sum", func(_ *googletest.Config, p *googletest.Provider) {
			p.AttributeMapping = map[string]string{"google.subject": "'a' + assertion.sub"}
		}, providers(`AttributeMapping["google.subject"]`, celMapping)},
		{"escape", func(_ *googletest.Config, p *googletest.Provider) {
			p.AttributeMapping = map[string]string{"google.subject": `'a\n'`}
		}, providers(`AttributeMapping["google.subject"]`, celMapping)},
		{"three quotes", func(_ *googletest.Config, p *googletest.Provider) {
			p.AttributeMapping = map[string]string{"google.subject": `'''a'''`}
		}, providers(`AttributeMapping["google.subject"]`, celMapping)},
		{"or", func(_ *googletest.Config, p *googletest.Provider) {
			p.AttributeCondition = "assertion.a == 'x' || assertion.b == 'y'"
		}, providers("AttributeCondition", celCondition)},
		{"not equal", func(_ *googletest.Config, p *googletest.Provider) {
			p.AttributeCondition = "assertion.a != 'x'"
		}, providers("AttributeCondition", celCondition)},
		{"two claims", func(_ *googletest.Config, p *googletest.Provider) {
			p.AttributeCondition = "assertion.a == assertion.b"
		}, providers("AttributeCondition", celCondition)},
		{"no right side", func(_ *googletest.Config, p *googletest.Provider) {
			p.AttributeCondition = "assertion.a == 'x' &&"
		}, providers("AttributeCondition", celCondition)},
		{"long condition", func(_ *googletest.Config, p *googletest.Provider) {
			p.AttributeCondition = "assertion.a == '" + strings.Repeat("a", 4096) + "'"
		}, providers("AttributeCondition", "is longer than 4096 characters")},
		{"no key", func(_ *googletest.Config, p *googletest.Provider) {
			p.JWKSet = []byte(`{"keys":[]}`)
		}, providers("JWKSet", "is not a JWK Set with a key in it")},
		{"member", func(_ *googletest.Config, p *googletest.Provider) {
			p.JWKSet = []byte(`{"keys":[{"kty":"RSA","x5t":"a"}]}`)
		}, providers("JWKSet", `has a member that Google refuses, "x5t"`)},
		{"broken key", func(_ *googletest.Config, p *googletest.Provider) {
			p.JWKSet = []byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"a"}]}`)
		}, providers("JWKSet", "has a key that is not valid")},
		{"same provider", func(c *googletest.Config, p *googletest.Provider) {
			c.Providers = append(c.Providers, *p)
		}, &oidctoken.ConfigError{Package: "googletest", Field: "Providers[1].Name", Reason: "is that of another provider, too"}},
		{"no address", func(c *googletest.Config, _ *googletest.Provider) {
			c.ServiceAccounts = []googletest.ServiceAccount{{Email: "deployer"}}
		}, &oidctoken.ConfigError{Package: "googletest", Field: "ServiceAccounts[0].Email", Reason: "is not the e-mail address of a service account"}},
		{"same account", func(c *googletest.Config, _ *googletest.Provider) {
			c.ServiceAccounts = []googletest.ServiceAccount{{Email: deployer}, {Email: deployer}}
		}, &oidctoken.ConfigError{Package: "googletest", Field: "ServiceAccounts[1].Email", Reason: "is that of another account, too"}},
		{"short lifetime", func(c *googletest.Config, _ *googletest.Provider) {
			c.ServiceAccounts = []googletest.ServiceAccount{{Email: deployer, MaxLifetime: time.Minute}}
		}, &oidctoken.ConfigError{Package: "googletest", Field: "ServiceAccounts[0].MaxLifetime", Reason: badLifetime}},
		{"long lifetime", func(c *googletest.Config, _ *googletest.Provider) {
			c.ServiceAccounts = []googletest.ServiceAccount{{Email: deployer, MaxLifetime: 13 * time.Hour}}
		}, &oidctoken.ConfigError{Package: "googletest", Field: "ServiceAccounts[0].MaxLifetime", Reason: badLifetime}},
		{"project without number", func(c *googletest.Config, _ *googletest.Provider) {
			c.Projects = []googletest.Project{{ID: "acme"}}
		}, &oidctoken.ConfigError{Package: "googletest", Field: "Projects[0]", Reason: "has no ID, or no Number in digits"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := googletest.Config{Providers: []googletest.Provider{{Name: provider, Issuer: "https://example.com"}}}
			tt.spoil(&c, &c.Providers[0])
			_, err := googletest.New(c)
			var got *oidctoken.ConfigError
			errors.As(err, &got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("NewGoogle (-want +got):\n%s", diff)
			}
		})
	}
	for _, member := range []string{
		"", "user:me@example.com", "allUsers", "serviceAccount:me",
		"principal://iam.googleapis.com/" + pool, "principal://iam.googleapis.com/" + pool + "/subject/",
		"principal://iam.googleapis.com/" + strings.Replace(pool, "123", "acme", 1) + "/subject/a",
		"principalSet://iam.googleapis.com/" + pool, "principalSet://iam.googleapis.com/" + pool + "/group/a",
		"principalSet://iam.googleapis.com/" + pool + "/attribute.a", "principalSet://iam.googleapis.com/" + pool + "/attribute.A/b",
		"principalSet://iam.googleapis.com/*",
	} {
		_, err := googletest.New(googletest.Config{
			Providers:       []googletest.Provider{{Name: provider, Issuer: "https://example.com"}},
			ServiceAccounts: []googletest.ServiceAccount{{Email: deployer, Members: []string{member}}},
		})
		var got *oidctoken.ConfigError
		errors.As(err, &got)
		want := &oidctoken.ConfigError{Package: "googletest", Field: "ServiceAccounts[0].Members[0]", Reason: badMember}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("NewGoogle with the member %q (-want +got):\n%s", member, diff)
		}
	}
}

func TestGoogleMapping(t *testing.T) {
	for _, tt := range []struct {
		name      string
		mapping   map[string]string
		condition string
		want      map[string]string
	}{
		{"default", nil, "", map[string]string{"google.subject": "account/acme"}},
		{"claims", map[string]string{
			"google.subject":   "assertion.environment_id",
			"attribute.env":    " assertion['environment_id'] ",
			"attribute.tag":    `assertion["https://example.com/tag"]`,
			"attribute.pool_1": `"literal"`,
		}, "", map[string]string{
			"google.subject": "prod", "attribute.env": "prod", "attribute.tag": "", "attribute.pool_1": "literal",
		}},
		{"condition", nil, `assertion.environment_id == 'prod'&&assertion['sub']=="account/acme"`, map[string]string{"google.subject": "account/acme"}},
		{"condition with && in a literal", nil, "assertion.odd == 'a && b == c'", map[string]string{"google.subject": "account/acme"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGoogle(t, func(c *googletest.Config) {
				c.Providers[0].AttributeMapping, c.Providers[0].AttributeCondition = tt.mapping, tt.condition
			})
			r := g.request()
			r.claims["https://example.com/tag"], r.claims["odd"] = "", "a && b == c"
			grant, ok := g.Lookup(g.exchange(t, r))
			if diff := cmp.Diff(tt.want, grant.Attributes); diff != "" || !ok {
				t.Errorf("Attributes %v (-want +got):\n%s", ok, diff)
			}
		})
	}
}

func TestGoogleMappingRefuses(t *testing.T) {
	rejected := `{"error":"unauthorized_client","error_description":"The given credential is rejected by the attribute condition."}`
	for _, tt := range []struct {
		name, mapping, condition string
		claim                    any
		want                     string
	}{
		{"missing claim", "assertion.other", "", nil, `{"error":"unauthorized_client","error_description":"Could not obtain a value for attribute.a from the given credential. Please check the attribute mapping for this Identity Provider."}`},
		{"null claim", "assertion.x", "", nil, `{"error":"unauthorized_client","error_description":"The mapped attribute 'attribute.a' must be of type STRING."}`},
		{"list", "assertion.x", "", []string{"a"}, `{"error":"unauthorized_client","error_description":"The mapped attribute 'attribute.a' must be of type STRING."}`},
		{"too much", "assertion.x", "", strings.Repeat("x", 8<<10), `{"error":"invalid_request","error_description":"The size of all mapped attributes exceeds the 8192 bytes limit."}`},
		{"other value", "'a'", "assertion.x == 'prod'", "test", rejected},
		{"value in another case", "'a'", "assertion.x == 'prod'", "Prod", rejected},
		{"second part", "'a'", "assertion.x == 'prod' && assertion.sub == 'other'", "prod", rejected},
		{"claim of the condition is missing", "'a'", "assertion.other == 'prod'", "prod", rejected},
		{"null is not empty", "'a'", "assertion.x == ''", nil, rejected},
		{"true is not a string", "'a'", "assertion.x == 'true'", true, rejected},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGoogle(t, func(c *googletest.Config) {
				c.Providers[0].AttributeMapping = map[string]string{"attribute.a": tt.mapping}
				c.Providers[0].AttributeCondition = tt.condition
			})
			r := g.request()
			r.claims["x"] = tt.claim
			answer := g.send(t, r)
			if diff := cmp.Diff(tt.want+"\n", answer.Body.String()); diff != "" || answer.Code != 400 {
				t.Errorf("the STS answered %d (-want +got):\n%s", answer.Code, diff)
			}
		})
	}
}

// A mapping that leaves "sub" aside does not make it optional.
func TestGoogleDemandsSub(t *testing.T) {
	g := newGoogle(t, func(c *googletest.Config) {
		c.Providers[0].AttributeMapping = map[string]string{"google.subject": "assertion.environment_id"}
	})
	r := g.request()
	delete(r.claims, "sub")
	want := `{"error":"invalid_grant","error_description":"ID Token does not contain user's identity in 'sub' claim."}` + "\n"
	if diff := cmp.Diff(want, g.send(t, r).Body.String()); diff != "" {
		t.Errorf("the STS (-want +got):\n%s", diff)
	}
}
