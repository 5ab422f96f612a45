package entratest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/oidctokentest/entratest"
	"github.com/oidctoken/oidctoken/oidctokentest/internal/standintest"
)

// T01 T05 T08 T12 X11
func TestEntraRefuses(t *testing.T) {
	e := newEntra(t)
	now := time.Now().Unix()
	invalid := func(code int) entraRefusal { return entraRefusal{400, "invalid_request", code} }
	denied := func(code int) entraRefusal { return entraRefusal{401, "invalid_client", code} }
	const noMatch = "No matching federated identity record found for presented assertion "
	for _, tt := range []struct {
		name  string
		spoil func(*request)
		want  entraRefusal
		words string
	}{
		{"GET", func(r *request) { r.method = http.MethodGet }, entraRefusal{405, "invalid_request", 900561}, "only accepts POST requests. Received a GET request."},
		{"other tenant", func(r *request) { r.path = strings.Replace(r.path, "1", "9", 1) }, invalid(90002), "Tenant '91111111-2222-3333-4444-555555555555' not found."},
		{"other domain", func(r *request) { r.path = "/evil.example.com/oauth2/v2.0/token" }, invalid(90002), "Tenant 'evil.example.com' not found."},
		{"common", func(r *request) { r.path = "/common/oauth2/v2.0/token" }, invalid(900023), "Specified tenant identifier 'common' is neither"},
		{"JSON", func(r *request) { r.header.Set("Content-Type", "application/json") }, invalid(900144), "'grant_type'"},
		{"not a form", func(r *request) { r.body = "a=%zz" }, invalid(90013), "is not a form"},
		{"too long", func(r *request) { r.form.Set("scope", strings.Repeat("x", 65<<10)) }, invalid(90013), "too long"},
		{"twice", func(r *request) { r.form.Add("scope", arm+"/.default") }, invalid(9000411), "The parameter 'scope' is duplicated."},
		{"no grant type", func(r *request) { r.form.Del("grant_type") }, invalid(900144), "'grant_type'"},
		{"other grant type", func(r *request) { r.form.Set("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange") },
			entraRefusal{400, "unsupported_grant_type", 70003}, "unsupported grant type 'urn:ietf:params:oauth:grant-type:token-exchange'"},
		{"no client", func(r *request) { r.form.Del("client_id") }, invalid(900144), "'client_id'"},
		{"other client", func(r *request) { r.form.Set("client_id", entraTenant) }, entraRefusal{400, "unauthorized_client", 700016}, "Application with identifier '" + entraTenant + "' was not found"},
		{"no scope", func(r *request) { r.form.Del("scope") }, invalid(900144), "'scope'"},
		{"scope of a user", func(r *request) { r.form.Set("scope", "https://graph.microsoft.com/User.Read") }, entraRefusal{400, "invalid_scope", 1002012}, "/.default suffixed"},
		{"scope without resource", func(r *request) { r.form.Set("scope", "/.default") }, entraRefusal{400, "invalid_scope", 1002012}, "/.default suffixed"},
		{"two resources", func(r *request) { r.form.Set("scope", arm+"/.default https://vault.azure.net/.default") }, invalid(28000), "more than one resource"},
		{"other resource", func(r *request) { r.form.Set("scope", "https://evil.example.com/.default") }, entraRefusal{400, "invalid_resource", 500011}, "principal named https://evil.example.com was not found"},
		{"openid alone", func(r *request) { r.form.Set("scope", "openid") }, entraRefusal{400, "invalid_resource", 500011}, "was not found"},
		{"secret besides", func(r *request) { r.form.Set("client_secret", "") }, denied(7000215), "Invalid client secret provided."},
		{"no assertion", func(r *request) { r.form.Set("client_assertion", "") }, denied(7000216), "'client_assertion', 'client_secret' or 'request' is required"},
		{"no assertion type", func(r *request) { r.form.Del("client_assertion_type") }, invalid(900144), "'client_assertion_type'"},
		{"SAML", func(r *request) {
			r.form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")
		}, invalid(90023), "client_assertion_type"},

		{"padding", func(r *request) { r.jwt = func(s string) string { return s + "=" } }, invalid(50027), "malformed"},
		{"line break", func(r *request) { r.jwt = func(s string) string { return s + "\n" } }, invalid(50027), "malformed"},
		{"two parts", func(r *request) { r.jwt = func(s string) string { return s[:strings.LastIndexByte(s, '.')] } }, invalid(50027), "malformed"},
		{"too long JWT", func(r *request) { r.claims["x"] = strings.Repeat("x", 16<<10) }, invalid(50027), "malformed"},
		{"crit", func(r *request) { r.jose["crit"] = []string{"exp"} }, invalid(50027), "malformed"},
		{"typ of an access token", func(r *request) { r.jose["typ"] = "at+jwt" }, invalid(5002727), "Invalid JWT header type"},
		{"typ in lower case", func(r *request) { r.jose["typ"] = "jwt" }, invalid(5002727), "Invalid JWT header type"},
		{"typ a number", func(r *request) { r.jose["typ"] = 1 }, invalid(5002727), "Invalid JWT header type"},
		{"alg none", func(r *request) { r.jose["alg"] = "none" }, denied(5002738), "'none' is not a supported signature algorithm"},
		{"alg HS256", func(r *request) { r.jose["alg"] = "HS256" }, denied(5002738), "'HS256' is not a supported"},
		{"alg RS384", func(r *request) { r.jose["alg"] = "RS384" }, denied(5002738), "'RS384' is not a supported"},
		{"alg ES256", func(r *request) { r.jose["alg"] = "ES256" }, denied(5002738), "'ES256' is not a supported"},
		{"alg in lower case", func(r *request) { r.jose["alg"] = "rs256" }, denied(5002738), "'rs256' is not a supported"},
		{"no iss", func(r *request) { delete(r.claims, "iss") }, invalid(50027), "malformed"},
		{"iss a number", func(r *request) { r.claims["iss"] = 1 }, invalid(50027), "malformed"},
		{"iss null", func(r *request) { r.claims["iss"] = nil }, invalid(50027), "malformed"},
		{"iss with a space", func(r *request) { r.claims["iss"] = e.issuer.URL + " " }, invalid(50027), "malformed"},
		{"iss with a slash", func(r *request) { r.claims["iss"] = e.issuer.URL + "/" }, denied(700211), noMatch + "issuer '" + e.issuer.URL + "/'."},
		{"aud a list", func(r *request) { r.claims["aud"] = []string{"api://AzureADTokenExchange"} }, invalid(50027), "malformed"},
		{"no aud", func(r *request) { delete(r.claims, "aud") }, invalid(50027), "malformed"},
		{"aud in other case", func(r *request) { r.claims["aud"] = "api://azureadtokenexchange" }, denied(700212), noMatch + "audience 'api://azureadtokenexchange'."},
		{"no sub", func(r *request) { delete(r.claims, "sub") }, invalid(50027), "malformed"},
		{"sub empty", func(r *request) { r.claims["sub"] = "" }, invalid(50027), "malformed"},
		{"sub of 601", func(r *request) { r.claims["sub"] = strings.Repeat("s", 601) }, invalid(50027), "malformed"},
		{"sub in other case", func(r *request) { r.claims["sub"] = "account/Acme" }, denied(7002138), "but not with case-sensitive comparison"},
		{"sub and more", func(r *request) { r.claims["sub"] = "account/acme:org/x" }, denied(700213), noMatch + "subject 'account/acme:org/x'."},
		{"sub a wildcard", func(r *request) { r.claims["sub"] = "account/*" }, denied(700213), noMatch + "subject 'account/*'."},
		{"no kid", func(r *request) { delete(r.jose, "kid") }, denied(7000272), "could not be found in the metadata of identity provider '" + e.issuer.URL + "'"},
		{"unknown kid", func(r *request) { r.jose["kid"] = "other" }, denied(7000272), "The certificate with identifier 'other'"},
		{"other signature", func(r *request) { r.jwt = func(s string) string { return s[:len(s)-8] + "AAAAAAAA" } }, denied(700027), "signature validation"},
		{"no exp", func(r *request) { delete(r.claims, "exp") }, invalid(50027), "malformed"},
		{"exp a fraction", func(r *request) { r.claims["exp"] = 1.5 }, invalid(50027), "malformed"},
		{"exp past", func(r *request) { r.claims["iat"], r.claims["exp"] = now-900, now-1 }, denied(700024), "not within its valid time range"},
		{"exp before iat", func(r *request) { r.claims["iat"], r.claims["exp"] = now+30, now+20 }, denied(700024), "not within its valid time range"},
		{"no iat", func(r *request) { delete(r.claims, "iat") }, invalid(50027), "malformed"},
		{"iat in the future", func(r *request) { r.claims["iat"] = now + 120 }, denied(700024), "not within its valid time range"},
		{"nbf in the future", func(r *request) { r.claims["nbf"] = now + 120 }, denied(700024), "not within its valid time range"},
		{"nbf a string", func(r *request) { r.claims["nbf"] = "1" }, invalid(50027), "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := e.request()
			tt.spoil(r)
			got, description := refusalOf(t, e.send(t, r))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Entra (-want +got):\n%s", diff)
			}
			if prefix := fmt.Sprintf("AADSTS%d: ", tt.want.Code); !strings.HasPrefix(description, prefix) || !strings.Contains(description, tt.words) {
				t.Errorf("Entra said %q, want %q behind %q", description, tt.words, prefix)
			}
		})
	}
	e.exchange(t, e.request()) // the unchanged request succeeds
}

