// Package awstest is a strict stand-in of the AWS Security Token Service for tests.
// It verifies JWTs and signatures and refuses requests as AWS does, with AWS's
// codes and words.
//
// A [Server] is an [http.Handler] and needs no test: a program may serve it, too,
// on loopback. It protects nothing: do not serve it to a network.
package awstest

import (
	"crypto/rand"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/standin"
)

// Config is the configuration of an [Server], as an administrator of AWS
// accounts would make it.
type Config struct {
	// Providers are the IAM OpenID Connect identity providers of all accounts.
	// Required.
	Providers []Provider
	// Roles can be assumed. Required.
	Roles []Role
	// Fault is called for every request, which it must not read. A Handler that it
	// returns answers instead of the stand-in. Optional.
	Fault func(*http.Request) http.Handler
	// Transport fetches discovery documents and JWK Sets. It must not follow
	// redirects. Optional; the default uses no proxy and the system's roots.
	Transport http.RoundTripper
	// Now is the clock. Optional, time.Now by default.
	Now func() time.Time
}

// Provider is an IAM OpenID Connect identity provider.
type Provider struct {
	// Account is the id of its account, 12 digits. Required.
	Account string
	// Issuer is the "iss" of its JWTs, byte for byte: https, or http for a
	// loopback host, of at most 255 characters and without a query. Required.
	Issuer string
	// ClientIDs are the accepted values of "aud": 1 to 100, of 1 to 255 characters
	// each. Required.
	ClientIDs []string
}

// Role is an IAM role with its trust policy.
type Role struct {
	// ARN is arn:PARTITION:iam::ACCOUNT:role/NAME. Required.
	ARN string
	// Trust holds the statements of the role's trust policy. A JWT that meets one
	// of them may assume the role. Optional; without a statement every JWT is
	// refused.
	Trust []Trust
	// MaxSessionDuration is the longest session, 1 to 12 hours, in whole
	// seconds. Optional, 1 hour by default.
	MaxSessionDuration time.Duration
}

// Trust is a statement that allows sts:AssumeRoleWithWebIdentity to the JWTs
// of a provider of the role's account. Its conditions must all hold.
type Trust struct {
	// Provider is the Issuer of the provider. Required.
	Provider string
	// StringEquals and StringLike are conditions: the claim "sub" or "aud" must
	// have one of the values. In StringLike, * matches any text and ? any
	// character. Other claims of a private issuer are no condition keys and are
	// refused. Optional.
	StringEquals, StringLike map[string][]string
	// RoleAuthorizedByIdP demands that the JWT's roles claim names the role.
	RoleAuthorizedByIdP bool
	// TagSession also allows sts:TagSession, without which a JWT with session
	// tags is refused.
	TagSession bool
	// SetSourceIdentity also allows sts:SetSourceIdentity, without which a JWT
	// with a source identity is refused.
	SetSourceIdentity bool
}

// Session is the session behind the credentials of an [Server].
type Session struct {
	// RoleARN is the role that was assumed.
	RoleARN string
	// ARN is arn:PARTITION:sts::ACCOUNT:assumed-role/ROLE/SESSION-NAME.
	ARN string
	// UserID is ROLE-ID:SESSION-NAME.
	UserID string
	// Account is the id of the role's account.
	Account string
	// Provider and Subject are the "iss" and "sub" of the JWT.
	Provider, Subject string
	// Tags are the session tags by key. TransitiveTagKeys are the keys of the tags
	// that stay when the session assumes further roles.
	Tags              map[string]string
	TransitiveTagKeys []string
	// SourceIdentity is the source identity; empty if none was set.
	SourceIdentity string
	// Policy and PolicyARNs limit the session.
	Policy     string
	PolicyARNs []string
	// Expires is the end of the session.
	Expires time.Time
}

// Server stands in for the AWS Security Token Service: AssumeRoleWithWebIdentity,
// and GetCallerIdentity, for which it verifies Signature Version 4, so that a
// client that is answered has proved that its credentials work. It serves all
// Regions and accounts on one address.
//
// It is at least as strict as AWS. A refusal has AWS's status and code and,
// where they are known, its words. Two things differ on purpose: a change takes
// effect at once, and a JWT of more than 16 KiB is refused.
//
// An AWS is an [http.Handler] and safe for concurrent use. It starts no
// goroutine and remembers at most 4096 sessions, the ones that live longest.
type Server struct {
	config    Config
	providers map[awsProviderKey]*awsProvider
	roles     map[string]*awsRole // by ARN

	mu       sync.Mutex
	sessions map[string]awsSession // by access key id
	requests map[string]int
}

