package entratest_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest/entratest"
	"github.com/oidctoken/oidctoken/oidctokentest/internal/standintest"
)

// documents is a network on which an issuer's two documents are.
type documents struct{ issuer, jwks, contentType string }

func (d documents) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", d.contentType)
	switch r.URL.String() {
	case d.issuer + "/.well-known/openid-configuration":
		b, err := json.Marshal(map[string]string{"issuer": d.issuer, "jwks_uri": d.issuer + "/jwks"})
		if err != nil {
			return nil, err
		}
		_, _ = w.Write(b)
	case d.issuer + "/jwks":
		_, _ = io.WriteString(w, d.jwks)
	default:
		return nil, errors.New("nobody is there")
	}
	return w.Result(), nil
}

func TestNewEntraRefuses(t *testing.T) {
	const value = "is not of 1 to 600 characters of printable ASCII without spaces"
	credentials := func(change func(*entratest.FederatedCredential)) func(*entratest.Config) {
		return func(c *entratest.Config) { change(&c.Applications[0].FederatedCredentials[0]) }
	}
	const first = "Applications[0].FederatedCredentials[0]."
	for _, tt := range []struct {
		name   string
		change func(*entratest.Config)
		want   oidctoken.ConfigError
	}{
		{"no tenant", func(c *entratest.Config) { c.TenantID = "" }, oidctoken.ConfigError{Package: "entratest", Field: "TenantID", Reason: "is required"}},
		{"tenant is a domain", func(c *entratest.Config) { c.TenantID = "acme.com" }, oidctoken.ConfigError{Package: "entratest", Field: "TenantID", Reason: "is not a GUID"}},
		{"domain", func(c *entratest.Config) { c.Domain = "acme" }, oidctoken.ConfigError{Package: "entratest", Field: "Domain", Reason: "is not the name of a domain"}},
		{"no applications", func(c *entratest.Config) { c.Applications = nil }, oidctoken.ConfigError{Package: "entratest", Field: "Applications", Reason: "is required"}},
		{"no client", func(c *entratest.Config) { c.Applications[0].ClientID = "" }, oidctoken.ConfigError{Package: "entratest", Field: "Applications[0].ClientID", Reason: "is required"}},
		{"client is a name", func(c *entratest.Config) { c.Applications[0].ClientID = "deployer" }, oidctoken.ConfigError{Package: "entratest", Field: "Applications[0].ClientID", Reason: "is not a GUID"}},
		{"client twice", func(c *entratest.Config) {
			c.Applications = append(c.Applications, entratest.Application{ClientID: strings.ToUpper(entraClient)})
		}, oidctoken.ConfigError{Package: "entratest", Field: "Applications[1].ClientID", Reason: "is that of another application, too"}},
		{"resource with a slash", func(c *entratest.Config) { c.Resources = []string{arm + "/"} },
			oidctoken.ConfigError{Package: "entratest", Field: "Resources[0]", Reason: "is not an application ID URI without a slash at its end"}},
		{"21 credentials", func(c *entratest.Config) {
			c.Applications[0].FederatedCredentials = slices.Repeat(c.Applications[0].FederatedCredentials, 21)
		}, oidctoken.ConfigError{Package: "entratest", Field: "Applications[0].FederatedCredentials", Reason: "has more than 20"}},
		{"credential twice", func(c *entratest.Config) {
			c.Applications[0].FederatedCredentials = slices.Repeat(c.Applications[0].FederatedCredentials, 2)
			c.Applications[0].FederatedCredentials[1].Audience = "other" // does not make it another one
		}, oidctoken.ConfigError{Package: "entratest", Field: "Applications[0].FederatedCredentials[1]", Reason: "has the issuer and the subject of another one"}},
		{"no issuer", credentials(func(f *entratest.FederatedCredential) { f.Issuer = "" }), oidctoken.ConfigError{Package: "entratest", Field: first + "Issuer", Reason: "is required"}},
		{"issuer on http", credentials(func(f *entratest.FederatedCredential) { f.Issuer = "http://ci.example.com" }),
			oidctoken.ConfigError{Package: "entratest", Field: first + "Issuer", Reason: "is not an https URL, or one of http for a loopback host, without query and fragment"}},
		{"long issuer", credentials(func(f *entratest.FederatedCredential) {
			f.Issuer = "https://ci.example.com/" + strings.Repeat("i", 578)
		}), oidctoken.ConfigError{Package: "entratest", Field: first + "Issuer", Reason: value}},
		{"no subject", credentials(func(f *entratest.FederatedCredential) { f.Subject = "" }), oidctoken.ConfigError{Package: "entratest", Field: first + "Subject", Reason: value}},
		{"long subject", credentials(func(f *entratest.FederatedCredential) { f.Subject = strings.Repeat("s", 601) }), oidctoken.ConfigError{Package: "entratest", Field: first + "Subject", Reason: value}},
		{"subject with a space", credentials(func(f *entratest.FederatedCredential) { f.Subject = "a " }), oidctoken.ConfigError{Package: "entratest", Field: first + "Subject", Reason: value}},
		{"long audience", credentials(func(f *entratest.FederatedCredential) { f.Audience = strings.Repeat("a", 601) }), oidctoken.ConfigError{Package: "entratest", Field: first + "Audience", Reason: value}},
		{"audience with a line break", credentials(func(f *entratest.FederatedCredential) { f.Audience = "a\n" }), oidctoken.ConfigError{Package: "entratest", Field: first + "Audience", Reason: value}},
		{"negative", credentials(func(f *entratest.FederatedCredential) { f.VisibleAfter = -1 }), oidctoken.ConfigError{Package: "entratest", Field: first + "VisibleAfter", Reason: "is negative"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := entratest.Config{TenantID: entraTenant, Applications: []entratest.Application{{
				ClientID:             entraClient,
				FederatedCredentials: []entratest.FederatedCredential{{Issuer: "https://ci.example.com", Subject: entraSubject}},
			}}}
			tt.change(&c)
			e, err := entratest.New(c)
			var got *oidctoken.ConfigError
			errors.As(err, &got)
			if diff := cmp.Diff(&tt.want, got); diff != "" || e != nil {
				t.Errorf("NewEntra = %v (-want +got):\n%s", e, diff)
			}
		})
	}
}