func TestEntraExchange(t *testing.T) {
	e := newEntra(t)
	now := time.Now().Unix()
	for _, tt := range []struct {
		name     string
		change   func(*request)
		resource string
	}{
		{"as it is", func(*request) {}, arm},
		{"domain", func(r *request) { r.path = "/acme.onmicrosoft.com/oauth2/v2.0/token" }, arm},
		{"tenant and client in upper case", func(r *request) {
			r.path = "/" + strings.ToUpper(entraTenant) + "/oauth2/v2.0/token"
			r.form.Set("client_id", strings.ToUpper(entraClient))
		}, arm},
		{"what Microsoft's libraries send besides", func(r *request) {
			r.form.Set("scope", arm+"/.default openid offline_access profile")
			r.form.Set("client_info", "1")
			r.form.Set("claims", `{"access_token":{"xms_cc":{"values":["CP1"]}}}`)
		}, arm},
		{"slash at the end of the resource", func(r *request) { r.form.Set("scope", arm+"//.default") }, arm + "/"},
		{"charset", func(r *request) { r.header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8") }, arm},
		{"no typ", func(r *request) { delete(r.jose, "typ") }, arm},
		{"no nbf", func(r *request) { delete(r.claims, "nbf") }, arm},
		{"a clock that is ahead", func(r *request) { r.claims["iat"], r.claims["nbf"] = now+30, now+30 }, arm},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := e.request()
			tt.change(r)
			answer := e.send(t, r)
			var got map[string]any
			if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || answer.Code != http.StatusOK {
				t.Fatalf("Entra answered %d: %s", answer.Code, answer.Body)
			}
			token, _ := got["access_token"].(string)
			delete(got, "access_token")
			if diff := cmp.Diff(map[string]any{"token_type": "Bearer", "expires_in": 3599.0, "ext_expires_in": 3599.0}, got); diff != "" {
				t.Errorf("the answer (-want +got):\n%s", diff)
			}
			grant, ok := e.Lookup(token)
			want := entratest.Identity{
				TenantID: entraTenant, ClientID: entraClient, Issuer: e.issuer.URL, Subject: entraSubject, Resource: tt.resource,
			}
			if diff := cmp.Diff(want, grant, cmpopts.IgnoreFields(grant, "Expires")); diff != "" || !ok {
				t.Errorf("Lookup %v (-want +got):\n%s", ok, diff)
			}
		})
	}
	if _, ok := e.Lookup("eyJ0.other"); ok {
		t.Error("Lookup found a token that was never made")
	}
}