// New returns a stand-in with the configuration c. It makes no request. It
// fails with a [*oidctoken.ConfigError] when AWS would refuse the
// configuration.
func New(c Config) (*Server, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Transport == nil {
		c.Transport = &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}
	}
	a := &Server{
		config:    c,
		providers: make(map[awsProviderKey]*awsProvider),
		roles:     make(map[string]*awsRole),
		sessions:  make(map[string]awsSession),
		requests:  make(map[string]int),
	}
	if err := a.configure(c); err != nil {
		return nil, err
	}
	return a, nil
}

const (
	awsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	awsVersion   = "2011-06-15"

	actionAssume   = "AssumeRoleWithWebIdentity"
	actionIdentity = "GetCallerIdentity"

	maxAWSRequest = 128 << 10 // bytes of a body
)

// ServeHTTP answers as STS does.
func (a *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.config.Fault != nil {
		if h := a.config.Fault(r); h != nil {
			h.ServeHTTP(w, r)
			return
		}
	}
	form, body, refused := readAWSForm(w, r)
	if refused == nil {
		a.count(form.Get("Action"))
		refused = a.serve(w, r, form, body)
	}
	if refused != nil {
		writeAWSError(w, refused)
	}
}

// Requests returns the number of requests for an action,
// AssumeRoleWithWebIdentity or GetCallerIdentity, without those that Fault
// answered.
func (a *Server) Requests(action string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.requests[action]
}

func (a *Server) count(action string) {
	if action != actionAssume && action != actionIdentity {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests[action]++
}

// awsSession is a session with what signs for it.
type awsSession struct {
	Session
	secret, token func() string // which print as addresses
}

// Session returns the session of an access key id, and false if this stand-in
// did not issue it or it has expired. The caller owns the result.
func (a *Server) Session(accessKeyID string) (Session, bool) {
	s, ok := a.session(accessKeyID)
	if !ok || !a.config.Now().Before(s.Expires) {
		return Session{}, false
	}
	s.Tags = maps.Clone(s.Tags)
	s.TransitiveTagKeys = slices.Clone(s.TransitiveTagKeys)
	s.PolicyARNs = slices.Clone(s.PolicyARNs)
	return s.Session, true
}

func (a *Server) session(accessKeyID string) (awsSession, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.sessions[accessKeyID]
	return s, ok
}

// issue makes credentials for a session.
func (a *Server) issue(s Session) (accessKeyID, secret, token string) {
	accessKeyID = "ASIA" + rand.Text()[:16]
	secret = awsSecret(30)
	token = "FwoGZXIvYXdz" + awsSecret(144)
	now := a.config.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.sessions) >= standin.MaxGrants {
		a.forget(now)
	}
	a.sessions[accessKeyID] = awsSession{s, func() string { return secret }, func() string { return token }}
	return accessKeyID, secret, token
}

// awsSecret returns n random bytes as text, as AWS's secrets look: in base64, whose
// + and / clients must not trip over.
func awsSecret(n int) string {
	random := make([]byte, n)
	rand.Read(random) // never fails: the program ends without entropy
	return base64.StdEncoding.EncodeToString(random)
}

// forget drops the expired sessions, or if there are none, the one that expires
// first.
func (a *Server) forget(now time.Time) {
	var first string
	var end time.Time
	for id, s := range a.sessions {
		if !now.Before(s.Expires) {
			delete(a.sessions, id)
		} else if end.IsZero() || s.Expires.Before(end) {
			first, end = id, s.Expires
		}
	}
	if len(a.sessions) >= standin.MaxGrants {
		delete(a.sessions, first)
	}
}

// configError reports a setting or an argument that cannot work.
func configError(field, reason string) *oidctoken.ConfigError {
	return &oidctoken.ConfigError{Package: "awstest", Field: field, Reason: reason}
}
