package gcp

import (
	"net/url"
	"strings"
)

const (
	googleUniverse = "googleapis.com"
	maxProjectID   = 63 // bytes, with the domain of an old project
	maxDomain      = 253
)

// checkProjects reports the first rule that a project or the universe breaks.
func (c *Config) checkProjects() error {
	for _, p := range []struct{ field, id string }{{"Project", c.Project}, {"QuotaProject", c.QuotaProject}} {
		if p.id != "" && !isProject(p.id) {
			return configError(p.field, "is not the id of a project, such as acme-prod")
		}
	}
	if c.UniverseDomain != "" && !isDomain(c.UniverseDomain) {
		return configError("UniverseDomain", "is not a domain in lower case, such as googleapis.com")
	}
	return nil
}

// isProject accepts every id that a project may have, and its number. An old
// project's id has a domain before it: example.com:acme-prod.
func isProject(s string) bool {
	domain, id, scoped := strings.Cut(s, ":")
	if !scoped {
		domain, id = "", s
	}
	return len(s) <= maxProjectID && id != "" && consists(id, func(b byte) bool { return lower(b) || digit(b) || b == '-' }) &&
		(!scoped || isDomain(domain))
}

// isDomain reports whether s has at least two labels, of a-z 0-9 and inner -, and
// a last one that is not a number: an IP address is not a domain.
func isDomain(s string) bool {
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			!consists(label, func(b byte) bool { return lower(b) || digit(b) || b == '-' }) {
			return false
		}
	}
	return len(s) <= maxDomain && len(labels) > 1 && !consists(labels[len(labels)-1], digit)
}

// universeOf returns the universe of the STS in a checked token URL. The host
// of a universe's STS is sts.UNIVERSE, and Google's has more forms, such as
// sts.mtls.googleapis.com. A host of another form, such as a proxy, does not
// tell the universe.
func universeOf(tokenURL string) string {
	u, err := url.Parse(tokenURL)
	if err != nil {
		return googleUniverse
	}
	host := strings.ToLower(u.Hostname())
	universe, ok := strings.CutPrefix(host, "sts.")
	if !ok || !isDomain(universe) || strings.HasSuffix(host, "."+googleUniverse) || strings.HasSuffix(host, ".localhost") {
		return googleUniverse
	}
	return universe
}

// projectEnv returns the variables of the projects. The caller owns the map.
func (c *Config) projectEnv() map[string]string {
	env := make(map[string]string)
	if c.Project != "" {
		env["CLOUDSDK_CORE_PROJECT"] = c.Project
		env["GOOGLE_CLOUD_PROJECT"] = c.Project
	}
	if c.QuotaProject != "" {
		env["CLOUDSDK_BILLING_QUOTA_PROJECT"] = c.QuotaProject
		env["GOOGLE_CLOUD_QUOTA_PROJECT"] = c.QuotaProject
	}
	return env
}