// A JWT is not for one use, and every access token is a new one.
func TestEntraTokensDiffer(t *testing.T) {
	e := newEntra(t)
	token, err := e.issuer.Mint(t.Context(), oidctoken.Scope{Audience: "api://AzureADTokenExchange", Account: oidctoken.Entity{ID: "acme"}})
	if err != nil {
		t.Fatal(err)
	}
	r := e.request()
	r.form.Set("client_assertion", token.JWT())
	if first, second := e.exchange(t, r), e.exchange(t, r); first == second {
		t.Error("two exchanges gave the same access token")
	}
	if got := e.Requests(entraToken); got != 2 {
		t.Errorf("Requests is %d, want 2", got)
	}
}

// A federated credential of another application does not authenticate as this
// one.
func TestEntraSeparatesApplications(t *testing.T) {
	e := newEntra(t, func(c *entratest.Config) {
		c.Applications = append(c.Applications, entratest.Application{ClientID: entraTenant})
	})
	e.exchange(t, e.request())
	r := e.request()
	r.form.Set("client_id", entraTenant)
	got, description := refusalOf(t, e.send(t, r))
	if diff := cmp.Diff(entraRefusal{400, "invalid_request", 70021}, got); diff != "" || !strings.Contains(description, "Assertion Subject: 'account/acme'.") {
		t.Errorf("Entra said %q (-want +got):\n%s", description, diff)
	}
}

