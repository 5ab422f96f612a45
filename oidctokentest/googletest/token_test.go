package googletest_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest/googletest"
)

type refusal struct {
	Status      int
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// T01 T05 X01
func TestGoogleRefuses(t *testing.T) {
	g := newGoogle(t)
	now := time.Now().Unix()
	stale := func(iat int64) string {
		return "ID Token issued at " + strconv.FormatInt(iat, 10) + " is stale to sign-in."
	}
	const (
		unparsed   = "Unable to parse the ID Token."
		unverified = "Unable to verify the ID Token signature."
		noKeys     = "Error connecting to the given credential's issuer."
		badType    = "The request's Content-Type must be application/x-www-form-urlencoded."
		noTarget   = `The target service indicated by the "audience" parameters is invalid. This might either be because the pool or provider is disabled or deleted or because it doesn't exist.`
		noResource = `Invalid value for "audience". This value should be the full resource name of the Identity Provider.`
		noScope    = "Some requested scopes are invalid."
	)
	grant := func(words string) refusal { return refusal{400, "invalid_grant", words} }
	invalid := func(words string) refusal { return refusal{400, "invalid_request", words} }
	for _, tt := range []struct {
		name  string
		spoil func(*request)
		want  refusal
	}{
		{"a bearer", func(r *request) { r.header.Set("Authorization", "Bearer x") }, refusal{401, "invalid_client", "The OAuth client was not found."}},
		{"another client", func(r *request) {
			r.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("me:secret")))
		}, refusal{401, "invalid_client", "The OAuth client was not found."}},
		{"a query", func(r *request) { r.path += "?alt=json" }, invalid("The request must not have a query string.")},
		{"JSON", func(r *request) { r.header.Set("Content-Type", "application/json") }, invalid(badType)},
		{"no content type", func(r *request) { r.header.Del("Content-Type") }, invalid(badType)},
		{"not a form", func(r *request) { r.body = "a=%zz" }, invalid("The request is not a form.")},
		{"too long", func(r *request) { r.form.Set("scope", strings.Repeat("x", 65<<10)) }, invalid("The request is too long or was cut off.")},
		{"twice", func(r *request) { r.form.Add("scope", cloudPlatform) }, invalid(`The request has the parameter "scope" more than once.`)},
		{"unknown parameter", func(r *request) { r.form.Set("resource", "x") }, invalid("The request has a parameter that is not known.")},
		{"grant type", func(r *request) { r.form.Set("grant_type", "client_credentials") }, refusal{400, "unsupported_grant_type", `Invalid value for "grant_type". This value should be "urn:ietf:params:oauth:grant-type:token-exchange".`}},
		{"audience with https", func(r *request) { r.form.Set("audience", "https://iam.googleapis.com/"+provider) }, invalid(noResource)},
		{"audience without host", func(r *request) { r.form.Set("audience", provider) }, invalid(noResource)},
		{"audience with project id", func(r *request) {
			r.form.Set("audience", "//iam.googleapis.com/"+strings.Replace(provider, "123", "acme", 1))
		}, invalid(noResource)},
		{"no audience", func(r *request) { r.form.Del("audience") }, invalid(noResource)},
		{"unknown provider", func(r *request) { r.form.Set("audience", "//iam.googleapis.com/"+pool+"/providers/other") }, refusal{400, "invalid_target", noTarget}},
		{"requested type", func(r *request) { r.form.Set("requested_token_type", "urn:ietf:params:oauth:token-type:jwt") }, invalid(`Invalid value for "requested_token_type".`)},
		{"subject type", func(r *request) { r.form.Set("subject_token_type", "urn:ietf:params:oauth:token-type:saml2") }, invalid(`Invalid value for "subject_token_type".`)},
		{"no scope", func(r *request) { r.form.Del("scope") }, refusal{400, "invalid_scope", noScope}},
		{"bogus scope", func(r *request) { r.form.Set("scope", cloudPlatform+" admin") }, refusal{400, "invalid_scope", noScope}},

		{"no JWT", func(r *request) { r.form.Set("subject_token", "") }, grant(unparsed)},
		{"padding", func(r *request) { r.jwt = func(s string) string { return s + "=" } }, grant(unparsed)},
		{"line break", func(r *request) { r.jwt = func(s string) string { return s + "\n" } }, grant(unparsed)},
		{"two parts", func(r *request) { r.jwt = func(s string) string { return s[:strings.LastIndexByte(s, '.')] } }, grant(unparsed)},
		{"too long JWT", func(r *request) { r.claims["x"] = strings.Repeat("x", 16<<10) }, grant(unparsed)},
		{"crit", func(r *request) { r.jose["crit"] = []string{"exp"} }, grant(unparsed)},
		{"alg none", func(r *request) { r.jose["alg"] = "none" }, grant(unverified)},
		{"alg HS256", func(r *request) { r.jose["alg"] = "HS256" }, grant(unverified)},
		{"alg RS384", func(r *request) { r.jose["alg"] = "RS384" }, grant(unverified)},
		{"alg in lower case", func(r *request) { r.jose["alg"] = "rs256" }, grant(unverified)},
		{"alg of another key", func(r *request) { r.jose["alg"] = "ES256" }, grant(noKeys)},
		{"no kid", func(r *request) { delete(r.jose, "kid") }, grant("The ID Token has no kid in its header.")},
		{"unknown kid", func(r *request) { r.jose["kid"] = "other" }, grant(noKeys)},
		{"other signature", func(r *request) { r.jwt = func(s string) string { return s[:len(s)-8] + "AAAAAAAA" } }, grant(unverified)},
		{"no iss", func(r *request) { delete(r.claims, "iss") }, grant("The issuer in ID Token null does not match the expected one in config: " + g.issuer.URL + ".")},
		{"other iss", func(r *request) { r.claims["iss"] = g.issuer.URL + "/" }, grant("The issuer in ID Token " + g.issuer.URL + "/ does not match the expected one in config: " + g.issuer.URL + ".")},
		{"iss a number", func(r *request) { r.claims["iss"] = 1 }, grant(unparsed)},
		{"no aud", func(r *request) { delete(r.claims, "aud") }, grant("The audience in ID Token [] does not match the expected audience.")},
		{"other aud", func(r *request) { r.claims["aud"] = "other" }, grant("The audience in ID Token [other] does not match the expected audience.")},
		{"aud of the STS request's host", func(r *request) { r.claims["aud"] = "https://sts.googleapis.com/" }, grant("The audience in ID Token [https://sts.googleapis.com/] does not match the expected audience.")},
		{"aud a list", func(r *request) { r.claims["aud"] = []string{r.claims["aud"].(string), "b"} }, grant("The audience in ID Token [https://iam.googleapis.com/" + provider + ", b] does not match the expected audience.")},
		{"aud null", func(r *request) { r.claims["aud"] = nil }, grant(unparsed)},
		{"no iat", func(r *request) { delete(r.claims, "iat") }, grant("ID Token issued at null is stale to sign-in.")},
		{"iat a string", func(r *request) { r.claims["iat"] = "1" }, grant(unparsed)},
		{"iat a fraction", func(r *request) { r.claims["iat"] = 1.5 }, grant(unparsed)},
		{"iat in the future", func(r *request) { r.claims["iat"] = now + 120 }, grant(stale(now + 120))},
		{"iat old", func(r *request) { r.claims["iat"] = now - 24*3600 - 10 }, grant(stale(now - 24*3600 - 10))},
		{"no exp", func(r *request) { delete(r.claims, "exp"); r.claims["iat"] = now }, grant(stale(now))},
		{"exp past", func(r *request) { r.claims["iat"], r.claims["exp"] = now-900, now-1 }, grant(stale(now - 900))},
		{"exp before iat", func(r *request) { r.claims["iat"], r.claims["exp"] = now+30, now+20 }, grant(stale(now + 30))},
		{"lives too long", func(r *request) { r.claims["iat"], r.claims["exp"] = now-10, now-10+24*3600+1 }, grant(stale(now - 10))},
		{"nbf in the future", func(r *request) { r.claims["iat"], r.claims["nbf"] = now, now+120 }, grant(stale(now))},
		{"no sub", func(r *request) { delete(r.claims, "sub") }, refusal{400, "unauthorized_client", "Could not obtain a value for google.subject from the given credential. Please check the attribute mapping for this Identity Provider."}},
		{"sub null", func(r *request) { r.claims["sub"] = nil }, refusal{400, "unauthorized_client", "The mapped attribute 'google.subject' must be of type STRING."}},
		{"sub a number", func(r *request) { r.claims["sub"] = 1 }, refusal{400, "unauthorized_client", "The mapped attribute 'google.subject' must be of type STRING."}},
		{"sub of 128 bytes", func(r *request) { r.claims["sub"] = strings.Repeat("s", 128) }, invalid("The size of mapped attribute exceeds the 127 bytes limit. Either modify your attribute mapping or the incoming assertion to produce a mapped attribute that is less than 127 bytes.")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := g.request()
			tt.spoil(r)
			answer := g.send(t, r)
			got := refusal{Status: answer.Code}
			if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil {
				t.Fatalf("the answer %s: %v", answer.Body, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("the STS (-want +got):\n%s", diff)
			}
		})
	}
	if answer := g.send(t, g.request()); answer.Code != http.StatusOK { // the unchanged request succeeds
		t.Errorf("the STS answered %d to a good request: %s", answer.Code, answer.Body)
	}
}

