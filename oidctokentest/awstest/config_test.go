package awstest_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest/awstest"
)

func TestNewAWSRefuses(t *testing.T) {
	const (
		issuer    = "https://ci.example.com"
		notIssuer = "is not an https URL, or one of http for a loopback host, without query and fragment"
		notARN    = "is not arn:PARTITION:iam::ACCOUNT:role/NAME"
		notKey    = "is not a condition key of a private issuer: these are sub and aud"
	)
	type config = awstest.Config
	for _, tt := range []struct {
		name   string
		change func(*config)
		want   oidctoken.ConfigError
	}{
		{"no providers", func(c *config) { c.Providers = nil }, oidctoken.ConfigError{Package: "awstest", Field: "Providers", Reason: "is required"}},
		{"no roles", func(c *config) { c.Roles = nil }, oidctoken.ConfigError{Package: "awstest", Field: "Roles", Reason: "is required"}},
		{"account", func(c *config) { c.Providers[0].Account = "acme" }, oidctoken.ConfigError{Package: "awstest", Field: "Providers[0].Account", Reason: "is not of 12 digits"}},
		{"no URL", func(c *config) { c.Providers[0].Issuer = "" }, oidctoken.ConfigError{Package: "awstest", Field: "Providers[0].Issuer", Reason: "is required"}},
		{"plain http", func(c *config) { c.Providers[0].Issuer = "http://ci.example.com" }, oidctoken.ConfigError{Package: "awstest", Field: "Providers[0].Issuer", Reason: notIssuer}},
		{"query", func(c *config) { c.Providers[0].Issuer += "?x" }, oidctoken.ConfigError{Package: "awstest", Field: "Providers[0].Issuer", Reason: notIssuer}},
		{"long URL", func(c *config) { c.Providers[0].Issuer += "/" + strings.Repeat("x", 255) },
			oidctoken.ConfigError{Package: "awstest", Field: "Providers[0].Issuer", Reason: "is longer than 255 characters"}},
		{"no client id", func(c *config) { c.Providers[0].ClientIDs = nil }, oidctoken.ConfigError{Package: "awstest", Field: "Providers[0].ClientIDs", Reason: "has not 1 to 100"}},
		{"many client ids", func(c *config) { c.Providers[0].ClientIDs = make([]string, 101) }, oidctoken.ConfigError{Package: "awstest", Field: "Providers[0].ClientIDs", Reason: "has not 1 to 100"}},
		{"long client id", func(c *config) { c.Providers[0].ClientIDs[0] = strings.Repeat("a", 256) },
			oidctoken.ConfigError{Package: "awstest", Field: "Providers[0].ClientIDs", Reason: "has one that is not of 1 to 255 characters"}},
		{"provider twice", func(c *config) { c.Providers = append(c.Providers, c.Providers[0]) },
			oidctoken.ConfigError{Package: "awstest", Field: "Providers[1].Issuer", Reason: "is that of another provider of the account, too"}},

		{"role name", func(c *config) { c.Roles[0].ARN = "deployer" }, oidctoken.ConfigError{Package: "awstest", Field: "Roles[0].ARN", Reason: notARN}},
		{"user", func(c *config) { c.Roles[0].ARN = "arn:aws:iam::123456789012:user/deployer" }, oidctoken.ConfigError{Package: "awstest", Field: "Roles[0].ARN", Reason: notARN}},
		{"role without name", func(c *config) { c.Roles[0].ARN = "arn:aws:iam::123456789012:role/" }, oidctoken.ConfigError{Package: "awstest", Field: "Roles[0].ARN", Reason: notARN}},
		{"role twice", func(c *config) { c.Roles = append(c.Roles, c.Roles[0]) }, oidctoken.ConfigError{Package: "awstest", Field: "Roles[1].ARN", Reason: "is that of another role, too"}},
		{"short maximum", func(c *config) { c.Roles[0].MaxSessionDuration = 59 * time.Minute },
			oidctoken.ConfigError{Package: "awstest", Field: "Roles[0].MaxSessionDuration", Reason: "is not between 1 and 12 hours, in whole seconds"}},
		{"long maximum", func(c *config) { c.Roles[0].MaxSessionDuration = 13 * time.Hour },
			oidctoken.ConfigError{Package: "awstest", Field: "Roles[0].MaxSessionDuration", Reason: "is not between 1 and 12 hours, in whole seconds"}},
		{"unknown provider", func(c *config) { c.Roles[0].Trust[0].Provider += "/" },
			oidctoken.ConfigError{Package: "awstest", Field: "Roles[0].Trust[0].Provider", Reason: "is not the Issuer of a provider of the role's account"}},
		{"provider of another account", func(c *config) { c.Providers[0].Account = "999999999999" },
			oidctoken.ConfigError{Package: "awstest", Field: "Roles[0].Trust[0].Provider", Reason: "is not the Issuer of a provider of the role's account"}},
		{"custom claim", func(c *config) { c.Roles[0].Trust[0].StringEquals["project_id"] = []string{"ledger"} },
			oidctoken.ConfigError{Package: "awstest", Field: `Roles[0].Trust[0].StringEquals["project_id"]`, Reason: notKey}},
		{"custom claim, like", func(c *config) { c.Roles[0].Trust[0].StringLike["email"] = []string{"*"} },
			oidctoken.ConfigError{Package: "awstest", Field: `Roles[0].Trust[0].StringLike["email"]`, Reason: notKey}},
		{"condition without value", func(c *config) { c.Roles[0].Trust[0].StringEquals["aud"] = nil },
			oidctoken.ConfigError{Package: "awstest", Field: `Roles[0].Trust[0].StringEquals["aud"]`, Reason: "has no value"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := awsConfig(issuer)
			tt.change(&c)
			_, err := awstest.New(c)
			var got *oidctoken.ConfigError
			errors.As(err, &got)
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("NewAWS (-want +got):\n%s", diff)
			}
		})
	}
}

