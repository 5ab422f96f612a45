package googletest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/oidctokentest/googletest"
	"github.com/oidctoken/oidctoken/oidctokentest/internal/standintest"
)

const (
	pool           = "projects/123/locations/global/workloadIdentityPools/ci"
	provider       = pool + "/providers/acme"
	cloudPlatform  = "https://www.googleapis.com/auth/cloud-platform"
	deployer       = "deployer@acme.iam.gserviceaccount.com"
	gcloudClientID = "32555940559.apps.googleusercontent.com"
)

// google is a stand-in, with an issuer that it trusts.
type google struct {
	*googletest.Server
	issuer *oidctokentest.Issuer
	key    oidctoken.Key // RS256, of the issuer
	kid    string
}

func newGoogle(t testing.TB, change ...func(*googletest.Config)) *google {
	t.Helper()
	g := &google{key: standintest.RSAKey(t)}
	g.issuer = oidctokentest.NewIssuer(t, func(c *oidctoken.Config) {
		c.Keys = append(oidctoken.StaticKeys{g.key}, oidctokentest.NewKey(t, "ES256"))
	})
	var err error
	if g.kid, err = jose.Thumbprint(g.key.Signer.Public()); err != nil {
		t.Fatal(err)
	}
	c := googletest.Config{
		Providers: []googletest.Provider{{Name: provider, Issuer: g.issuer.URL}},
	}
	for _, f := range change {
		f(&c)
	}
	if g.Server, err = googletest.New(c); err != nil {
		t.Fatal(err)
	}
	return g
}

// request is a token request, with what its JWT is made of.
type request struct {
	method, path, body string // body replaces form
	form               url.Values
	header             http.Header
	jose, claims       map[string]any
	jwt                func(string) string // changes the JWT
}

func (g *google) request() *request {
	now := time.Now().Unix()
	return &request{
		method: http.MethodPost, path: "/v1/token",
		form: url.Values{
			"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
			"audience":             {"//iam.googleapis.com/" + provider},
			"scope":                {cloudPlatform},
			"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
			"subject_token_type":   {"urn:ietf:params:oauth:token-type:jwt"},
		},
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		jose:   map[string]any{"alg": "RS256", "kid": g.kid, "typ": "JWT"},
		claims: map[string]any{
			"iss": g.issuer.URL, "sub": "account/acme", "aud": "https://iam.googleapis.com/" + provider,
			"iat": now, "nbf": now - 60, "exp": now + 900, "environment_id": "prod",
		},
	}
}

// send signs the JWT, sends r and returns the answer.
func (g *google) send(t testing.TB, r *request) *httptest.ResponseRecorder {
	t.Helper()
	if !r.form.Has("subject_token") {
		jwt := standintest.Sign(t, g.key, r.jose, r.claims)
		if r.jwt != nil {
			jwt = r.jwt(jwt)
		}
		r.form.Set("subject_token", jwt)
	}
	body := r.body
	if body == "" {
		body = r.form.Encode()
	}
	return standintest.Call(t, g, r.method, r.path, r.header, body)
}

// exchange sends r and returns the access token.
func (g *google) exchange(t testing.TB, r *request) string {
	t.Helper()
	answer := g.send(t, r)
	var a struct {
		AccessToken string `json:"access_token"`
	}
	if answer.Code != http.StatusOK || json.Unmarshal(answer.Body.Bytes(), &a) != nil || a.AccessToken == "" {
		t.Fatalf("the STS answered %d: %s", answer.Code, answer.Body)
	}
	return a.AccessToken
}

func bearer(token string) http.Header {
	return http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}
}
