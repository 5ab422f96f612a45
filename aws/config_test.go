package aws_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/aws"
)

func TestNewRefuses(t *testing.T) {
	const (
		notRole   = "is not arn:PARTITION:iam::ACCOUNT:role/PATH/NAME, of 20 to 2048 characters"
		notName   = "has a role name that is not of 1 to 64 letters, digits and _+=,.@-"
		notRegion = "is not the name of a Region, such as eu-west-1"
		elsewhere = "is in another partition than RoleARN"
		notPolicy = "is not of 1 to 2048 characters, up to U+00FF and without control characters"
		notClaim  = "is not the name of a claim"
		policyARN = "arn:aws:iam::aws:policy/ReadOnlyAccess"
	)
	many := func(n int) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprintf("claim_%d", i))
		}
		return names
	}
	role := func(s string) func(*aws.Config) { return func(c *aws.Config) { c.RoleARN = s } }
	in := func(s string) func(*aws.Config) { return func(c *aws.Config) { c.Region = s } }
	endpoint := func(s string) func(*aws.Config) { return func(c *aws.Config) { c.Endpoint = s } }
	policy := func(s string) func(*aws.Config) { return func(c *aws.Config) { c.SessionPolicy = s } }
	policies := func(s ...string) func(*aws.Config) { return func(c *aws.Config) { c.PolicyARNs = s } }
	tags := func(s ...string) func(*aws.Config) { return func(c *aws.Config) { c.SessionTags = s } }
	for _, tt := range []struct {
		name   string
		change func(*aws.Config)
		want   oidctoken.ConfigError
	}{
		{"no role", role(""), oidctoken.ConfigError{Package: "aws", Field: "RoleARN", Reason: "is required"}},
		{"role name alone", role("deployer"), oidctoken.ConfigError{Package: "aws", Field: "RoleARN", Reason: notRole}},
		{"user", role("arn:aws:iam::123456789012:user/deployer"), oidctoken.ConfigError{Package: "aws", Field: "RoleARN", Reason: notRole}},
		{"assumed role", role("arn:aws:sts::123456789012:assumed-role/deployer/x"), oidctoken.ConfigError{Package: "aws", Field: "RoleARN", Reason: notRole}},
		{"role with region", role("arn:aws:iam:eu-west-1:123456789012:role/deployer"), oidctoken.ConfigError{Package: "aws", Field: "RoleARN", Reason: notRole}},
		{"short account", role("arn:aws:iam::12345678901:role/deployer"), oidctoken.ConfigError{Package: "aws", Field: "RoleARN", Reason: notRole}},
		{"account alias", role("arn:aws:iam::acme-prod:role/deployer"), oidctoken.ConfigError{Package: "aws", Field: "RoleARN", Reason: notRole}},
		{"role of AWS", role("arn:aws:iam::aws:role/deployer"), oidctoken.ConfigError{Package: "aws", Field: "RoleARN", Reason: notRole}},
		{"other partition", role("arn:gcp:iam::123456789012:role/deployer"), oidctoken.ConfigError{Package: "aws", Field: "RoleARN", Reason: notRole}},
		{"role with space", role("arn:aws:iam::123456789012:role/a b"), oidctoken.ConfigError{Package: "aws", Field: "RoleARN", Reason: notRole}},
		{"long role", role("arn:aws:iam::123456789012:role/" + strings.Repeat("p/", 1010) + "x"), oidctoken.ConfigError{Package: "aws", Field: "RoleARN", Reason: notRole}},
		{"no role name", role("arn:aws:iam::123456789012:role/path/"), oidctoken.ConfigError{Package: "aws", Field: "RoleARN", Reason: notName}},
		{"long role name", role("arn:aws:iam::123456789012:role/" + strings.Repeat("n", 65)), oidctoken.ConfigError{Package: "aws", Field: "RoleARN", Reason: notName}},
		{"role with wildcard", role("arn:aws:iam::123456789012:role/*"), oidctoken.ConfigError{Package: "aws", Field: "RoleARN", Reason: notName}},
		{"long path", role("arn:aws:iam::123456789012:role/" + strings.Repeat("p", 511) + "/x"),
			oidctoken.ConfigError{Package: "aws", Field: "RoleARN", Reason: "has a path of more than 512 characters"}},

		{"no region", in(""), oidctoken.ConfigError{Package: "aws", Field: "Region", Reason: "is required"}},
		{"zone", in("eu-west-1a"), oidctoken.ConfigError{Package: "aws", Field: "Region", Reason: notRegion}},
		{"global", in("aws-global"), oidctoken.ConfigError{Package: "aws", Field: "Region", Reason: notRegion}},
		{"region with host", in("eu-west-1.example.com/"), oidctoken.ConfigError{Package: "aws", Field: "Region", Reason: notRegion}},
		{"region in capitals", in("EU-WEST-1"), oidctoken.ConfigError{Package: "aws", Field: "Region", Reason: notRegion}},
		{"region without name", in("--1"), oidctoken.ConfigError{Package: "aws", Field: "Region", Reason: notRegion}},
		{"long region", in("eu-" + strings.Repeat("w", 30) + "-1"), oidctoken.ConfigError{Package: "aws", Field: "Region", Reason: notRegion}},
		{"China", in("cn-north-1"), oidctoken.ConfigError{Package: "aws", Field: "Region", Reason: elsewhere}},
		{"GovCloud", in("us-gov-west-1"), oidctoken.ConfigError{Package: "aws", Field: "Region", Reason: elsewhere}},

		{"plain http", endpoint("http://sts.example.com"), oidctoken.ConfigError{Package: "aws", Field: "Endpoint", Reason: "is plain http to a host that is not loopback"}},
		{"user information", endpoint("https://a:b@sts.example.com"), oidctoken.ConfigError{Package: "aws", Field: "Endpoint", Reason: "holds user information"}},
		{"query", endpoint("https://sts.example.com/?x"), oidctoken.ConfigError{Package: "aws", Field: "Endpoint", Reason: "has a query"}},
		{"fragment", endpoint("https://sts.example.com/#x"), oidctoken.ConfigError{Package: "aws", Field: "Endpoint", Reason: "has a fragment"}},
		{"host alone", endpoint("sts.example.com"), oidctoken.ConfigError{Package: "aws", Field: "Endpoint", Reason: "is not https"}},
		{"line break", endpoint("https://sts.example.com\n"), oidctoken.ConfigError{Package: "aws", Field: "Endpoint", Reason: "is not a URL"}},

		{"long audience", func(c *aws.Config) { c.Audience = strings.Repeat("a", 256) }, oidctoken.ConfigError{Package: "aws", Field: "Audience", Reason: "is longer than 255 characters"}},
		{"audience with space", func(c *aws.Config) { c.Audience = "a b" }, oidctoken.ConfigError{Package: "aws", Field: "Audience", Reason: "is not printable ASCII without spaces"}},

		{"short lifetime", func(c *aws.Config) { c.Lifetime = 899 * time.Second }, oidctoken.ConfigError{Package: "aws", Field: "Lifetime", Reason: "is not between 15 minutes and 12 hours"}},
		{"long lifetime", func(c *aws.Config) { c.Lifetime = 43201 * time.Second }, oidctoken.ConfigError{Package: "aws", Field: "Lifetime", Reason: "is not between 15 minutes and 12 hours"}},
		{"part of a second", func(c *aws.Config) { c.Lifetime = time.Hour + 1 }, oidctoken.ConfigError{Package: "aws", Field: "Lifetime", Reason: "is not in whole seconds"}},
		{"negative timeout", func(c *aws.Config) { c.Timeout = -1 }, oidctoken.ConfigError{Package: "aws", Field: "Timeout", Reason: "is negative"}},
		{"negative budget", func(c *aws.Config) { c.Budget = -1 }, oidctoken.ConfigError{Package: "aws", Field: "Budget", Reason: "is negative"}},

		{"long policy", policy(`{"Version":"` + strings.Repeat("v", 2048) + `"}`), oidctoken.ConfigError{Package: "aws", Field: "SessionPolicy", Reason: notPolicy}},
		{"policy beyond Latin 1", policy(`{"Version":"€"}`), oidctoken.ConfigError{Package: "aws", Field: "SessionPolicy", Reason: notPolicy}},
		{"policy with NUL", policy("{\x00}"), oidctoken.ConfigError{Package: "aws", Field: "SessionPolicy", Reason: notPolicy}},
		{"policy of bad UTF-8", policy("{\"\xff\":1}"), oidctoken.ConfigError{Package: "aws", Field: "SessionPolicy", Reason: notPolicy}},
		{"policy is no JSON", policy("{"), oidctoken.ConfigError{Package: "aws", Field: "SessionPolicy", Reason: "is not a JSON object"}},
		{"policy is a string", policy(`"x"`), oidctoken.ConfigError{Package: "aws", Field: "SessionPolicy", Reason: "is not a JSON object"}},
		{"policy is space", policy(" "), oidctoken.ConfigError{Package: "aws", Field: "SessionPolicy", Reason: "is not a JSON object"}},
		{"many policies", policies(make([]string, 11)...), oidctoken.ConfigError{Package: "aws", Field: "PolicyARNs", Reason: "has more than 10"}},
		{"policy name", policies(policyARN, "ReadOnlyAccess"), oidctoken.ConfigError{Package: "aws", Field: "PolicyARNs[1]", Reason: "is not arn:PARTITION:iam::ACCOUNT:policy/NAME"}},
		{"role for a policy", policies(roleARN), oidctoken.ConfigError{Package: "aws", Field: "PolicyARNs[0]", Reason: "is not arn:PARTITION:iam::ACCOUNT:policy/NAME"}},
		{"policy of another account", policies("arn:aws:iam::999999999999:policy/x"), oidctoken.ConfigError{Package: "aws", Field: "PolicyARNs[0]", Reason: "is of neither RoleARN's account nor AWS"}},
		{"policy of another partition", policies("arn:aws-cn:iam::aws:policy/ReadOnlyAccess"), oidctoken.ConfigError{Package: "aws", Field: "PolicyARNs[0]", Reason: "is of neither RoleARN's account nor AWS"}},

		{"many tags", tags(many(51)...), oidctoken.ConfigError{Package: "aws", Field: "SessionTags", Reason: "has more than 50"}},
		{"empty tag", tags("project_id", ""), oidctoken.ConfigError{Package: "aws", Field: "SessionTags[1]", Reason: notClaim}},
		{"claim of the table in capitals", tags("Project_ID"), oidctoken.ConfigError{Package: "aws", Field: "SessionTags[0]", Reason: notClaim}},
		{"claim of the table, misspelled", tags("projct_id"), oidctoken.ConfigError{Package: "aws", Field: "SessionTags[0]", Reason: notClaim + ": did you mean project_id?"}},
		{"registered claim", tags("iss"), oidctoken.ConfigError{Package: "aws", Field: "SessionTags[0]", Reason: notClaim}},
		{"registered claim in capitals", tags("SUB"), oidctoken.ConfigError{Package: "aws", Field: "SessionTags[0]", Reason: notClaim}},
		{"tag with a character that no key has", tags("acme_team#1"), oidctoken.ConfigError{Package: "aws", Field: "SessionTags[0]", Reason: notClaim}},
		{"tag with a space", tags("acme team"), oidctoken.ConfigError{Package: "aws", Field: "SessionTags[0]", Reason: notClaim}},
		{"reserved tag in capitals", tags("AWS:acme"), oidctoken.ConfigError{Package: "aws", Field: "SessionTags[0]", Reason: notClaim}},
		{"tags that differ in case", tags("acme_team", "acme_Team"), oidctoken.ConfigError{Package: "aws", Field: "SessionTags[1]", Reason: "differs from another in letter case only, and AWS takes the two for one"}},
		{"unfit tag of no tag", func(c *aws.Config) { c.UnfitTags = map[string]aws.Unfit{"ref": aws.UnfitOmit} },
			oidctoken.ConfigError{Package: "aws", Field: `UnfitTags["ref"]`, Reason: "is not one of SessionTags"}},
		{"unknown unfit tag", func(c *aws.Config) {
			c.SessionTags, c.UnfitTags = []string{"ref"}, map[string]aws.Unfit{"ref": aws.UnfitEncode + 1}
		}, oidctoken.ConfigError{Package: "aws", Field: `UnfitTags["ref"]`, Reason: "is not one of UnfitFail, UnfitOmit and UnfitEncode"}},
		{"unknown unfit source identity", func(c *aws.Config) { c.UnfitSourceIdentity = aws.UnfitEncode + 1 },
			oidctoken.ConfigError{Package: "aws", Field: "UnfitSourceIdentity", Reason: "is not one of UnfitFail, UnfitOmit and UnfitEncode"}},
		{"reserved tag", tags("aws:project"), oidctoken.ConfigError{Package: "aws", Field: "SessionTags[0]", Reason: notClaim}},
		{"long tag", tags(strings.Repeat("a", 129)), oidctoken.ConfigError{Package: "aws", Field: "SessionTags[0]", Reason: notClaim}},
		{"tag twice", tags("project_id", "account_id", "project_id"), oidctoken.ConfigError{Package: "aws", Field: "SessionTags[2]", Reason: "is named before"}},
		{"transitive key of no tag", func(c *aws.Config) { c.TransitiveTagKeys = []string{"project_id"} },
			oidctoken.ConfigError{Package: "aws", Field: "TransitiveTagKeys[0]", Reason: "is not one of SessionTags"}},
		{"transitive key twice", func(c *aws.Config) {
			c.SessionTags, c.TransitiveTagKeys = []string{"project_id"}, []string{"project_id", "project_id"}
		}, oidctoken.ConfigError{Package: "aws", Field: "TransitiveTagKeys[1]", Reason: "is named before"}},
		{"source identity template", func(c *aws.Config) { c.SourceIdentity = "{triggered_by_id}" }, oidctoken.ConfigError{Package: "aws", Field: "SourceIdentity", Reason: notClaim}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := aws.Config{RoleARN: roleARN, Region: region}
			tt.change(&c)
			e, err := aws.New(c)
			if e != nil {
				t.Errorf("New returned an Exchanger")
			}
			if diff := cmp.Diff(&tt.want, configError(err)); diff != "" {
				t.Errorf("New (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNewAccepts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config aws.Config
		want   string // where requests go
	}{
		{"least", aws.Config{}, "https://sts.eu-west-1.amazonaws.com/"},
		{"path", aws.Config{RoleARN: "arn:aws:iam::123456789012:role/a/b/" + strings.Repeat("n", 64)}, "https://sts.eu-west-1.amazonaws.com/"},
		{"long path", aws.Config{RoleARN: "arn:aws:iam::123456789012:role/" + strings.Repeat("p", 510) + "/x"}, "https://sts.eu-west-1.amazonaws.com/"},
		{"limits", aws.Config{Audience: strings.Repeat("a", 255), Lifetime: 12 * time.Hour, SessionPolicy: `{"a":"` + strings.Repeat("ÿ", 2040) + `"}`},
			"https://sts.eu-west-1.amazonaws.com/"},
		{"China", aws.Config{RoleARN: "arn:aws-cn:iam::123456789012:role/x", Region: "cn-north-1"}, "https://sts.cn-north-1.amazonaws.com.cn/"},
		{"GovCloud", aws.Config{RoleARN: "arn:aws-us-gov:iam::123456789012:role/x", Region: "us-gov-west-1"}, "https://sts.us-gov-west-1.amazonaws.com/"},
		{"iso", aws.Config{RoleARN: "arn:aws-iso:iam::123456789012:role/x", Region: "us-iso-east-1"}, "https://sts.us-iso-east-1.c2s.ic.gov/"},
		{"iso-b", aws.Config{RoleARN: "arn:aws-iso-b:iam::123456789012:role/x", Region: "us-isob-east-1"}, "https://sts.us-isob-east-1.sc2s.sgov.gov/"},
		{"iso-e", aws.Config{RoleARN: "arn:aws-iso-e:iam::123456789012:role/x", Region: "eu-isoe-west-1"}, "https://sts.eu-isoe-west-1.cloud.adc-e.uk/"},
		{"iso-f", aws.Config{RoleARN: "arn:aws-iso-f:iam::123456789012:role/x", Region: "us-isof-south-1"}, "https://sts.us-isof-south-1.csp.hci.ic.gov/"},
		{"European Sovereign Cloud", aws.Config{RoleARN: "arn:aws-eusc:iam::123456789012:role/x", Region: "eusc-de-east-1"}, "https://sts.eusc-de-east-1.amazonaws.eu/"},
		{"endpoint", aws.Config{Endpoint: "https://sts-fips.us-east-1.amazonaws.com"}, "https://sts-fips.us-east-1.amazonaws.com/"},
		{"endpoint with slash", aws.Config{Endpoint: "http://127.0.0.1:8080/sts/"}, "http://127.0.0.1:8080/sts/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &sts{answers: []answer{good(time.Now().Add(time.Hour))}}
			role := tt.config.RoleARN
			if role == "" {
				role = roleARN
			}
			m := &minter{claims: map[string]any{"https://aws.amazon.com/roles": []string{"arn:aws:iam::123456789012:role/other", role}}}
			if _, err := newExchanger(t, s, tt.config).Exchange(t.Context(), m.request()); err != nil {
				t.Fatal(err)
			}
			if got := s.asked()[0].URL; got != tt.want {
				t.Errorf("asked %s, want %s", got, tt.want)
			}
		})
	}
}

// A change to a slice of the Config after New changes nothing.
func TestConfigIsCopied(t *testing.T) {
	c := aws.Config{RoleARN: roleARN, Region: region, PolicyARNs: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}}
	s := &sts{answers: []answer{good(time.Now().Add(time.Hour))}}
	e := newExchanger(t, s, c)
	c.PolicyARNs[0] = "arn:aws:iam::aws:policy/AdministratorAccess"
	if _, err := e.Exchange(t.Context(), (&minter{}).request()); err != nil {
		t.Fatal(err)
	}
	if body := s.asked()[0].Body; strings.Contains(body, "Administrator") || !strings.Contains(body, "ReadOnlyAccess") {
		t.Errorf("the request is not that of the Config at New: %s", body)
	}
}
