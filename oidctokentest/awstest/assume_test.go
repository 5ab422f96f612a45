package awstest_test

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/oidctokentest/awstest"
)

// Each rule is broken once.
func TestAWSRefuses(t *testing.T) {
	const (
		invalid    = "InvalidIdentityToken"
		validation = "ValidationError"
		denied     = "AccessDenied"
		notJWT     = "not a valid JWT"
		tagsFault  = awsTags + " is malformed"
		policyARN  = "arn:aws:iam::aws:policy/ReadOnlyAccess"
	)
	now := time.Now().Unix()
	set := func(name, value string) func(*awsRequest) { return func(r *awsRequest) { r.form.Set(name, value) } }
	claim := func(name string, value any) func(*awsRequest) { return func(r *awsRequest) { r.claims[name] = value } }
	without := func(name string) func(*awsRequest) { return func(r *awsRequest) { delete(r.claims, name) } }
	jose := func(name string, value any) func(*awsRequest) { return func(r *awsRequest) { r.jose[name] = value } }
	jwt := func(f func(string) string) func(*awsRequest) { return func(r *awsRequest) { r.jwt = f } }
	tags := func(tags map[string]any, transitive ...string) func(*awsRequest) {
		return func(r *awsRequest) {
			r.claims[awsTags] = map[string]any{"principal_tags": tags, "transitive_tag_keys": transitive}
		}
	}
	many := make(map[string]any)
	for i := range 51 {
		many[fmt.Sprintf("k%d", i)] = []string{"v"}
	}
	for _, tt := range []struct {
		name   string
		cloud  func(*awstest.Config)
		change func(*awsRequest)
		status int
		code   string
		words  string
	}{
		{"GET", nil, func(r *awsRequest) { r.method = http.MethodGet }, 400, "InvalidAction", ""},
		{"path", nil, func(r *awsRequest) { r.path = "/x" }, 400, "InvalidAction", ""},
		{"query", nil, func(r *awsRequest) { r.path = "/?Action=AssumeRoleWithWebIdentity" }, 400, "InvalidAction", ""},
		{"JSON", nil, func(r *awsRequest) { r.header.Set("Content-Type", "application/json") }, 400, "MissingAction", ""},
		{"no action", nil, set("Action", ""), 400, "MissingAction", ""},
		{"other action", nil, set("Action", "AssumeRole"), 400, "InvalidAction", "AssumeRole for version"},
		{"other version", nil, set("Version", "2010-05-08"), 400, "InvalidAction", "2010-05-08"},
		{"unknown parameter", nil, set("ProviderId", "graph.facebook.com"), 400, "UnknownParameter", "ProviderId"},
		{"parameter twice", nil, func(r *awsRequest) { r.form.Add("RoleArn", awsRole) }, 400, "MalformedQueryString", "RoleArn"},
		{"no form", nil, func(r *awsRequest) { r.body = "%zz" }, 400, "MalformedQueryString", ""},
		{"long", nil, func(r *awsRequest) { r.body = strings.Repeat("a", 128<<10+1) }, 413, "RequestEntityTooLarge", ""},
		{"signed", nil, func(r *awsRequest) { r.header.Set("Authorization", "AWS4-HMAC-SHA256 x") }, 403, "InvalidClientTokenId", ""},
		{"session token", nil, func(r *awsRequest) { r.header.Set("X-Amz-Security-Token", "x") }, 403, "InvalidClientTokenId", ""},

		{"no role", nil, set("RoleArn", ""), 400, validation, "roleArn"},
		{"long role", nil, set("RoleArn", awsRole+strings.Repeat("x", 2048)), 400, validation, "roleArn"},
		{"not a role", nil, set("RoleArn", "arn:aws:iam::123456789012:user/deployer"), 400, validation, "Request ARN is invalid"},
		{"no session name", nil, set("RoleSessionName", ""), 400, validation, "roleSessionName"},
		{"short session name", nil, set("RoleSessionName", "a"), 400, validation, "roleSessionName"},
		{"long session name", nil, set("RoleSessionName", strings.Repeat("a", 65)), 400, validation, "roleSessionName"},
		{"session name with a colon", nil, set("RoleSessionName", "a:b"), 400, validation, "roleSessionName"},
		{"session name with a slash", nil, set("RoleSessionName", "a/b"), 400, validation, "roleSessionName"},
		{"no JWT", nil, set("WebIdentityToken", ""), 400, validation, "webIdentityToken"},
		{"short JWT", nil, set("WebIdentityToken", "a.b"), 400, validation, "webIdentityToken"},
		{"long JWT", nil, set("WebIdentityToken", strings.Repeat("a", 20001)), 400, validation, "webIdentityToken"},
		{"short duration", nil, set("DurationSeconds", "899"), 400, validation, "durationSeconds"},
		{"long duration", nil, set("DurationSeconds", "43201"), 400, validation, "durationSeconds"},
		{"duration in words", nil, set("DurationSeconds", "1h"), 400, validation, "durationSeconds"},
		{"duration over the role's maximum", nil, set("DurationSeconds", "7201"), 400, validation, "exceeds the MaxSessionDuration"},

		{"no policy", nil, set("Policy", ""), 400, validation, "policy"},
		{"long policy", nil, set("Policy", `{"x":"`+strings.Repeat("x", 2048)+`"}`), 400, validation, "policy"},
		{"policy is no JSON", nil, set("Policy", "{"), 400, "MalformedPolicyDocument", ""},
		{"policy without version", nil, set("Policy", `{"Statement":[]}`), 400, "MalformedPolicyDocument", ""},
		{"policy without statement", nil, set("Policy", `{"Version":"2012-10-17"}`), 400, "MalformedPolicyDocument", ""},
		{"policy ARN", nil, set("PolicyArns.member.1.arn", "ReadOnlyAccess"), 400, validation, "managed policy ARN"},
		{"policy of another account", nil, set("PolicyArns.member.1.arn", "arn:aws:iam::999999999999:policy/x"), 400, validation, "managed policy ARN"},
		{"many policies", nil, func(r *awsRequest) {
			for i := range 11 {
				r.form.Set(fmt.Sprintf("PolicyArns.member.%d.arn", i+1), policyARN)
			}
		}, 400, validation, "policyArns"},
		{"policies too large together", nil, func(r *awsRequest) {
			r.form.Set("Policy", `{"Version":"2012-10-17","Statement":[],"Id":"`+strings.Repeat("x", 1990)+`"}`)
			r.form.Set("PolicyArns.member.1.arn", policyARN)
		}, 400, "PackedPolicyTooLarge", "Packed policy consumes"},

		{"two parts", nil, jwt(func(s string) string { return s[:strings.LastIndex(s, ".")] }), 400, invalid, notJWT},
		{"line break", nil, jwt(func(s string) string { return s + "\n" }), 400, invalid, notJWT},
		{"padding", nil, jwt(func(s string) string { return s + "=" }), 400, invalid, notJWT},
		{"crit", nil, jose("crit", []string{"x"}), 400, invalid, notJWT},
		{"EdDSA", nil, jose("alg", "EdDSA"), 400, invalid, "algorithm"},
		{"none", nil, jose("alg", "none"), 400, invalid, "algorithm"},
		{"HMAC", nil, jose("alg", "HS256"), 400, invalid, "algorithm"},
		{"PSS", nil, jose("alg", "PS256"), 400, invalid, "algorithm"},
		{"other alg than the key's", nil, jose("alg", "RS512"), 400, invalid, "verification key"},
		{"no kid", nil, func(r *awsRequest) { delete(r.jose, "kid") }, 400, invalid, "verification key"},
		{"unknown kid", nil, jose("kid", "k1"), 400, invalid, "verification key"},
		{"signature of another key", nil, func(r *awsRequest) { r.key = oidctokentest.NewKey(t, "RS256") }, 400, invalid, "signature"},

		{"no iss", nil, without("iss"), 400, invalid, "Missing a required claim: iss"},
		{"iss with a slash", nil, func(r *awsRequest) { r.claims["iss"] = r.claims["iss"].(string) + "/" }, 400, invalid, "No OpenIDConnect provider found"},
		{"other account", nil, set("RoleArn", "arn:aws:iam::999999999999:role/deployer"), 400, invalid, "No OpenIDConnect provider found"},
		{"no sub", nil, without("sub"), 400, invalid, "Missing a required claim: sub"},
		{"empty sub", nil, claim("sub", ""), 400, invalid, "sub"},
		{"sub is a number", nil, claim("sub", 1), 400, invalid, "sub"},
		{"long sub", nil, claim("sub", "account/acme:"+strings.Repeat("x", 255)), 400, invalid, "longer than 255"},
		{"no aud", nil, without("aud"), 400, invalid, "Missing a required claim: aud"},
		{"two audiences", nil, claim("aud", []string{"sts.amazonaws.com", "x"}), 400, invalid, "aud is not one string"},
		{"other aud", nil, claim("aud", "https://sts.amazonaws.com"), 400, invalid, "Incorrect token audience"},
		{"no iat", nil, without("iat"), 400, invalid, "Missing a required claim: iat"},
		{"no exp", nil, without("exp"), 400, invalid, "Missing a required claim: exp"},
		{"exp is a fraction", nil, claim("exp", float64(now)+900.5), 400, invalid, "exp is not an integer"},
		{"exp is a string", nil, claim("exp", "1"), 400, invalid, "exp is not an integer"},
		{"over", nil, claim("exp", now-1), 400, "ExpiredTokenException", "Token expired: current date/time"},
		{"old", nil, func(r *awsRequest) { r.claims["iat"], r.claims["exp"] = now-86500, now+60 }, 400, "ExpiredTokenException", "24 hours"},
		{"iat in the future", nil, func(r *awsRequest) { r.claims["iat"] = now + 120 }, 400, invalid, "not valid yet"},
		{"nbf in the future", nil, claim("nbf", now+120), 400, invalid, "not valid yet"},

		{"another provider's statement", func(c *awstest.Config) {
			c.Providers = append(c.Providers, awstest.Provider{Account: awsAccount, Issuer: "https://other.example.com", ClientIDs: []string{"x"}})
			c.Roles[0].Trust[0].Provider = "https://other.example.com"
		}, func(*awsRequest) {}, 403, denied, "Not authorized"},
		{"unknown role", nil, set("RoleArn", awsRole+"2"), 403, denied, "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
		{"other sub", nil, claim("sub", "account/acme2"), 403, denied, "Not authorized"},
		{"aud that the role does not admit", nil, claim("aud", "other"), 403, denied, "Not authorized"},
		{"pinned to another role", nil, claim(awsRoles, awsRole+"2"), 403, denied, "Not authorized"},
		{"pinned to other roles", nil, claim(awsRoles, []string{awsRole + "2"}), 403, denied, "Not authorized"},
		{"pinned to none", nil, claim(awsRoles, []string{}), 403, denied, "Not authorized"},
		{"roles are a number", nil, claim(awsRoles, 1), 400, invalid, awsRoles},
		{"pin demanded", func(c *awstest.Config) { c.Roles[0].Trust[0].RoleAuthorizedByIdP = true }, func(*awsRequest) {}, 403, denied, "Not authorized"},

		{"tags not allowed", func(c *awstest.Config) { c.Roles[0].Trust[0].TagSession = false }, tags(map[string]any{"a": []string{"b"}}), 403, denied, "Not authorized"},
		{"no tags", nil, tags(map[string]any{}), 400, invalid, tagsFault},
		{"tags are a string", nil, claim(awsTags, "a"), 400, invalid, tagsFault},
		{"member in other case", nil, claim(awsTags, map[string]any{"Principal_Tags": map[string]any{"a": []string{"b"}}}), 400, invalid, tagsFault},
		{"many tags", nil, tags(many), 400, invalid, tagsFault},
		{"value is no list", nil, tags(map[string]any{"a": "b"}), 400, invalid, tagsFault},
		{"two values", nil, tags(map[string]any{"a": []string{"b", "c"}}), 400, invalid, tagsFault},
		{"no value", nil, tags(map[string]any{"a": []string{}}), 400, invalid, tagsFault},
		{"value with #", nil, tags(map[string]any{"a": []string{"b#"}}), 400, invalid, tagsFault},
		{"long value", nil, tags(map[string]any{"a": []string{strings.Repeat("b", 257)}}), 400, invalid, tagsFault},
		{"empty key", nil, tags(map[string]any{"": []string{"b"}}), 400, invalid, tagsFault},
		{"long key", nil, tags(map[string]any{strings.Repeat("a", 129): []string{"b"}}), 400, invalid, tagsFault},
		{"keys that differ only in case", nil, tags(map[string]any{"a": []string{"b"}, "A": []string{"b"}}), 400, invalid, notJWT},
		{"reserved key", nil, tags(map[string]any{"AWS:a": []string{"b"}}), 400, invalid, tagsFault},
		{"transitive key of no tag", nil, tags(map[string]any{"a": []string{"b"}}, "c"), 400, invalid, tagsFault},

		{"source identity not allowed", func(c *awstest.Config) { c.Roles[0].Trust[0].SetSourceIdentity = false }, claim(awsSource, "u-17"), 403, denied, "Not authorized"},
		{"source identity with a space", nil, claim(awsSource, "u 17"), 400, invalid, awsSource},
		{"short source identity", nil, claim(awsSource, "u"), 400, invalid, awsSource},
		{"source identity is a list", nil, claim(awsSource, []string{"u-17"}), 400, invalid, awsSource},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var change []func(*awstest.Config)
			if tt.cloud != nil {
				change = append(change, tt.cloud)
			}
			a := newAWS(t, change...)
			r := a.request()
			tt.change(r)
			answer := a.send(t, r)
			got := readAWSRefusal(t, answer)
			if answer.Code != tt.status || got.Code != tt.code || got.Type != "Sender" || !strings.Contains(got.Message, tt.words) {
				t.Errorf("STS answered %d %+v, want %d %s with %q", answer.Code, got, tt.status, tt.code, tt.words)
			}
			if jwt := r.form.Get("WebIdentityToken"); len(jwt) > 12 && strings.Contains(answer.Body.String(), jwt[len(jwt)-12:]) {
				t.Error("the answer repeats the JWT")
			}
		})
	}
}

