// Package googletest is a strict stand-in of Google Cloud for tests: the Security
// Token Service, service account impersonation and Google's own JWK Set. It
// verifies JWTs and refuses requests as Google does, with Google's codes and words.
//
// A [Server] is an [http.Handler] and needs no test: a program may serve it, too,
// on loopback. It protects nothing: do not serve it to a network.
package googletest

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/standin"
)

// Config is the configuration of a [Server], as an administrator of
// Google Cloud would make it.
type Config struct {
	// Providers are the workload identity pool providers. Required.
	Providers []Provider
	// ServiceAccounts can be impersonated. Optional.
	ServiceAccounts []ServiceAccount
	// Projects are the result of projects.list of the Cloud Resource Manager API,
	// for every valid bearer with the scope cloud-platform. Optional.
	Projects []Project
	// Fault is called for every request, which it must not read. A Handler that it
	// returns answers instead of the stand-in. Optional.
	Fault func(*http.Request) http.Handler
	// Transport fetches discovery documents and JWK Sets. It must not follow
	// redirects. Optional; the default uses no proxy and the system's roots.
	Transport http.RoundTripper
	// Now is the clock. Optional, time.Now by default.
	Now func() time.Time
}

// Provider is an OIDC provider of a workload identity pool.
type Provider struct {
	// Name is projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER.
	// Required.
	Name string
	// Issuer is the "iss" of its JWTs, byte for byte: https, or http for a
	// loopback host. Required.
	Issuer string
	// AllowedAudiences are the accepted values of "aud": at most 10, of at most
	// 256 characters each. Optional; without one, "aud" is Name behind
	// "https://iam.googleapis.com/" or "//iam.googleapis.com/".
	AllowedAudiences []string
	// AttributeMapping maps google.subject and attribute.NAME to an expression.
	// CEL is not evaluated here: an expression is assertion.x,
	// assertion['x'] or a string literal without escapes, and others are
	// refused. Optional; google.subject is assertion.sub by default.
	AttributeMapping map[string]string
	// AttributeCondition is REFERENCE == 'LITERAL', or several of these joined
	// by &&, with references and literals as in AttributeMapping. Optional; by
	// default every JWT that verifies is admitted.
	AttributeCondition string
	// JWKSet is an uploaded JWK Set (RFC 7517, section 5): keys of RSA or
	// P-256, with no members but kty, alg, use, kid, n, e, x, y and crv.
	// Optional; by default the keys are found through Issuer's discovery
	// document.
	JWKSet []byte
}

// ServiceAccount is a service account with the members that may
// impersonate it.
type ServiceAccount struct {
	// Email is the account's address. Required.
	Email string
	// Members may create tokens for the account:
	// principal://iam.googleapis.com/POOL/subject/SUBJECT,
	// principalSet://iam.googleapis.com/POOL/attribute.NAME/VALUE,
	// principalSet://iam.googleapis.com/POOL/* or serviceAccount:EMAIL, where POOL
	// is projects/NUMBER/locations/global/workloadIdentityPools/ID. Optional;
	// without a member, every caller is refused.
	Members []string
	// MaxLifetime is the longest lifetime of its access tokens, in whole seconds,
	// 1 to 12 hours. More than 1 hour means that the organization policy
	// constraints/iam.allowServiceAccountCredentialLifetimeExtension is set.
	// Optional, 1 hour by default.
	MaxLifetime time.Duration
}

// Project is a project of the Cloud Resource Manager API. All of it is
// required but Name, which is ID by default.
type Project struct {
	ID, Number, Name string
}

// Identity is the identity behind an access token of a [Server].
type Identity struct {
	// Principal is the federated identity,
	// principal://iam.googleapis.com/POOL/subject/SUBJECT, also behind a service
	// account.
	Principal string
	// Attributes are the mapped attributes by name: google.subject and
	// attribute.NAME.
	Attributes map[string]string
	// ServiceAccount is the address of the impersonated account; empty for a
	// federated token.
	ServiceAccount string
	// Scopes are the OAuth scopes (RFC 6749, section 3.3).
	Scopes []string
	// Expires is the end of the access token.
	Expires time.Time

	pool   string // full name
	client string // that authenticated with the token request; may be empty
}

// Server stands in for the parts of Google Cloud that exchange a JWT for an
// access token: the Security Token Service (/v1/token, /v1/introspect), the IAM
// Service Account Credentials API (generateAccessToken, generateIdToken below
// /v1/projects/-/serviceAccounts/), Google's own JWK Set (/oauth2/v3/certs) and,
// for clients to have something to call, projects.list of the Cloud Resource
// Manager API (/v1/projects). All are served on one address, whatever the Host,
// so that a proxy for *.googleapis.com can lead to it.
//
// It is at least as strict as Google. A refusal has Google's status and code
// and, where they are known, its words. Two differences are deliberate: a
// change takes effect at once, and the test adds authorization beyond
// impersonation, behind [Server.Require].
//
// A Google is an [http.Handler] and safe for concurrent use. It keeps no
// goroutine and no connection between requests, and remembers at most 4096
// access tokens, the ones that live longest.
type Server struct {
	config    Config
	providers map[string]*googleProvider // by Name
	accounts  map[string]*ServiceAccount
	signer    func() (*googleSigner, error) // of ID tokens

	mu       sync.Mutex
	grants   map[standin.TokenHash]Identity
	requests map[string]int
}

// New returns a stand-in with the configuration c. It makes no request. It
// fails with a [*oidctoken.ConfigError] when Google would refuse the
// configuration, or this stand-in does not support it.
func New(c Config) (*Server, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Transport == nil {
		c.Transport = &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}
	}
	g := &Server{
		config:    c,
		providers: make(map[string]*googleProvider),
		accounts:  make(map[string]*ServiceAccount),
		signer:    sync.OnceValues(newGoogleSigner),
		grants:    make(map[standin.TokenHash]Identity),
		requests:  make(map[string]int),
	}
	if err := g.configure(c); err != nil {
		return nil, err
	}
	return g, nil
}

const (
	maxGoogleRequest = 64 << 10 // bytes of a body

	accountPrefix = "/v1/projects/-/serviceAccounts/"
)

// ServeHTTP serves the API of the request's path.
func (g *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.count(r.URL.Path)
	if g.config.Fault != nil {
		if h := g.config.Fault(r); h != nil {
			h.ServeHTTP(w, r)
			return
		}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxGoogleRequest)
	call := r.Method + " " + r.URL.Path
	switch {
	case call == "POST /v1/token":
		g.serveToken(w, r)
	case call == "POST /v1/introspect":
		g.serveIntrospect(w, r)
	case strings.HasPrefix(call, "POST "+accountPrefix):
		g.Require(g.serveAccount).ServeHTTP(w, r)
	case call == "GET /v1/projects":
		g.Require(g.serveProjects).ServeHTTP(w, r)
	case call == "GET /oauth2/v3/certs":
		g.serveCerts(w)
	default:
		writeStatus(w, http.StatusNotFound, "NOT_FOUND", "Requested entity was not found.")
	}
}

// Requests returns the number of requests for a path, such as "/v1/token",
// faults included.
func (g *Server) Requests(path string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.requests[path]
}

func (g *Server) count(path string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.requests[path]; ok || len(g.requests) < standin.MaxCountedPaths {
		g.requests[path]++
	}
}

// configError reports a setting or an argument that cannot work.
func configError(field, reason string) *oidctoken.ConfigError {
	return &oidctoken.ConfigError{Package: "googletest", Field: field, Reason: reason}
}
