// Package entratest is a strict stand-in of Microsoft Entra for tests: the token
// endpoint with federated credentials, and its discovery documents. It verifies
// JWTs and refuses requests as Entra does, with Entra's codes and words.
//
// A [Server] is an [http.Handler] and needs no test: a program may serve it, too,
// on loopback. It protects nothing: do not serve it to a network.
package entratest

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/standin"
)

// Config is the configuration of an [Server], as an administrator of a
// tenant would make it.
type Config struct {
	// TenantID is the GUID of the one tenant. Required.
	TenantID string
	// Domain is a verified domain of the tenant, by which requests may name it,
	// too. Optional.
	Domain string
	// Applications have a token endpoint. Required.
	Applications []Application
	// Resources are the application ID URIs that access tokens can be for.
	// Optional; by default https://management.azure.com,
	// https://graph.microsoft.com, https://vault.azure.net and
	// https://storage.azure.com.
	Resources []string
	// Fault is called for every request, which it must not read. A Handler that it
	// returns answers instead of the stand-in. Optional.
	Fault func(*http.Request) http.Handler
	// Transport fetches discovery documents and JWK Sets. It must not follow
	// redirects. Optional; the default uses no proxy and the system's roots.
	Transport http.RoundTripper
	// Now is the clock. Optional, time.Now by default.
	Now func() time.Time
}

// Application is an application, or a user-assigned managed identity.
type Application struct {
	// ClientID is its application (client) id, a GUID. Required.
	ClientID string
	// FederatedCredentials are at most 20, and no two have the same issuer and
	// subject. Optional; without one, every JWT is refused.
	FederatedCredentials []FederatedCredential
}

// FederatedCredential is a federated identity credential. A JWT must equal
// all three byte for byte; each has at most 600 characters of printable ASCII
// without spaces.
type FederatedCredential struct {
	// Issuer is the "iss": https, or http for a loopback host. Required.
	Issuer string
	// Subject is the "sub". Required.
	Subject string
	// Audience is the "aud". Entra's API has a list, of one. Optional,
	// api://AzureADTokenExchange by default.
	Audience string
	// VisibleAfter is the number of matching token requests that are answered as
	// if the credential did not exist, as Entra does for some minutes after a
	// change. Optional, 0 by default.
	VisibleAfter int
}

// Identity is the identity behind an access token of a [Server].
type Identity struct {
	// TenantID and ClientID identify the application.
	TenantID, ClientID string
	// Issuer and Subject are the "iss" and "sub" of the JWT.
	Issuer, Subject string
	// Resource is the application ID URI that the token is for.
	Resource string
	// Expires is the end of the access token.
	Expires time.Time
}

// Server stands in for the part of Microsoft Entra that exchanges a JWT for an
// access token: the token endpoint of version 2 (/TENANT/oauth2/v2.0/token), for
// the client credentials grant, and the documents by which Microsoft's
// authentication libraries find it (/common/discovery/instance and
// /TENANT/v2.0/.well-known/openid-configuration). The documents name the host
// that the request names, so that a proxy for login.microsoftonline.com can lead
// to the stand-in. Those libraries demand https.
//
// It is at least as strict as Entra. A refusal has Entra's status, error and
// code and, where they are known, its words. The test adds authorization beyond
// the tenant's resources, behind [Server.Require].
//
// An Entra is an [http.Handler] and safe for concurrent use. It starts no
// goroutine and remembers at most 4096 access tokens, the ones that live
// longest.
type Server struct {
	config       Config
	applications map[string]*entraApplication // by ClientID, in lower case

	mu       sync.Mutex
	grants   map[standin.TokenHash]Identity
	requests map[string]int
}

// New returns a stand-in with the configuration c. It makes no request. It
// fails with a [*oidctoken.ConfigError] when Entra would refuse the
// configuration.
func New(c Config) (*Server, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Transport == nil {
		c.Transport = &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}
	}
	e := &Server{
		config:       c,
		applications: make(map[string]*entraApplication),
		grants:       make(map[standin.TokenHash]Identity),
		requests:     make(map[string]int),
	}
	if err := e.configure(c); err != nil {
		return nil, err
	}
	return e, nil
}

