package gcp

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// Config is the identity of pipelines in Google Cloud. It holds no secret.
type Config struct {
	// Provider is the workload identity pool provider's full name,
	// projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER,
	// with the project's number, not its id. Required.
	Provider string

	// Audience is the JWT's "aud": one of the provider's allowed audiences, of
	// at most 256 printable ASCII characters without spaces. Optional, "https://iam.googleapis.com/"
	// and Provider by default, which a provider without allowed audiences takes.
	Audience string

	// ServiceAccount is the e-mail address of the service account to
	// impersonate. Optional; by default the federated token is used directly.
	ServiceAccount string

	// Delegates are e-mail addresses of service accounts, each of which may
	// make tokens for the next, the last one for ServiceAccount. Optional.
	// Without ServiceAccount they are refused, and so are they by [Exchanger.Bundle]
	// and [Exchanger.CredentialFile], since a file cannot name them.
	Delegates []string

	// Scopes are the access token's OAuth scopes. Optional, cloud-platform by
	// default. A file names no scopes: its reader chooses them.
	Scopes []string

	// Lifetime is the lifetime of the service account's access token, in whole
	// seconds: 10 minutes to 12 hours. More than 1 hour needs the organization
	// policy constraints/iam.allowServiceAccountCredentialLifetimeExtension.
	// Optional, 1 hour by default. Without ServiceAccount it is the lifetime of
	// the JWT, because Google's federated token never outlives the JWT. The
	// issuer's MaxLifetime, 1 hour by default, shortens it.
	Lifetime time.Duration

	// Project is the id of the default project of gcloud and client libraries.
	// [Exchanger.Bundle] and the Credential have it as CLOUDSDK_CORE_PROJECT and
	// GOOGLE_CLOUD_PROJECT. Optional.
	Project string

	// QuotaProject is the id of the project whose quota requests use and which is
	// billed for them. The identity needs serviceusage.services.use there.
	// [Exchanger.Bundle] and the Credential have it as
	// CLOUDSDK_BILLING_QUOTA_PROJECT and GOOGLE_CLOUD_QUOTA_PROJECT, and a
	// credential file as quota_project_id. Optional.
	QuotaProject string

	// UniverseDomain is the domain of the cloud's APIs. Optional; the default is
	// the part after "sts." in the host of TokenURL, or googleapis.com if the host
	// does not begin so, belongs to Google or is on loopback. It is the
	// universe_domain of a credential file. [Exchanger.Bundle] has a domain other
	// than googleapis.com as CLOUDSDK_CORE_UNIVERSE_DOMAIN and
	// GOOGLE_CLOUD_UNIVERSE_DOMAIN, since clients refuse a credential of another
	// universe than theirs.
	UniverseDomain string

	// TokenURL is the whole address of the STS token endpoint, https, or http
	// for a loopback host. Optional, https://sts.UNIVERSE_DOMAIN/v1/token by
	// default.
	TokenURL string

	// TokenInfoURL is the address of the token introspection endpoint, which
	// gcloud calls for a federated token. Optional, /v1/introspect of the host
	// of TokenURL by default.
	TokenInfoURL string

	// ImpersonationURL is the base of the IAM Credentials API, before "/v1/".
	// Optional, https://iamcredentials.UNIVERSE_DOMAIN by default.
	ImpersonationURL string

	// Subject is the template of the JWT's "sub", for [Exchanger.Profile].
	// Optional, the default of oidctoken.Profile.Subject if empty. It is checked when a JWT
	// is minted.
	Subject string

	// Transport makes the requests, one for each attempt; it must not follow
	// redirects. Optional; the default demands TLS 1.2 and takes proxies from
	// the environment.
	Transport http.RoundTripper

	// Timeout bounds one attempt of one request. Optional, 10 s by default.
	Timeout time.Duration

	// Budget bounds one exchange: all attempts, the waits between them and the
	// minting of their JWTs. An earlier deadline of the ctx wins, such as the
	// minute of an exchange.Cache. Optional, 1 minute by default.
	Budget time.Duration

	// Now is the clock. Optional, time.Now by default.
	Now func() time.Time
}

const (
	cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

	maxAudience     = 256 // characters, per allowed audience of a provider
	defaultLifetime = time.Hour
	minLifetime     = 10 * time.Minute
	maxLifetime     = 12 * time.Hour
)

// check reports the first rule that c breaks.
func (c *Config) check() error {
	if reason := checkProvider(c.Provider); reason != "" {
		return configError("Provider", reason)
	}
	switch {
	case len(c.Audience) > maxAudience:
		return configError("Audience", "is longer than 256 characters")
	case !consists(c.Audience, visible):
		return configError("Audience", "is not printable ASCII without spaces")
	case c.ServiceAccount != "" && !isEmail(c.ServiceAccount):
		return configError("ServiceAccount", "is not the e-mail address of a service account")
	case len(c.Delegates) > 0 && c.ServiceAccount == "":
		return configError("Delegates", "lead to no ServiceAccount")
	case c.Lifetime%time.Second != 0:
		return configError("Lifetime", "is not in whole seconds")
	case c.Lifetime != 0 && (c.Lifetime < minLifetime || c.Lifetime > maxLifetime):
		return configError("Lifetime", "is not between 10 minutes and 12 hours")
	case c.Timeout < 0:
		return configError("Timeout", "is negative")
	case c.Budget < 0:
		return configError("Budget", "is negative")
	}
	if err := c.checkProjects(); err != nil {
		return err
	}
	for i, d := range c.Delegates {
		if !isEmail(d) {
			return configError(indexed("Delegates", i), "is not the e-mail address of a service account")
		}
	}
	if err := checkScopes("Scopes", c.Scopes); err != nil {
		return err
	}
	for _, u := range []struct{ field, value string }{
		{"TokenURL", c.TokenURL},
		{"TokenInfoURL", c.TokenInfoURL},
		{"ImpersonationURL", c.ImpersonationURL},
	} {
		if u.value == "" {
			continue
		}
		if reason := checkEndpoint(u.value); reason != "" {
			return configError(u.field, reason)
		}
	}
	return nil
}

