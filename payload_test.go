package oidctoken_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

// An account's ID may contain "$", unless it is in the issuer's URL.
func TestAccountInURL(t *testing.T) {
	const dollar = "has a $, which the issuer's URL cannot contain"
	for _, tt := range []struct {
		account string
		reason  string // if the URL contains the account
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

// The issuer identifier with the account's ID must not be too long.
func TestIssuerURLOfLongAccount(t *testing.T) {
	url := "https://a.example/" + strings.Repeat("x", 200) + "/{account_id}"
	issuer := newIssuer(t, oidctoken.Config{URL: url})
	for _, tt := range []struct {
		account string
		want    *oidctoken.ScopeError
	}{
		{strings.Repeat("a", 255-len(url)+len("{account_id}")), nil},
		{strings.Repeat("a", 256-len(url)+len("{account_id}")), &oidctoken.ScopeError{
			Field: "Account.ID", Reason: "makes the issuer identifier longer than 255 bytes"}},
		{"a/b", &oidctoken.ScopeError{Field: "Account.ID", Reason: "is not an identifier: 1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or .."}},
	} {
		s := minimal()
		s.Account.ID = tt.account
		_, err := issuer.Mint(t.Context(), s)
		if diff := cmp.Diff(tt.want, scopeError(err)); diff != "" || (tt.want == nil && err != nil) {
			t.Errorf("%d bytes: %v (-want +got):\n%s", len(tt.account), err, diff)
		}
	}
}

// T18
func TestExtraRefused(t *testing.T) {
	long := strings.Repeat("x", 1<<16)
	for _, tt := range []struct{ prefix, name, value, field, reason string }{
		{"", "acme_cell", "7", `Extra["acme_cell"]`, "does not begin with Config.ExtraPrefix"},
		{"acme_", "cell", "7", `Extra["cell"]`, "does not begin with Config.ExtraPrefix"},
		{"acme_", "Acme_cell", "7", `Extra["Acme_cell"]`, "does not begin with Config.ExtraPrefix"},
		{"acme_", "acme_cell", "", `Extra["acme_cell"]`, "is empty"},
		{"acme_", "acme_cell", "a\x00", `Extra["acme_cell"]`, "has a control character"},
		{"acme_", "acme_cell", "a\xff", `Extra["acme_cell"]`, "is not valid UTF-8"},
		{"acme_", "acme_cell", long, `Extra["acme_cell"]`, "is longer than 1024 bytes"},
		{"acme_", "acme_\"", "x", `Extra["acme_\""]`, "is not a claim's name: 1 to 256 bytes of printable ASCII"},
		{"acme_", "acme_é", "x", `Extra["acme_\u00e9"]`, "is not a claim's name: 1 to 256 bytes of printable ASCII"},
		{"acme_", "acme_" + long, "x", `Extra["acme_` + long[:59] + `"]`, "is not a claim's name: 1 to 256 bytes of printable ASCII"},
		{"s", "sub", "x", `Extra["sub"]`, "is the name of a claim of this package"},
		{"S", "SUB", "x", `Extra["SUB"]`, "is the name of a claim of this package"},
		{"project", "project_id", "x", `Extra["project_id"]`, "is the name of a claim of this package"},
		{"project", "project_ID", "x", `Extra["project_ID"]`, "is the name of a claim of this package"},
		{"", "", "x", `Extra[""]`, "is not a claim's name: 1 to 256 bytes of printable ASCII"},
	} {
		issuer := newIssuer(t, oidctoken.Config{ExtraPrefix: tt.prefix})
		s := full()
		s.Extra = map[string]string{tt.name: tt.value}
		_, err := issuer.Mint(t.Context(), s)
		if diff := cmp.Diff(&oidctoken.ScopeError{Field: tt.field, Reason: tt.reason}, scopeError(err)); diff != "" {
			t.Errorf("%.20q with prefix %q (-want +got):\n%s", tt.name, tt.prefix, diff)
		}
	}
}

// ours returns the names of the table and of the registered claims.
func ours() []string {
	names := append([]string(nil), oidctoken.RegisteredClaims()...)
	for _, row := range oidctoken.ClaimTable() {
		names = append(names, row.Name)
	}
	return names
}

// T18
func TestNoNameOfOursCanBeTaken(t *testing.T) {
	for _, name := range ours() {
		for _, spelled := range []string{name, strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:]} {
			issuer := newIssuer(t, oidctoken.Config{ExtraPrefix: spelled[:1]})
			s := minimal()
			s.Extra = map[string]string{spelled: "forged"}
			if _, err := issuer.Mint(t.Context(), s); scopeError(err) == nil || scopeError(err).Field != `Extra["`+spelled+`"]` {
				t.Errorf("Extra[%s]: %v, want a *ScopeError for it", spelled, err)
			}
			s = minimal()
			s.Profile = making(map[string]any{spelled: "forged"}, nil)
			if _, err := issuer.Mint(t.Context(), s); scopeError(err) == nil || scopeError(err).Field != `Profile.Claims["`+spelled+`"]` {
				t.Errorf("Profile.Claims[%s]: %v, want a *ScopeError for it", spelled, err)
			}
			_, err := oidctoken.NewIssuer(oidctoken.Config{
				URL: issuerURL, Keys: oidctoken.StaticKeys{{Signer: memory(edKey())}}, ExtraPrefix: spelled,
			})
			if got := configError(err); got == nil || got.Field != "ExtraPrefix" {
				t.Errorf("ExtraPrefix %s: %v, want a *ConfigError for it", spelled, err)
			}
		}
	}
}

// Claims outside the table are sorted by name, first those of the host, then those of the
// profile. No name occurs twice.
func TestOrderOfClaims(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{ExtraPrefix: "acme_"})
	s := minimal()
	s.Extra = map[string]string{"acme_b": "2", "acme_a": "1", "acme_c": `"3\`}
	s.Profile = making(map[string]any{"z": map[string][]string{"k": {"v"}}, "https://cloud.example/tags": 1.5}, nil)
	token := mint(t, issuer, s)
	_, payload, _, _ := parts(t, token.JWT())
	want := []string{
		"iss", "sub", "aud", "account_id", "context", "acme_a", "acme_b", "acme_c",
		"https://cloud.example/tags", "z", "iat", "nbf", "exp", "jti",
	}
	if diff := cmp.Diff(want, members(t, payload)); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	claims := payloadOf(t, token)
	if diff := cmp.Diff(map[string]any{"k": []any{"v"}}, claims["z"]); diff != "" {
		t.Errorf("z (-want +got):\n%s", diff)
	}
	if claims["acme_c"] != `"3\` {
		t.Errorf("acme_c = %v", claims["acme_c"])
	}
}