// Every claim of a JWT that AWS reads, in the answer and in the session.
func TestAWSAssumes(t *testing.T) {
	a := newAWS(t)
	r := a.request()
	r.form.Set("DurationSeconds", "900")
	r.form.Set("Policy", `{"Version":"2012-10-17","Statement":[]}`)
	r.form.Set("PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/ReadOnlyAccess")
	r.claims["sub"] = "account/acme:org/payments"
	r.claims[awsRoles] = []string{awsRole + "2", awsRole}
	r.claims[awsTags] = map[string]any{"principal_tags": map[string]any{"project_id": []string{"ledger"}, "note": []string{"é 1"}}, "transitive_tag_keys": []string{"project_id"}}
	r.claims[awsSource] = "u-17"
	answer := a.send(t, r)
	type response struct {
		XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleWithWebIdentityResponse"`
		Audience  string   `xml:"AssumeRoleWithWebIdentityResult>Audience"`
		ARN       string   `xml:"AssumeRoleWithWebIdentityResult>AssumedRoleUser>Arn"`
		ID        string   `xml:"AssumeRoleWithWebIdentityResult>AssumedRoleUser>AssumedRoleId"`
		Provider  string   `xml:"AssumeRoleWithWebIdentityResult>Provider"`
		Subject   string   `xml:"AssumeRoleWithWebIdentityResult>SubjectFromWebIdentityToken"`
		Source    string   `xml:"AssumeRoleWithWebIdentityResult>SourceIdentity"`
		Packed    int      `xml:"AssumeRoleWithWebIdentityResult>PackedPolicySize"`
		RequestID string   `xml:"ResponseMetadata>RequestId"`
	}
	var got response
	var keys awsKeys
	if err := xml.Unmarshal(answer.Body.Bytes(), &got); err != nil {
		t.Fatalf("STS answered %d %s: %v", answer.Code, answer.Body, err)
	}
	if err := xml.Unmarshal(answer.Body.Bytes(), &keys); err != nil {
		t.Fatal(err)
	}
	want := response{
		Audience: "sts.amazonaws.com",
		ARN:      "arn:aws:sts::123456789012:assumed-role/deployer/" + awsSession,
		Provider: "arn:aws:iam::123456789012:oidc-provider/" + strings.TrimPrefix(a.issuer.URL, "http://"),
		Subject:  "account/acme:org/payments", Source: "u-17", Packed: 3,
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(response{}, "XMLName", "ID", "RequestID")); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if got.RequestID == "" || !strings.HasPrefix(got.ID, "AROA") || !strings.HasSuffix(got.ID, ":"+awsSession) {
		t.Errorf("RequestId = %q, AssumedRoleId = %q", got.RequestID, got.ID)
	}
	if left := time.Until(keys.Expiration); left > 15*time.Minute || left < 14*time.Minute {
		t.Errorf("the session ends in %s, want 15 minutes", left)
	}
	session, ok := a.Session(keys.AccessKeyID)
	wantSession := awstest.Session{
		RoleARN: awsRole, ARN: want.ARN, UserID: got.ID, Account: awsAccount, Provider: a.issuer.URL, Subject: want.Subject,
		Tags: map[string]string{"project_id": "ledger", "note": "é 1"}, TransitiveTagKeys: []string{"project_id"}, SourceIdentity: "u-17",
		Policy: `{"Version":"2012-10-17","Statement":[]}`, PolicyARNs: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}, Expires: keys.Expiration,
	}
	if diff := cmp.Diff(wantSession, session, cmpopts.EquateApproxTime(0)); diff != "" || !ok {
		t.Errorf("Session (-want +got):\n%s", diff)
	}
	session.Tags["project_id"], session.PolicyARNs[0] = "changed", "changed" // by the caller
	if again, _ := a.Session(keys.AccessKeyID); again.Tags["project_id"] != "ledger" || again.PolicyARNs[0] == "changed" {
		t.Error("a caller of Session changed the session")
	}
}

