package entratest_test

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
	"github.com/oidctoken/oidctoken/oidctokentest/entratest"
	"github.com/oidctoken/oidctoken/oidctokentest/internal/standintest"
)

const (
	entraTenant  = "11111111-2222-3333-4444-555555555555"
	entraClient  = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
	entraSubject = "account/acme"
	entraToken   = "/" + entraTenant + "/oauth2/v2.0/token"
	arm          = "https://management.azure.com"
)

// entra is a stand-in, with an issuer that its one application trusts.
type entra struct {
	*entratest.Server
	issuer *oidctokentest.Issuer
	key    oidctoken.Key // RS256, of the issuer
	kid    string
}

func newEntra(t testing.TB, change ...func(*entratest.Config)) *entra {
	t.Helper()
	e := &entra{key: standintest.RSAKey(t)}
	e.issuer = oidctokentest.NewIssuer(t)
	var err error
	if e.kid, err = jose.Thumbprint(e.key.Signer.Public()); err != nil {
		t.Fatal(err)
	}
	c := entratest.Config{
		TenantID: entraTenant, Domain: "acme.onmicrosoft.com",
		Applications: []entratest.Application{{
			ClientID:             entraClient,
			FederatedCredentials: []entratest.FederatedCredential{{Issuer: e.issuer.URL, Subject: entraSubject}},
		}},
	}
	for _, f := range change {
		f(&c)
	}
	if e.Server, err = entratest.New(c); err != nil {
		t.Fatal(err)
	}
	return e
}

// request returns a good token request.
func (e *entra) request() *request {
	now := time.Now().Unix()
	return &request{
		method: http.MethodPost, path: entraToken,
		form: url.Values{
			"grant_type":            {"client_credentials"},
			"client_id":             {entraClient},
			"scope":                 {arm + "/.default"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		},
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		jose:   map[string]any{"alg": "RS256", "kid": e.kid, "typ": "JWT"},
		claims: map[string]any{
			"iss": e.issuer.URL, "sub": entraSubject, "aud": "api://AzureADTokenExchange",
			"iat": now, "nbf": now - 60, "exp": now + 1800,
		},
	}
}

// send signs the JWT, sends r and returns the answer.
func (e *entra) send(t testing.TB, r *request) *httptest.ResponseRecorder {
	t.Helper()
	if !r.form.Has("client_assertion") {
		jwt := standintest.Sign(t, e.key, r.jose, r.claims)
		if r.jwt != nil {
			jwt = r.jwt(jwt)
		}
		r.form.Set("client_assertion", jwt)
	}
	body := r.body
	if body == "" {
		body = r.form.Encode()
	}
	return standintest.Call(t, e, r.method, r.path, r.header, body)
}

// exchange sends r and returns the access token.
func (e *entra) exchange(t testing.TB, r *request) string {
	t.Helper()
	answer := e.send(t, r)
	var a struct {
		AccessToken string `json:"access_token"`
	}
	if answer.Code != http.StatusOK || json.Unmarshal(answer.Body.Bytes(), &a) != nil || a.AccessToken == "" {
		t.Fatalf("Entra answered %d: %s", answer.Code, answer.Body)
	}
	return a.AccessToken
}

// entraRefusal holds the predictable parts of a refusal.
type entraRefusal struct {
	Status int
	Error  string
	Code   int
}

// refusalOf reads a refusal of Entra. Its status, its code and its text must agree.
func refusalOf(t testing.TB, answer *httptest.ResponseRecorder) (r entraRefusal, description string) {
	t.Helper()
	var a struct {
		Error         string `json:"error"`
		Description   string `json:"error_description"`
		Codes         []int  `json:"error_codes"`
		Timestamp     string `json:"timestamp"`
		TraceID       string `json:"trace_id"`
		CorrelationID string `json:"correlation_id"`
		URI           string `json:"error_uri"`
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &a); err != nil || len(a.Codes) != 1 {
		t.Fatalf("Entra answered %d: %s", answer.Code, answer.Body)
	}
	if a.TraceID == a.CorrelationID || len(a.TraceID) != 36 || len(a.CorrelationID) != 36 || a.Timestamp == "" || a.URI == "" {
		t.Errorf("the refusal is not whole: %s", answer.Body)
	}
	return entraRefusal{answer.Code, a.Error, a.Codes[0]}, a.Description
}

// request is a token request, with what its JWT is made of.
type request struct {
	method, path, body string // body replaces form
	form               url.Values
	header             http.Header
	jose, claims       map[string]any
	jwt                func(string) string // changes the JWT
}

func bearer(token string) http.Header {
	return http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}
}