func TestNewEntraTakesTheLongest(t *testing.T) {
	long := strings.Repeat("x", 600)
	var credentials []entratest.FederatedCredential
	for i := range 20 {
		credentials = append(credentials, entratest.FederatedCredential{
			Issuer: "https://ci.example.com/" + long[:577], Subject: long[i:], Audience: long,
		})
	}
	if _, err := entratest.New(entratest.Config{
		TenantID:     entraTenant,
		Applications: []entratest.Application{{ClientID: entraClient, FederatedCredentials: credentials}},
	}); err != nil {
		t.Error(err)
	}
}

// The requests of Microsoft's libraries before they request a token.
func TestEntraDiscovery(t *testing.T) {
	e := newEntra(t)
	get := func(path string) (status int, got map[string]any) {
		answer := standintest.Call(t, e, http.MethodGet, path, nil, "")
		if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil {
			t.Fatalf("%s: %d: %s", path, answer.Code, answer.Body)
		}
		return answer.Code, got
	}
	for at, tenant := range map[string]string{
		"https://login.example.com/": entraTenant,
		"https://127.0.0.1:8443/":    "acme.onmicrosoft.com",
		"http://127.0.0.1:8080/":     entraTenant,
	} {
		status, got := get(at + tenant + "/v2.0/.well-known/openid-configuration") // httptest takes the scheme from it
		want := map[string]any{
			"issuer":                                at + entraTenant + "/v2.0",
			"authorization_endpoint":                at + tenant + "/oauth2/v2.0/authorize",
			"token_endpoint":                        at + tenant + "/oauth2/v2.0/token",
			"jwks_uri":                              at + tenant + "/discovery/v2.0/keys",
			"token_endpoint_auth_methods_supported": []any{"private_key_jwt"},
			"response_types_supported":              []any{"code"},
			"subject_types_supported":               []any{"pairwise"},
			"id_token_signing_alg_values_supported": []any{"RS256"},
		}
		if diff := cmp.Diff(want, got); diff != "" || status != http.StatusOK {
			t.Errorf("the configuration of %s, %d (-want +got):\n%s", tenant, status, diff)
		}
	}
	if status, got := get("/" + entraTenant + "/discovery/v2.0/keys"); status != http.StatusOK || cmp.Diff(map[string]any{"keys": []any{}}, got) != "" {
		t.Errorf("the keys: %d, %v; want none", status, got)
	}
	if status, got := get("/other.example.com/v2.0/.well-known/openid-configuration"); status != http.StatusBadRequest || got["error"] != "invalid_request" {
		t.Errorf("the configuration of another tenant: %d, %v", status, got)
	}
	status, got := get("/common/discovery/instance?api-version=1.1&authorization_endpoint=https%3A%2F%2Flogin.example.com%2F" + entraTenant + "%2Foauth2%2Fv2.0%2Fauthorize")
	want := map[string]any{
		"tenant_discovery_endpoint": "https://login.example.com/" + entraTenant + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata": []any{map[string]any{
			"preferred_network": "login.example.com", "preferred_cache": "login.example.com", "aliases": []any{"login.example.com"},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" || status != http.StatusOK {
		t.Errorf("the instance, %d (-want +got):\n%s", status, diff)
	}
	if status, _ := get("/common/discovery/instance"); status != http.StatusBadRequest {
		t.Errorf("the instance of nothing: %d, want 400", status)
	}
	if answer := standintest.Call(t, e, http.MethodGet, "/", nil, ""); answer.Code != http.StatusNotFound {
		t.Errorf("another path: %d, want 404", answer.Code)
	}
}