// Claims contains host-defined claims, which session tags of AWS can use.
func TestExtraInClaims(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{ExtraPrefix: "acme_"})
	s := minimal()
	s.Extra = map[string]string{"acme_cell": "7"}
	var hooked string
	s.Profile = &oidctoken.Profile{Algorithms: []string{"EdDSA"}, Claims: func(c *oidctoken.Claims) (map[string]any, error) {
		hooked, _ = c.Get("acme_cell")
		return nil, nil
	}}
	claims, err := issuer.Preview(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	s.Extra["acme_cell"], s.Extra["acme_zone"] = "8", "a" // the claims are a copy
	got, known := claims.Get("acme_cell")
	_, other := claims.Get("acme_zone")
	if got != "7" || hooked != "7" || !known || other {
		t.Errorf("Get(acme_cell) = %q, %t; in the hook %q; Get(acme_zone) is known: %t", got, known, hooked, other)
	}
}

// T12
func TestAudience(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for _, audience := range []string{"a", "sts.amazonaws.com", "api://AzureADTokenExchange", `"quoted\`, "a,b", "<&>", strings.Repeat("a", 600)} {
		s := minimal()
		s.Audience = audience
		if got := payloadOf(t, mint(t, issuer, s))["aud"]; got != audience {
			t.Errorf("aud = %v, want the string %q", got, audience)
		}
	}
	for audience, reason := range map[string]string{
		strings.Repeat("a", 601): "is longer than 600 bytes",
		"a b":                    "is not printable ASCII without spaces",
		" a":                     "is not printable ASCII without spaces",
		"a\n":                    "is not printable ASCII without spaces",
		"é":                      "is not printable ASCII without spaces",
		"\xff":                   "is not printable ASCII without spaces",
	} {
		s := minimal()
		s.Audience = audience
		_, err := issuer.Mint(t.Context(), s)
		if diff := cmp.Diff(&oidctoken.ScopeError{Field: "Audience", Reason: reason}, scopeError(err)); diff != "" {
			t.Errorf("Mint for %.20q (-want +got):\n%s", audience, diff)
		}
	}
}

// T18: two names that differ only in letter case are refused, since a careless verifier
// would confuse the claims.
func TestNamesDifferByCase(t *testing.T) {
	claims := func(names ...string) *oidctoken.Profile {
		return &oidctoken.Profile{Algorithms: []string{"EdDSA"}, Claims: func(*oidctoken.Claims) (map[string]any, error) {
			made := make(map[string]any)
			for _, name := range names {
				made[name] = true
			}
			return made, nil
		}}
	}
	const reason = "differs from another name in letter case only"
	for _, tt := range []struct {
		name    string
		extra   []string
		profile *oidctoken.Profile
		want    *oidctoken.ScopeError
	}{
		{"of Extra", []string{"acme_team", "acme_Team"}, nil, &oidctoken.ScopeError{Field: `Extra["acme_team"]`, Reason: reason}},
		{"of the profile", nil, claims("urn:x:Roles", "urn:x:roles"), &oidctoken.ScopeError{Field: `Profile.Claims["urn:x:roles"]`, Reason: reason}},
		{"of both", []string{"acme_team"}, claims("ACME_team"), &oidctoken.ScopeError{Field: `Profile.Claims["ACME_team"]`, Reason: reason}},
		{"the same", []string{"acme_team"}, claims("acme_team"), &oidctoken.ScopeError{Field: `Profile.Claims["acme_team"]`, Reason: "is also a name in Extra"}},
		{"others", []string{"acme_team", "acme_teams"}, claims("acme", "urn:x"), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := minimal()
			s.Profile = tt.profile
			s.Extra = make(map[string]string)
			for _, name := range tt.extra {
				s.Extra[name] = "v"
			}
			_, err := newIssuer(t, oidctoken.Config{ExtraPrefix: "acme_"}).Mint(t.Context(), s)
			if diff := cmp.Diff(tt.want, scopeError(err)); diff != "" || tt.want == nil && err != nil {
				t.Errorf("Mint: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}