// A credential shows after as many requests as it should, and those that do not
// match it do not count.
func TestEntraVisibleAfter(t *testing.T) {
	e := newEntra(t, func(c *entratest.Config) {
		credentials := c.Applications[0].FederatedCredentials
		credentials[0].VisibleAfter = 2
		c.Applications[0].FederatedCredentials = append(credentials, entratest.FederatedCredential{Issuer: credentials[0].Issuer, Subject: "other"})
	})
	third := e.request()
	third.claims["sub"] = "third"
	for i, want := range []int{700213, 700213, 700213, 0} {
		r := e.request()
		if i == 1 {
			r = third
		}
		if want == 0 {
			e.exchange(t, r)
		} else if got, _ := refusalOf(t, e.send(t, r)); got.Code != want {
			t.Errorf("request %d: AADSTS%d, want %d", i+1, got.Code, want)
		}
	}
}

// Entra keeps the first 100 keys of a JWK Set.
func TestEntraKeepsFirstKeys(t *testing.T) {
	key := standintest.RSAKey(t)
	kid, err := jose.Thumbprint(key.Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	for before, want := range map[int]int{99: http.StatusOK, 100: http.StatusUnauthorized} {
		var keys []jose.Key
		for i := range before {
			keys = append(keys, jose.Key{Public: key.Signer.Public(), ID: fmt.Sprint("other-", i), Algorithm: "RS256"})
		}
		set, err := jose.MarshalSet(append(keys, jose.Key{Public: key.Signer.Public(), ID: kid, Algorithm: "RS256"}))
		if err != nil {
			t.Fatal(err)
		}
		e := newEntra(t, func(c *entratest.Config) {
			c.Transport = documents{
				c.Applications[0].FederatedCredentials[0].Issuer, string(set), "application/json",
			}
		})
		answer := e.send(t, e.request())
		if answer.Code != want {
			t.Errorf("behind %d keys: Entra answered %d, want %d: %s", before, answer.Code, want, answer.Body)
		}
		if want != http.StatusOK {
			if got, _ := refusalOf(t, answer); got.Code != 7000272 {
				t.Errorf("behind %d keys: AADSTS%d, want 7000272", before, got.Code)
			}
		}
	}
}

// An issuer that cannot be read is reported, and is read again for the next
// request.
func TestEntraFetchFails(t *testing.T) {
	network := &standintest.Counting{Next: &http.Transport{DisableKeepAlives: true}}
	e := newEntra(t, func(c *entratest.Config) { c.Transport = network })
	network.Fail.Store(1)
	got, _ := refusalOf(t, e.send(t, e.request()))
	if diff := cmp.Diff(entraRefusal{400, "invalid_request", 501661}, got); diff != "" {
		t.Errorf("Entra (-want +got):\n%s", diff)
	}
	e.exchange(t, e.request())

	// No keys are fetched for an untrusted issuer.
	before := network.JWKS.Load()
	r := e.request()
	r.claims["iss"] = "https://evil.example.com"
	if got, _ := refusalOf(t, e.send(t, r)); got.Code != 700211 || network.JWKS.Load() != before {
		t.Errorf("AADSTS%d after %d fetches, want 700211 after none", got.Code, network.JWKS.Load()-before)
	}
}