func TestGoogleExchange(t *testing.T) {
	g := newGoogle(t)
	now := time.Now().Unix()
	for _, tt := range []struct {
		name   string
		change func(*request)
		want   int64 // seconds at most
	}{
		{"as it is", func(*request) {}, 900},
		{"ID token", func(r *request) { r.form.Set("subject_token_type", "urn:ietf:params:oauth:token-type:id_token") }, 900},
		{"aud without https", func(r *request) { r.claims["aud"] = "//iam.googleapis.com/" + provider }, 900},
		{"several scopes", func(r *request) { r.form.Set("scope", "openid "+cloudPlatform) }, 900},
		{"charset", func(r *request) { r.header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8") }, 900},
		{"long life", func(r *request) { r.claims["exp"] = now + 23*3600 }, 3600},
		{"short life", func(r *request) { r.claims["exp"] = now + 60 }, 60},
		{"a clock that is ahead", func(r *request) { r.claims["iat"] = now + 30 }, 900},
		{"sub of 127 bytes", func(r *request) { r.claims["sub"] = strings.Repeat("s", 127) }, 900},
		{"gcloud", func(r *request) {
			r.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(gcloudClientID+":public")))
		}, 900},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := g.request()
			tt.change(r)
			answer := g.send(t, r)
			var got map[string]any
			if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || answer.Code != http.StatusOK {
				t.Fatalf("the STS answered %d: %s", answer.Code, answer.Body)
			}
			seconds, _ := got["expires_in"].(float64)
			if int64(seconds) > tt.want || int64(seconds) < tt.want-30 {
				t.Errorf("expires_in is %v, want at most %d", got["expires_in"], tt.want)
			}
			token, _ := got["access_token"].(string)
			delete(got, "access_token")
			delete(got, "expires_in")
			want := map[string]any{"token_type": "Bearer", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the answer (-want +got):\n%s", diff)
			}
			grant, ok := g.Lookup(token)
			sub, _ := r.claims["sub"].(string)
			wantGrant := googletest.Identity{
				Principal:  "principal://iam.googleapis.com/" + pool + "/subject/" + sub,
				Attributes: map[string]string{"google.subject": sub},
				Scopes:     strings.Fields(r.form.Get("scope")),
			}
			ignore := cmpopts.IgnoreUnexported(googletest.Identity{})
			if diff := cmp.Diff(wantGrant, grant, ignore, cmpopts.IgnoreFields(grant, "Expires")); diff != "" || !ok {
				t.Errorf("Lookup %v (-want +got):\n%s", ok, diff)
			}
		})
	}
	if _, ok := g.Lookup("ya29.other"); ok {
		t.Error("Lookup found a token that was never made")
	}
}