const maxEntraRequest = 64 << 10 // bytes of a body

// ServeHTTP answers as Entra does.
func (e *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.count(r.URL.Path)
	if e.config.Fault != nil {
		if h := e.config.Fault(r); h != nil {
			h.ServeHTTP(w, r)
			return
		}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxEntraRequest)
	tenant, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	var refused *entraError
	switch {
	case tenant == "common" && rest == "discovery/instance":
		refused = serveInstance(w, r)
	case rest == "v2.0/.well-known/openid-configuration":
		refused = e.serveConfiguration(w, r, tenant)
	case rest == "discovery/v2.0/keys":
		// Access tokens are not signed, because no API verifies them.
		standin.WriteJSON(w, http.StatusOK, map[string]any{"keys": []any{}})
	case rest == "oauth2/v2.0/token":
		refused = e.serveToken(w, r, tenant)
	default:
		http.NotFound(w, r)
	}
	if refused != nil {
		e.writeError(w, r, refused)
	}
}

// Requests returns the number of requests for a path, such as
// "/TENANT/oauth2/v2.0/token", faults included.
func (e *Server) Requests(path string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.requests[path]
}

func (e *Server) count(path string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.requests[path]; ok || len(e.requests) < standin.MaxCountedPaths {
		e.requests[path]++
	}
}

// serveInstance accepts every authority, and returns the address of its
// configuration.
func serveInstance(w http.ResponseWriter, r *http.Request) *entraError {
	endpoint, err := url.Parse(r.URL.Query().Get("authorization_endpoint"))
	if err != nil || endpoint.Host == "" {
		return missing("authorization_endpoint")
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(endpoint.Path, "/"), "/")
	standin.WriteJSON(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": endpoint.Scheme + "://" + endpoint.Host + "/" + tenant + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata": []any{map[string]any{
			"preferred_network": endpoint.Host, "preferred_cache": endpoint.Host, "aliases": []string{endpoint.Host},
		}},
	})
	return nil
}

// serveConfiguration returns the tenant's discovery document (OpenID Connect
// Discovery 1.0, section 4.2), as far as it concerns clients without a user.
func (e *Server) serveConfiguration(w http.ResponseWriter, r *http.Request, tenant string) *entraError {
	if refused := e.checkTenant(tenant); refused != nil {
		return refused
	}
	base := baseOf(r) + "/"
	standin.WriteJSON(w, http.StatusOK, map[string]any{
		"issuer":                                base + e.config.TenantID + "/v2.0",
		"authorization_endpoint":                base + tenant + "/oauth2/v2.0/authorize",
		"token_endpoint":                        base + tenant + "/oauth2/v2.0/token",
		"jwks_uri":                              base + tenant + "/discovery/v2.0/keys",
		"token_endpoint_auth_methods_supported": []string{"private_key_jwt"},
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
	})
	return nil
}

// baseOf returns the address that r came to.
func baseOf(r *http.Request) string {
	if r.TLS == nil {
		return "http://" + r.Host
	}
	return "https://" + r.Host
}

// checkTenant requires one of the tenant's two names in the path.
func (e *Server) checkTenant(tenant string) *entraError {
	switch {
	case strings.EqualFold(tenant, e.config.TenantID), e.config.Domain != "" && strings.EqualFold(tenant, e.config.Domain):
		return nil
	case !isGUID(tenant) && !isDomain(tenant):
		return badEntra("invalid_request", 900023, "Specified tenant identifier '"+quoted(tenant)+"' is neither a valid DNS name, nor a valid external domain.")
	}
	return badEntra("invalid_request", 90002, "Tenant '"+quoted(tenant)+"' not found."+
		" Check to make sure you have the correct tenant ID and are signing into the correct cloud."+
		" Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.")
}

// configError reports a setting or an argument that cannot work.
func configError(field, reason string) *oidctoken.ConfigError {
	return &oidctoken.ConfigError{Package: "entratest", Field: field, Reason: reason}
}