func TestEntraFault(t *testing.T) {
	e := newEntra(t, func(c *entratest.Config) {
		c.Fault = func(r *http.Request) http.Handler {
			if r.Header.Get("X-Fault") == "" {
				return nil
			}
			return http.NotFoundHandler()
		}
	})
	e.exchange(t, e.request())
	r := e.request()
	r.header.Set("X-Fault", "1")
	if answer := e.send(t, r); answer.Code != http.StatusNotFound || e.Requests(entraToken) != 2 {
		t.Errorf("answered %d at request %d, want the fault at the second", answer.Code, e.Requests(entraToken))
	}
}

// The id of a request is given back, if it is one.
func TestEntraCorrelation(t *testing.T) {
	e := newEntra(t)
	for id, want := range map[string]bool{entraClient: true, "a\nb": false, "": false} {
		r := e.request()
		r.claims["sub"] = "other"
		r.header.Set("client-request-id", id)
		var got struct {
			ID string `json:"correlation_id"`
		}
		if err := json.Unmarshal(e.send(t, r).Body.Bytes(), &got); err != nil || (got.ID == id) != want || len(got.ID) != 36 {
			t.Errorf("correlation_id is %q for %q: %v", got.ID, id, err)
		}
	}
}

func TestEntraTokenEnds(t *testing.T) {
	now := time.Now()
	e := newEntra(t, func(c *entratest.Config) { c.Now = func() time.Time { return now } })
	token := e.exchange(t, e.request())
	grant, ok := e.Lookup(token)
	if !ok {
		t.Fatal("Lookup did not find a live token")
	}
	now = grant.Expires
	if _, ok := e.Lookup(token); ok {
		t.Error("Lookup found a token that has ended")
	}
}

func TestEntraRequire(t *testing.T) {
	now := time.Now()
	e := newEntra(t, func(c *entratest.Config) { c.Now = func() time.Time { return now } })
	good := e.exchange(t, e.request())
	r := e.request()
	r.form.Set("scope", "https://vault.azure.net/.default")
	vault := e.exchange(t, r)
	api := e.Require(arm+"/", func(w http.ResponseWriter, _ *http.Request, grant entratest.Identity) {
		_, _ = io.WriteString(w, grant.Subject)
	})
	for _, tt := range []struct {
		name   string
		header http.Header
		want   string // the code of the refusal
	}{
		{"good", bearer(good), ""},
		{"lower case", http.Header{"Authorization": {"bearer " + good}}, ""},
		{"none", nil, "AuthenticationFailed"},
		{"other", bearer(good + "x"), "InvalidAuthenticationToken"},
		{"basic", http.Header{"Authorization": {"Basic " + good}}, "InvalidAuthenticationToken"},
		{"two", http.Header{"Authorization": {"Bearer " + good, "Bearer " + good}}, "InvalidAuthenticationToken"},
		{"other resource", bearer(vault), "InvalidAuthenticationTokenAudience"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer := standintest.Call(t, api, http.MethodGet, "/subscriptions", tt.header, "")
			if tt.want == "" {
				if answer.Code != http.StatusOK || answer.Body.String() != entraSubject {
					t.Errorf("answered %d: %s", answer.Code, answer.Body)
				}
				return
			}
			var got struct {
				Error struct{ Code, Message string }
			}
			if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || answer.Code != http.StatusUnauthorized ||
				got.Error.Code != tt.want || got.Error.Message == "" || !strings.HasPrefix(answer.Header().Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("answered %d: %s, want 401 with %s", answer.Code, answer.Body, tt.want)
			}
		})
	}
	now = now.Add(time.Hour)
	if answer := standintest.Call(t, api, http.MethodGet, "/subscriptions", bearer(good), ""); answer.Code != http.StatusUnauthorized {
		t.Errorf("answered %d to a token that has ended, want 401", answer.Code)
	}
}

// The stand-in keeps a limited number of tokens, those that live longest.
func TestEntraForgets(t *testing.T) {
	now := time.Now()
	e := newEntra(t, func(c *entratest.Config) { c.Now = func() time.Time { return now } })
	r := e.request()
	first := e.exchange(t, r)
	now = now.Add(time.Second)
	second := e.exchange(t, r)
	now = now.Add(time.Second)
	for range 4095 {
		e.exchange(t, r)
	}
	if _, ok := e.Lookup(first); ok {
		t.Error("Lookup found the token that ends first, of 4097")
	}
	if _, ok := e.Lookup(second); !ok {
		t.Error("Lookup did not find the second of 4097")
	}
}

// T05: every JWT that the issuer did not sign is refused by the protocol.
func FuzzEntraJWT(f *testing.F) {
	e := newEntra(f)
	r := e.request()
	good := standintest.Sign(f, e.key, r.jose, r.claims)
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
		r.form.Set("client_assertion", jwt)
		answer := e.send(t, r)
		got, _ := refusalOf(t, answer)
		if got.Status != http.StatusBadRequest && got.Status != http.StatusUnauthorized || got.Error == "" {
			t.Errorf("Entra answered %d to %q: %s", answer.Code, jwt, answer.Body)
		}
	})
}
