package azure

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

// Config is the identity of pipelines in Azure. It holds no secret.
type Config struct {
	// TenantID is the tenant: its GUID, or one of its verified domains.
	// Required.
	TenantID string

	// ClientID is the GUID of the application or the user-assigned managed
	// identity, called its application or client id. Required.
	ClientID string

	// AuthorityHost is the address of Entra without a path: https, or http for
	// a loopback host. Optional, https://login.microsoftonline.com by default.
	// Those of the national clouds, https://login.microsoftonline.us,
	// https://login.partner.microsoftonline.cn and its older name
	// https://login.chinacloudapi.cn, change the defaults below.
	AuthorityHost string

	// Scopes is the one resource of the access tokens, RESOURCE/.default: Entra
	// gives a client a token with all its rights to one resource. Optional; the
	// default is the Azure Resource Manager of the cloud:
	// https://management.azure.com/.default,
	// https://management.usgovcloudapi.net/.default or
	// https://management.chinacloudapi.cn/.default.
	Scopes []string

	// Audience is the JWT's "aud", which the federated credential must name: at
	// most 600 printable ASCII characters without spaces. Optional; the default is
	// the cloud's audience: api://AzureADTokenExchange,
	// api://AzureADTokenExchangeUSGov or api://AzureADTokenExchangeChina.
	Audience string

	// Subject is the template of the JWT's "sub", for [Exchanger.Profile].
	// Optional, the default of oidctoken.Profile.Subject if empty. It is checked when a JWT
	// is minted. Each subject that it can render needs a federated credential.
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
	defaultScope = "/.default"
	maxValue     = 600 // characters of a federated credential's issuer, subject and audience
	maxDomain    = 253 // RFC 1035, section 2.3.4
)

// cloud is one of the separate clouds.
type cloud struct {
	authorities []string // hosts; nil for all others
	scope       string   // of its Azure Resource Manager
	audience    string
	environment string // as Terraform's providers name it; empty for their default
}

// clouds ends with the public cloud. A host that does not belong to Microsoft,
// such as a stand-in's, gets its defaults.
var clouds = []cloud{
	{
		[]string{"login.microsoftonline.us"},
		"https://management.usgovcloudapi.net/.default", "api://AzureADTokenExchangeUSGov", "usgovernment",
	},
	{
		[]string{"login.partner.microsoftonline.cn", "login.chinacloudapi.cn"},
		"https://management.chinacloudapi.cn/.default", "api://AzureADTokenExchangeChina", "china",
	},
	{nil, "https://management.azure.com/.default", "api://AzureADTokenExchange", ""},
}

// cloud returns the cloud of a checked AuthorityHost.
func (c *Config) cloud() cloud {
	host := ""
	if u, err := url.Parse(c.AuthorityHost); err == nil {
		host = strings.ToLower(u.Hostname())
	}
	i := slices.IndexFunc(clouds, func(c cloud) bool { return c.authorities == nil || slices.Contains(c.authorities, host) })
	return clouds[i]
}

// check reports the first rule that c breaks.
func (c *Config) check() error {
	switch {
	case c.TenantID == "":
		return configError("TenantID", "is required")
	case !isGUID(c.TenantID) && !isDomain(c.TenantID):
		return configError("TenantID", "is neither the GUID nor a verified domain of a tenant")
	case c.ClientID == "":
		return configError("ClientID", "is required")
	case !isGUID(c.ClientID):
		return configError("ClientID", "is not a GUID: it is the application (client) id, not a name or a URI")
	case len(c.Audience) > maxValue:
		return configError("Audience", "is longer than 600 characters")
	case !consists(c.Audience, visible):
		return configError("Audience", "is not printable ASCII without spaces")
	case c.Timeout < 0:
		return configError("Timeout", "is negative")
	case c.Budget < 0:
		return configError("Budget", "is negative")
	}
	if c.AuthorityHost != "" {
		if reason := checkAuthorityHost(c.AuthorityHost); reason != "" {
			return configError("AuthorityHost", reason)
		}
	}
	return checkScopes("Scopes", c.Scopes)
}

// withDefaults returns a checked c with the defaults filled in.
func (c Config) withDefaults() Config {
	if c.AuthorityHost == "" {
		c.AuthorityHost = "https://login.microsoftonline.com"
	}
	c.AuthorityHost = strings.TrimSuffix(c.AuthorityHost, "/")
	of := c.cloud()
	if len(c.Scopes) == 0 {
		c.Scopes = []string{of.scope}
	}
	if c.Audience == "" {
		c.Audience = of.audience
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c.clone()
}

// clone shares no slice with c.
func (c Config) clone() Config {
	c.Scopes = slices.Clone(c.Scopes)
	return c
}

// checkAuthorityHost demands an address without a path, since clients put the
// tenant there and some take the first part of a path for it.
func checkAuthorityHost(s string) (reason string) {
	if !consists(s, visible) {
		return "is not a URL"
	}
	if err := tokenhttp.CheckURL(s); err != nil {
		var e *tokenhttp.Error
		if !errors.As(err, &e) {
			return "is not a URL that can be used"
		}
		return strings.TrimPrefix(e.Reason, "the URL ")
	}
	if _, rest, _ := strings.Cut(s, "://"); strings.ContainsAny(strings.TrimSuffix(rest, "/"), "/?") {
		return "has a path or a query: the tenant is TenantID"
	}
	return ""
}

// checkScopes applies the grammar of RFC 6749, section 3.3, and Entra's rule
// for clients that act for themselves.
func checkScopes(field string, scopes []string) error {
	for i, s := range scopes {
		if resource, ok := strings.CutSuffix(s, defaultScope); !ok || resource == "" || !consists(s, scopeByte) {
			return configError(field+"["+strconv.Itoa(i)+"]", "is not RESOURCE/.default")
		}
	}
	if len(scopes) > 1 {
		return configError(field, "has more than one: a token is for one resource")
	}
	return nil
}

// isGUID accepts the one form that Entra shows.
func isGUID(s string) bool {
	groups := strings.Split(s, "-")
	if len(groups) != 5 {
		return false
	}
	for i, n := range []int{8, 4, 4, 4, 12} {
		if len(groups[i]) != n || !consists(groups[i], hexDigit) {
			return false
		}
	}
	return true
}

// isDomain requires a dot: "common" and "organizations" name no tenant.
func isDomain(s string) bool {
	labels := strings.Split(s, ".")
	if len(s) > maxDomain || len(labels) < 2 {
		return false
	}
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || !consists(label, labelByte) {
			return false
		}
	}
	return true
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
func hexDigit(b byte) bool  { return digit(b) || 'a' <= b|0x20 && b|0x20 <= 'f' }
func labelByte(b byte) bool { return digit(b) || lower(b|0x20) || b == '-' }
func visible(b byte) bool   { return '!' <= b && b <= '~' }
func scopeByte(b byte) bool { return visible(b) && b != '"' && b != '\\' }