// Tokens of a real issuer, with both of the algorithms that Google takes.
func TestGoogleTakesMinted(t *testing.T) {
	g := newGoogle(t)
	for _, alg := range []string{"RS256", "ES256"} {
		token, err := g.issuer.Mint(t.Context(), oidctoken.Scope{
			Audience: "https://iam.googleapis.com/" + provider,
			Profile:  &oidctoken.Profile{Algorithms: []string{alg}},
			Account:  oidctoken.Entity{ID: "acme"},
		})
		if err != nil {
			t.Fatal(err)
		}
		r := g.request()
		r.form.Set("subject_token", token.JWT())
		g.exchange(t, r)
		g.exchange(t, r) // a JWT is not for one use
	}
	if got := g.Requests("/v1/token"); got != 4 {
		t.Errorf("Requests is %d, want 4", got)
	}
}

func TestGoogleAllowedAudiences(t *testing.T) {
	g := newGoogle(t, func(c *googletest.Config) {
		c.Providers[0].AllowedAudiences = []string{"a", "b"}
	})
	r := g.request()
	r.claims["aud"] = "b"
	g.exchange(t, r)
	if answer := g.send(t, g.request()); answer.Code != http.StatusBadRequest {
		t.Errorf("the STS answered %d to the default audience, want 400 since others are allowed", answer.Code)
	}
}

func TestGoogleTokenEnds(t *testing.T) {
	now := time.Now()
	g := newGoogle(t, func(c *googletest.Config) { c.Now = func() time.Time { return now } })
	token := g.exchange(t, g.request())
	grant, ok := g.Lookup(token)
	if !ok {
		t.Fatal("Lookup did not find a live token")
	}
	now = grant.Expires
	if _, ok := g.Lookup(token); ok {
		t.Error("Lookup found a token that has ended")
	}
}
