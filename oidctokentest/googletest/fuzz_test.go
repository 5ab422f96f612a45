package googletest_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest/googletest"
	"github.com/oidctoken/oidctoken/oidctokentest/internal/standintest"
)

// Every JWT that the issuer did not sign is refused by the protocol. T05
func FuzzGoogleJWT(f *testing.F) {
	g := newGoogle(f)
	r := g.request()
	good := standintest.Sign(f, g.key, r.jose, r.claims)
	f.Add("")
	f.Add("a.b.c")
	f.Add("e30.e30.e30")
	f.Add(strings.Replace(good, ".", "=.", 1))
	f.Add(good[:len(good)-1])
	f.Add(good + ".a")
	f.Fuzz(func(t *testing.T, jwt string) {
		if jwt == good {
			t.Skip("it is signed")
		}
		r.form.Set("subject_token", jwt)
		answer := g.send(t, r)
		var got refusal
		if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || answer.Code != http.StatusBadRequest || got.Error == "" || got.Description == "" {
			t.Errorf("the STS answered %d to %q: %s", answer.Code, jwt, answer.Body)
		}
	})
}

// A second implementation of the part of CEL that New understands.
var (
	claim     = ` *(?:assertion\.[A-Za-z_][A-Za-z0-9_]*|assertion\[` + literal + `\]) *`
	term      = claim + `== *` + literal + ` *`
	mapping   = regexp.MustCompile(`\A(?:` + claim + `| *` + literal + ` *)\z`)
	condition = regexp.MustCompile(`\A(?:` + term + `(?:&&` + term + `)*)?\z`)
)

const literal = `(?:'[^'\\\r\n]*'|"[^"\\\r\n]*")`

// The constructor accepts a mapping or a condition, or names the field. No
// later call fails because of them.
func FuzzGoogleExpressions(f *testing.F) {
	f.Add("assertion.sub", "assertion.a == 'b'")
	f.Add("assertion['a']", `assertion["a"] == "b" && assertion.c == ''`)
	f.Add("'a'", "true")
	f.Add("assertion.", "assertion[")
	f.Add("assertion.1", "assertion.a=='b'&&")
	f.Add("'''a'''", "assertion.a == 'b' || assertion.a == 'c'")
	f.Fuzz(func(t *testing.T, m, c string) {
		_, err := googletest.New(googletest.Config{
			Providers: []googletest.Provider{{
				Name: provider, Issuer: "https://example.com",
				AttributeMapping: map[string]string{"attribute.a": m}, AttributeCondition: c,
			}},
		})
		want := mapping.MatchString(m) && condition.MatchString(c) && len(m) <= 2048 && len(c) <= 4096
		if want != (err == nil) {
			t.Errorf("NewGoogle with the mapping %q and the condition %q: %v", m, c, err)
		}
		var bad *oidctoken.ConfigError
		if err != nil && (!errors.As(err, &bad) || !strings.HasPrefix(bad.Field, "Providers[0].Attribute")) {
			t.Errorf("the error names no field: %v", err)
		}
	})
}

// A condition admits exactly the claims that it names.
func TestGoogleConditionAdmits(t *testing.T) {
	g := newGoogle(t)
	rapid.Check(t, func(rt *rapid.T) {
		claims := rapid.MapOfN(
			rapid.StringMatching(`x_[a-z]{1,8}`),
			rapid.StringMatching(`[ -&(-\[\]-~]{0,12}`), // printable but ' and \
			1, 4).Draw(rt, "claims")
		var terms []string
		r := g.request()
		for name, value := range claims {
			terms = append(terms, rapid.SampledFrom([]string{
				"assertion." + name + "=='" + value + "'", " assertion['" + name + "'] ==  '" + value + "' ",
			}).Draw(rt, "term"))
			r.claims[name] = value
		}
		other, err := googletest.New(googletest.Config{
			Providers: []googletest.Provider{{
				Name: provider, Issuer: g.issuer.URL, AttributeCondition: strings.Join(terms, "&&"),
			}},
		})
		if err != nil {
			rt.Fatal(err)
		}
		local := &google{other, g.issuer, g.key, g.kid}
		if answer := local.send(t, r); answer.Code != http.StatusOK {
			rt.Fatalf("the STS answered %d: %s", answer.Code, answer.Body)
		}
		for name, value := range claims {
			r.form.Del("subject_token")
			r.claims[name] = value + "x"
			if answer := local.send(t, r); !strings.Contains(answer.Body.String(), "rejected by the attribute condition") {
				rt.Fatalf("the STS answered %d: %s", answer.Code, answer.Body)
			}
			r.claims[name] = value
		}
	})
}
