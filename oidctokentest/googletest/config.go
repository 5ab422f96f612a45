package googletest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/internal/standin"
)

const (
	maxAudiences      = 10
	maxAudience       = 256 // characters
	maxAttributes     = 50
	maxExpression     = 2048
	maxCondition      = 4096
	maxAccessLifetime = 12 * time.Hour
	minMaxLifetime    = time.Hour

	googleResource = "//iam.googleapis.com/"
)

// googleProvider is a Provider that was understood.
type googleProvider struct {
	Provider
	pool      string // full name
	mapping   map[string]operand
	condition []comparison
	uploaded  *jose.Set           // or nil:
	issuer    *standin.IssuerKeys // the keys are to be found
}

func (g *Server) configure(c Config) error {
	if len(c.Providers) == 0 {
		return configError("Providers", "is required")
	}
	for i, provider := range c.Providers {
		p, err := newGoogleProvider(fmt.Sprintf("Providers[%d].", i), provider, c.Transport)
		if err != nil {
			return err
		}
		if g.providers[p.Name] != nil {
			return configError(fmt.Sprintf("Providers[%d].Name", i), "is that of another provider, too")
		}
		g.providers[p.Name] = p
	}
	for i, a := range c.ServiceAccounts {
		field := fmt.Sprintf("ServiceAccounts[%d].", i)
		if err := checkAccount(field, a); err != nil {
			return err
		}
		if g.accounts[a.Email] != nil {
			return configError(field+"Email", "is that of another account, too")
		}
		a.Members = slices.Clone(a.Members)
		if a.MaxLifetime == 0 {
			a.MaxLifetime = time.Hour
		}
		g.accounts[a.Email] = &a
	}
	for i, p := range c.Projects {
		if p.ID == "" || !isNumber(p.Number) {
			return configError(fmt.Sprintf("Projects[%d]", i), "has no ID, or no Number in digits")
		}
	}
	g.config.Projects = slices.Clone(c.Projects)
	return nil
}

func newGoogleProvider(field string, c Provider, transport http.RoundTripper) (*googleProvider, error) {
	p := &googleProvider{Provider: c}
	var reason string
	if p.pool, reason = poolOf(c.Name); reason != "" {
		return nil, configError(field+"Name", reason)
	}
	if reason := standin.CheckIssuer(c.Issuer); reason != "" {
		return nil, configError(field+"Issuer", reason)
	}
	if reason := checkAudiences(c.AllowedAudiences); reason != "" {
		return nil, configError(field+"AllowedAudiences", reason)
	}
	p.AllowedAudiences = slices.Clone(c.AllowedAudiences)
	var err error
	if p.mapping, err = parseMapping(field+"AttributeMapping", c.AttributeMapping); err != nil {
		return nil, err
	}
	if p.condition, reason = parseCondition(c.AttributeCondition); reason != "" {
		return nil, configError(field+"AttributeCondition", reason)
	}
	if c.JWKSet == nil {
		p.issuer = standin.NewIssuerKeys(c.Issuer, transport)
	} else if p.uploaded, reason = parseUpload(c.JWKSet); reason != "" {
		return nil, configError(field+"JWKSet", reason)
	}
	return p, nil
}

// poolOf returns the pool's name in the name of a provider.
func poolOf(provider string) (pool, reason string) {
	if provider == "" {
		return "", "is required"
	}
	pool, id, ok := strings.Cut(provider, "/providers/")
	if !ok || !isPool(pool) || !isResourceID(id) {
		return "", "is not projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"
	}
	return pool, ""
}

func isPool(name string) bool {
	p := strings.Split(name, "/")
	return len(p) == 6 && p[0] == "projects" && isNumber(p[1]) && p[2] == "locations" &&
		p[3] == "global" && p[4] == "workloadIdentityPools" && isResourceID(p[5])
}

// isResourceID is more lenient than Google, which requires four characters in a
// new id.
func isResourceID(s string) bool {
	return s != "" && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func isNumber(s string) bool {
	return s != "" && len(s) <= 19 && s[0] != '0' && strings.Trim(s, "0123456789") == ""
}

func checkAudiences(audiences []string) (reason string) {
	if len(audiences) > maxAudiences {
		return "has more than 10"
	}
	for _, a := range audiences {
		if n := len([]rune(a)); n == 0 || n > maxAudience {
			return "has one that is not of 1 to 256 characters"
		}
	}
	return ""
}

func checkAccount(field string, a ServiceAccount) error {
	if !isEmail(a.Email) {
		return configError(field+"Email", "is not the e-mail address of a service account")
	}
	for i, m := range a.Members {
		if !isMember(m) {
			return configError(fmt.Sprintf("%sMembers[%d]", field, i),
				"is not principal://, principalSet:// or serviceAccount: with a full name, or names a group")
		}
	}
	if l := a.MaxLifetime; l != 0 && (l < minMaxLifetime || l > maxAccessLifetime || l%time.Second != 0) {
		return configError(field+"MaxLifetime", "is not between 1 and 12 hours, in whole seconds")
	}
	return nil
}

func isEmail(s string) bool {
	const chars = "abcdefghijklmnopqrstuvwxyz0123456789-."
	name, domain, ok := strings.Cut(s, "@")
	return ok && name != "" && domain != "" && len(s) <= 256 && strings.Trim(name+domain, chars) == ""
}

// isMember reports whether m is a member of an IAM policy that can be compared
// with a grant.
func isMember(m string) bool {
	if email, ok := strings.CutPrefix(m, "serviceAccount:"); ok {
		return isEmail(email)
	}
	if rest, ok := strings.CutPrefix(m, "principal:"+googleResource); ok {
		pool, subject, ok := strings.Cut(rest, "/subject/")
		return ok && isPool(pool) && subject != ""
	}
	rest, ok := strings.CutPrefix(m, "principalSet:"+googleResource)
	if !ok {
		return false
	}
	if pool, ok := strings.CutSuffix(rest, "/*"); ok && isPool(pool) {
		return true
	}
	pool, attribute, ok := strings.Cut(rest, "/attribute.")
	name, value, found := strings.Cut(attribute, "/")
	return ok && found && isPool(pool) && isAttribute(name) && value != ""
}

// members returns all names by which an IAM policy may name the grant's bearer.
func (grant *Identity) members() []string {
	if grant.ServiceAccount != "" {
		return []string{"serviceAccount:" + grant.ServiceAccount}
	}
	set := "principalSet:" + googleResource + grant.pool
	names := []string{grant.Principal, set + "/*"}
	for name, value := range grant.Attributes {
		if strings.HasPrefix(name, attributePrefix) {
			names = append(names, set+"/"+name+"/"+value)
		}
	}
	return names
}