// Every algorithm that AWS takes, of keys that an issuer publishes.
func TestAWSTakesMinted(t *testing.T) {
	for _, algorithm := range []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"} {
		t.Run(algorithm, func(t *testing.T) {
			a := newAWS(t)
			issuer := oidctokentest.NewIssuer(t, func(c *oidctoken.Config) {
				c.Keys = oidctoken.StaticKeys{oidctokentest.NewKey(t, algorithm)}
				c.Profile.Algorithms = []string{algorithm}
			})
			token, err := issuer.Mint(t.Context(), oidctoken.Scope{Audience: "sts.amazonaws.com", Account: oidctoken.Entity{ID: "acme"}})
			if err != nil {
				t.Fatal(err)
			}
			a.Server, err = awstest.New(awsConfig(issuer.URL))
			if err != nil {
				t.Fatal(err)
			}
			r := a.request()
			r.form.Set("WebIdentityToken", token.JWT())
			answer := a.send(t, r)
			if admitted := answer.Code == http.StatusOK; admitted != (algorithm != "EdDSA") {
				t.Errorf("STS answered %d: %s", answer.Code, answer.Body)
			}
		})
	}
}

// A Fault answers instead of the stand-in, and is not counted.
func TestAWSFault(t *testing.T) {
	broken := true
	a := newAWS(t, func(c *awstest.Config) {
		c.Fault = func(*http.Request) http.Handler {
			if !broken {
				return nil
			}
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		}
	})
	if answer := a.send(t, a.request()); answer.Code != http.StatusServiceUnavailable {
		t.Errorf("the stand-in answered %d, want the fault's 503", answer.Code)
	}
	broken = false
	a.assume(t, a.request())
	if n := a.Requests("AssumeRoleWithWebIdentity"); n != 1 {
		t.Errorf("Requests = %d, want 1", n)
	}
	if n := a.Requests("AssumeRole"); n != 0 {
		t.Errorf("Requests of an unknown action = %d, want 0", n)
	}
}

// The sessions that are remembered are 4096, and those that live longest.
func TestAWSIsBounded(t *testing.T) {
	a := newAWS(t)
	r := a.request()
	r.form.Set("DurationSeconds", "900")
	short := a.assume(t, r)
	r.form.Set("DurationSeconds", "3600")
	long := a.assume(t, r)
	for range 4095 {
		a.send(t, r)
	}
	if _, ok := a.Session(short.AccessKeyID); ok {
		t.Error("the session that ends first is remembered")
	}
	if _, ok := a.Session(long.AccessKeyID); !ok {
		t.Error("a session that lives long is forgotten")
	}
}
