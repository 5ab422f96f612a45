package entratest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken/internal/standin"
)

const (
	maxFederatedCredentials = 20
	maxFederatedValue       = 600 // characters

	entraAudience = "api://AzureADTokenExchange"
)

// entraApplication is an Application that was understood.
type entraApplication struct {
	Application
	issuers map[string]*standin.IssuerKeys // by Issuer
	hidden  []int                          // the rest of each credential's VisibleAfter; guarded by Entra.mu
}

func (e *Server) configure(c Config) error {
	switch {
	case c.TenantID == "":
		return configError("TenantID", "is required")
	case !isGUID(c.TenantID):
		return configError("TenantID", "is not a GUID")
	case c.Domain != "" && !isDomain(c.Domain):
		return configError("Domain", "is not the name of a domain")
	case len(c.Applications) == 0:
		return configError("Applications", "is required")
	}
	for i, resource := range c.Resources {
		if !isFederatedValue(resource) || strings.HasSuffix(resource, "/") {
			return configError(fmt.Sprintf("Resources[%d]", i), "is not an application ID URI without a slash at its end")
		}
	}
	e.config.Resources = slices.Clone(c.Resources)
	if len(c.Resources) == 0 {
		e.config.Resources = []string{
			"https://management.azure.com", "https://graph.microsoft.com", "https://vault.azure.net", "https://storage.azure.com",
		}
	}
	for i, application := range c.Applications {
		a, err := newEntraApplication(fmt.Sprintf("Applications[%d].", i), application, c.Transport)
		if err != nil {
			return err
		}
		id := strings.ToLower(a.ClientID)
		if e.applications[id] != nil {
			return configError(fmt.Sprintf("Applications[%d].ClientID", i), "is that of another application, too")
		}
		e.applications[id] = a
	}
	return nil
}

func newEntraApplication(field string, c Application, transport http.RoundTripper) (*entraApplication, error) {
	switch {
	case c.ClientID == "":
		return nil, configError(field+"ClientID", "is required")
	case !isGUID(c.ClientID):
		return nil, configError(field+"ClientID", "is not a GUID")
	case len(c.FederatedCredentials) > maxFederatedCredentials:
		return nil, configError(field+"FederatedCredentials", "has more than 20")
	}
	c.FederatedCredentials = slices.Clone(c.FederatedCredentials)
	a := &entraApplication{Application: c, issuers: make(map[string]*standin.IssuerKeys)}
	for i := range c.FederatedCredentials {
		f := &c.FederatedCredentials[i]
		if f.Audience == "" {
			f.Audience = entraAudience
		}
		credential := fmt.Sprintf("%sFederatedCredentials[%d]", field, i)
		if err := f.check(credential + "."); err != nil {
			return nil, err
		}
		for _, other := range c.FederatedCredentials[:i] {
			if other.Issuer == f.Issuer && other.Subject == f.Subject {
				return nil, configError(credential, "has the issuer and the subject of another one")
			}
		}
		a.hidden = append(a.hidden, f.VisibleAfter)
		if a.issuers[f.Issuer] == nil {
			a.issuers[f.Issuer] = standin.NewIssuerKeys(f.Issuer, transport)
		}
	}
	return a, nil
}

func (f *FederatedCredential) check(field string) error {
	if reason := standin.CheckIssuer(f.Issuer); reason != "" {
		return configError(field+"Issuer", reason)
	}
	for _, v := range []struct{ name, value string }{{"Issuer", f.Issuer}, {"Subject", f.Subject}, {"Audience", f.Audience}} {
		if !isFederatedValue(v.value) {
			return configError(field+v.name, "is not of 1 to 600 characters of printable ASCII without spaces")
		}
	}
	if f.VisibleAfter < 0 {
		return configError(field+"VisibleAfter", "is negative")
	}
	return nil
}

// isFederatedValue refuses invisible characters, because the value is compared
// byte for byte.
func isFederatedValue(s string) bool {
	return s != "" && len(s) <= maxFederatedValue &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

func isGUID(s string) bool {
	groups := strings.Split(strings.ToLower(s), "-")
	if len(groups) != 5 {
		return false
	}
	for i, n := range []int{8, 4, 4, 4, 12} {
		if len(groups[i]) != n || strings.Trim(groups[i], "0123456789abcdef") != "" {
			return false
		}
	}
	return true
}

func isDomain(s string) bool {
	labels := strings.Split(strings.ToLower(s), ".")
	return len(s) <= 253 && len(labels) > 1 && !slices.ContainsFunc(labels, func(label string) bool {
		return label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" ||
			strings.Trim(label, "-") != label
	})
}