// withDefaults returns a checked c with the defaults filled in, except
// Lifetime: in a file, an absent lifetime differs from the default.
func (c Config) withDefaults() Config {
	if c.Audience == "" {
		c.Audience = "https://iam.googleapis.com/" + c.Provider
	}
	if len(c.Scopes) == 0 {
		c.Scopes = []string{cloudPlatform}
	}
	if c.UniverseDomain == "" {
		c.UniverseDomain = universeOf(c.TokenURL)
	}
	if c.TokenURL == "" {
		c.TokenURL = "https://sts." + c.UniverseDomain + "/v1/token"
	}
	if c.TokenInfoURL == "" {
		u, _ := url.Parse(c.TokenURL) // it was checked
		c.TokenInfoURL = u.Scheme + "://" + u.Host + "/v1/introspect"
	}
	if c.ImpersonationURL == "" {
		c.ImpersonationURL = "https://iamcredentials." + c.UniverseDomain
	}
	c.ImpersonationURL = strings.TrimSuffix(c.ImpersonationURL, "/")
	if c.Now == nil {
		c.Now = time.Now
	}
	return c.clone()
}

// clone shares no slice with c.
func (c Config) clone() Config {
	c.Delegates = slices.Clone(c.Delegates)
	c.Scopes = slices.Clone(c.Scopes)
	return c
}

func checkProvider(s string) (reason string) {
	if s == "" {
		return "is required"
	}
	if strings.HasPrefix(s, "//") || strings.Contains(s, "://") {
		return `begins with a host: leave out what stands before "projects/"`
	}
	p := strings.Split(s, "/")
	if len(p) != 8 || p[0] != "projects" || p[2] != "locations" || p[4] != "workloadIdentityPools" || p[6] != "providers" {
		return "is not projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"
	}
	switch {
	case !consists(p[1], digit) || p[1] == "" || len(p[1]) > 19 || p[1][0] == '0':
		return "does not name the project by its number"
	case p[3] != "global":
		return "is in another location than global"
	case !isResourceID(p[5]):
		return "has a pool id that is not of 1 to 32 of a-z 0-9 -"
	case !isResourceID(p[7]):
		return "has a provider id that is not of 1 to 32 of a-z 0-9 -"
	}
	return ""
}

// pool returns the full name of the provider's pool.
func (c *Config) pool() string {
	pool, _, _ := strings.Cut(c.Provider, "/providers/")
	return pool
}

// checkScopes applies the grammar of RFC 6749, section 3.3.
func checkScopes(field string, scopes []string) error {
	for i, s := range scopes {
		if s == "" || !consists(s, scopeByte) {
			return configError(indexed(field, i), "is not an OAuth scope")
		}
	}
	return nil
}

// checkEndpoint requires an address to which secrets may be posted, without
// parts that would be ignored.
func checkEndpoint(s string) (reason string) {
	if reason := checkURL(s); reason != "" {
		return reason
	}
	if strings.Contains(s, "?") {
		return "has a query"
	}
	return ""
}

func checkURL(s string) (reason string) {
	if !consists(s, visible) {
		return "is not a URL"
	}
	err := tokenhttp.CheckURL(s)
	if err == nil {
		return ""
	}
	var e *tokenhttp.Error
	if !errors.As(err, &e) {
		return "is not a URL that can be used"
	}
	return strings.TrimPrefix(e.Reason, "the URL ")
}

// isEmail reports whether s can stand in a path of the IAM Credentials API
// unchanged.
func isEmail(s string) bool {
	name, domain, ok := strings.Cut(s, "@")
	return ok && len(s) <= 256 && name != "" && domain != "" && consists(name, emailByte) && consists(domain, emailByte)
}

// isResourceID is more lenient than Google, which requires four characters in a
// new id: Google decides about an older id.
func isResourceID(s string) bool {
	return s != "" && len(s) <= 32 && consists(s, func(b byte) bool { return digit(b) || lower(b) || b == '-' })
}

func consists(s string, of func(byte) bool) bool {
	for i := range len(s) {
		if !of(s[i]) {
			return false
		}
	}
	return true
}

func digit(b byte) bool     { return '0' <= b && b <= '9' }
func lower(b byte) bool     { return 'a' <= b && b <= 'z' }
func visible(b byte) bool   { return '!' <= b && b <= '~' }
func emailByte(b byte) bool { return digit(b) || lower(b) || b == '-' || b == '.' }
func scopeByte(b byte) bool { return visible(b) && b != '"' && b != '\\' }

func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }
