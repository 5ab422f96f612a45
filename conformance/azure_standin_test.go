package conformance_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oidctoken/oidctoken/oidctokentest/entratest"
)

const (
	azureConnector = "azure_prod"
	azureTenant    = "0c1f2a3b-4d5e-4f60-8a7b-9c0d1e2f3a4b"
	azureClientID  = "5e6f7a8b-9c0d-4e1f-a2b3-c4d5e6f7a8b9"
	subscription   = "acme-prod"

	loginHost   = "login.microsoftonline.com"
	managerHost = "management.azure.com"
	loopback    = "127.0.0.1"

	subscriptionsAPI = "GET /subscriptions"
)

// entra is a stand-in that trusts one issuer, with an Azure Resource Manager
// behind it, on loopback and, through a proxy, under Microsoft's own names.
type entra struct {
	*entratest.Server
	apis   *http.ServeMux
	url    string // of all of it, on loopback: https
	issuer string // address of the runner's
	proxy  *proxy

	mu         sync.Mutex
	steps      map[string]string // by access token: the step whose JWT it was given for
	calls      []azureCall
	unexpected []string
}

// azureCall is an authenticated call of an API.
type azureCall struct {
	API string
	azureCaller
}

type azureCaller struct{ Step, Subject string }

// newEntra trusts the subject of the project ledger, of the issuer of a runner
// which is yet to be started.
func newEntra(t *testing.T) *entra {
	t.Helper()
	e := &entra{apis: http.NewServeMux(), issuer: freeAddress(t), steps: make(map[string]string)}
	var err error
	e.Server, err = entratest.New(entratest.Config{
		TenantID: azureTenant,
		Applications: []entratest.Application{{ClientID: azureClientID, FederatedCredentials: []entratest.FederatedCredential{
			{Issuer: "http://" + e.issuer, Subject: ledger},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{loginHost, loopback} {
		e.apis.HandleFunc("POST "+host+"/"+azureTenant+"/oauth2/v2.0/token", e.serveToken)
		e.apis.Handle("GET "+host+"/"+azureTenant+"/v2.0/.well-known/openid-configuration", e.Server)
		e.apis.Handle("GET "+host+"/common/discovery/instance", e.Server)
	}
	for _, host := range []string{managerHost, loopback} {
		e.apis.Handle("GET "+host+"/subscriptions", e.admit(subscriptionsAPI, "https://"+managerHost, answer(
			`{"value":[{"id":"/subscriptions/%s","subscriptionId":%q,"displayName":%q,"state":"Enabled"}]}`, azureClientID, azureClientID, subscription)))
	}
	e.proxy = newProxy(t, isAzure, e)
	e.url = e.proxy.ca.serve(t, e).URL
	return e
}

func isAzure(host string) bool {
	return host == loginHost || host == managerHost || host == storageHost
}

func (e *entra) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := e.apis.Handler(r); pattern == "" {
		e.mu.Lock()
		e.unexpected = append(e.unexpected, describe(r))
		e.mu.Unlock()
	}
	e.apis.ServeHTTP(w, r)
}

// serveToken remembers whose JWT an access token was given for: all steps of a
// project are one subject to Entra.
func (e *entra) serveToken(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	e.Server.ServeHTTP(answer, r)
	if answer.Code == http.StatusOK {
		var given struct {
			AccessToken string `json:"access_token"`
		}
		if err := json.Unmarshal(answer.Body.Bytes(), &given); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		e.mu.Lock()
		e.steps[given.AccessToken] = stepOf(body)
		e.mu.Unlock()
	}
	pass(w, answer)
}

// stepOf returns the step whose JWT, which Entra has verified, is in a form; empty
// if it names none.
func stepOf(form []byte) string {
	values, err := url.ParseQuery(string(form))
	if err != nil {
		return ""
	}
	parts := strings.Split(values.Get("client_assertion"), ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Step string `json:"step_id"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Step
}

// admit passes on who carries a live access token for the resource, and
// remembers whose it is.
func (e *entra) admit(api, resource string, next http.Handler) http.Handler {
	return e.Require(resource, func(w http.ResponseWriter, r *http.Request, grant entratest.Identity) {
		_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		e.mu.Lock()
		e.calls = append(e.calls, azureCall{api, azureCaller{e.steps[token], grant.Subject}})
		e.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// callers returns the steps that called an API, in order, each once for calls in a
// row, and as whom.
func (e *entra) callers(api string) []azureCaller {
	e.mu.Lock()
	defer e.mu.Unlock()
	var callers []azureCaller
	for _, c := range e.calls {
		if c.API == api {
			callers = append(callers, c.azureCaller)
		}
	}
	return slices.Compact(callers)
}

// checkNothingElse requires that no client called a host or an API that the
// test did not expect.
func (e *entra) checkNothingElse(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if others := append(e.proxy.Refused(), e.unexpected...); len(others) > 0 {
		t.Errorf("a client turned to\n%s", strings.Join(slices.Compact(others), "\n"))
	}
}

// azureAuthority is a way to Entra.
type azureAuthority struct {
	name string
	host string            // for the connector
	env  map[string]string // for clients: the rest of the way
}

// trust makes every client trust the CA of the stand-in. It changes nothing
// else.
func (e *entra) trust() map[string]string {
	return map[string]string{
		"SSL_CERT_FILE": e.proxy.caFile, "SSL_CERT_DIR": "/nonexistent",
		"REQUESTS_CA_BUNDLE": e.proxy.caFile, "CURL_CA_BUNDLE": e.proxy.caFile,
	}
}

// private returns an authority that Microsoft does not know.
func (e *entra) private() azureAuthority {
	env := e.trust()
	maps.Copy(env, map[string]string{"RESOURCE_MANAGER": e.url, "PRIVATE_AUTHORITY": "yes"})
	return azureAuthority{"private authority", e.url, env}
}

// public returns Microsoft's own, behind a proxy.
func (e *entra) public() azureAuthority {
	env := e.trust()
	maps.Copy(env, map[string]string{"RESOURCE_MANAGER": "https://" + managerHost, "HTTPS_PROXY": e.proxy.url})
	return azureAuthority{loginHost, "https://" + loginHost, env}
}

// pipeline returns a file whose connector leads to an authority.
func (e *entra) pipeline(a azureAuthority, steps ...step) pipeline {
	return newPipeline(e.issuer, connector{ID: azureConnector, Azure: map[string]string{
		"tenantID": azureTenant, "clientID": azureClientID, "authorityHost": a.host,
	}}, steps)
}

// run runs a pipeline file. The runner comes to the authority as the steps do.
func (e *entra) run(t *testing.T, a azureAuthority, env []string, p pipeline) outcome {
	t.Helper()
	env = append([]string{"HOME=" + t.TempDir(), "SSL_CERT_FILE=" + e.proxy.caFile}, env...)
	if a.env["HTTPS_PROXY"] != "" {
		env = append(env, "HTTPS_PROXY="+e.proxy.url)
	}
	return start(t, env, p.write(t))
}