// The conditions of a trust policy, each with the subjects that it admits.
func TestAWSTrustConditions(t *testing.T) {
	like := func(patterns ...string) awstest.Trust {
		return awstest.Trust{StringLike: map[string][]string{"sub": patterns}}
	}
	equal := func(values ...string) awstest.Trust {
		return awstest.Trust{StringEquals: map[string][]string{"sub": values}}
	}
	for _, tt := range []struct {
		name    string
		trust   []awstest.Trust
		subject string
		want    bool
	}{
		{"no statement", nil, "account/acme", false},
		{"no condition", []awstest.Trust{{}}, "account/acme", true},
		{"equal", []awstest.Trust{equal("account/acme")}, "account/acme", true},
		{"one of several", []awstest.Trust{equal("account/a", "account/acme")}, "account/acme", true},
		{"another statement", []awstest.Trust{equal("account/a"), equal("account/acme")}, "account/acme", true},
		{"other subject", []awstest.Trust{equal("account/acme")}, "account/acme2", false},
		{"other case", []awstest.Trust{equal("account/acme")}, "account/Acme", false},
		{"wildcards are none in StringEquals", []awstest.Trust{equal("account/*")}, "account/acme", false},
		{"like", []awstest.Trust{like("account/acme:*")}, "account/acme:org/payments", true},
		{"nothing for *", []awstest.Trust{like("account/acme*")}, "account/acme", true},
		{"like, anchored in front", []awstest.Trust{like("acme:*")}, "account/acme:org/payments", false},
		{"like, anchored behind", []awstest.Trust{like("*:org/pay")}, "account/acme:org/payments", false},
		{"several *", []awstest.Trust{like("*:org/*:project/ledger")}, "account/acme:org/payments:project/ledger", true},
		{"* that has to go back", []awstest.Trust{like("*ab*abc")}, "xabababc", true},
		{"* that goes back in vain", []awstest.Trust{like("*ab*abd")}, "xabababc", false},
		{"one character", []awstest.Trust{like("account/acm?")}, "account/acme", true},
		{"one character too few", []awstest.Trust{like("account/acme?")}, "account/acme", false},
		{"both conditions", []awstest.Trust{{
			StringEquals: map[string][]string{"aud": {"other"}}, StringLike: map[string][]string{"sub": {"*"}},
		}}, "account/acme", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAWS(t, func(c *awstest.Config) {
				for i := range tt.trust {
					tt.trust[i].Provider = c.Providers[0].Issuer
				}
				c.Roles[0].Trust = tt.trust
			})
			r := a.request()
			r.claims["sub"] = tt.subject
			answer := a.send(t, r)
			if got := answer.Code == 200; got != tt.want {
				t.Errorf("admitted: %v, want %v: %s", got, tt.want, answer.Body)
			}
			if !tt.want {
				if got := readAWSRefusal(t, answer).Code; got != "AccessDenied" {
					t.Errorf("code = %s, want AccessDenied", got)
				}
			}
		})
	}
}

// A pattern of many stars takes no long time.
func TestAWSPatternIsFast(t *testing.T) {
	a := newAWS(t, func(c *awstest.Config) {
		c.Roles[0].Trust[0].StringLike["sub"] = []string{strings.Repeat("*a", 1<<16) + "b"}
	})
	r := a.request()
	r.claims["sub"] = strings.Repeat("a", 255)
	if answer := a.send(t, r); answer.Code != 403 {
		t.Errorf("STS answered %d: %s", answer.Code, answer.Body)
	}
}
