package aws

import (
	"slices"

	"github.com/oidctoken/oidctoken"
)

// The claims that AWS reads beyond the registered ones.
const (
	claimTags           = "https://aws.amazon.com/tags"
	claimRoles          = "https://aws.amazon.com/roles"
	claimSourceIdentity = "https://aws.amazon.com/source_identity"
)

// algorithms are those that STS accepts: first the fastest one to sign with,
// then the one that every issuer has. STS does not accept EdDSA.
var algorithms = []string{"ES256", "RS256", "ES384", "ES512", "RS384", "RS512"}

// Profile describes the JWT for AWS: signed with ES256, RS256 or a longer
// variant, and with the claims that pin it to the role, carry the session tags
// and set the source identity, as configured. Its lifetime is the default,
// because the session's lifetime does not depend on it.
//
// The profile's Claims, and so Mint, fail when AWS refuses the value of a session
// tag or of the source identity, unless Config.UnfitTags or
// Config.UnfitSourceIdentity say otherwise. The error names the claim.
func (e *Exchanger) Profile() oidctoken.Profile {
	return oidctoken.Profile{
		Subject:    e.config.Subject,
		Algorithms: slices.Clone(algorithms),
		Claims:     e.claims,
	}
}

// tags is the value of the claim of session tags.
type tags struct {
	Principal  map[string][1]string `json:"principal_tags"`
	Transitive []string             `json:"transitive_tag_keys,omitempty"`
}

func (e *Exchanger) claims(c *oidctoken.Claims) (map[string]any, error) {
	made := make(map[string]any)
	if !e.config.InsecureAnyRole {
		made[claimRoles] = e.config.RoleARN
	}
	t := tags{Principal: make(map[string][1]string)}
	for _, name := range e.config.SessionTags {
		value, ok, err := tagShape.value(c, name, e.config.UnfitTags[name])
		if err != nil {
			return nil, err
		}
		if ok {
			t.Principal[name] = [1]string{value}
		}
	}
	for _, key := range e.config.TransitiveTagKeys {
		if _, known := t.Principal[key]; known {
			t.Transitive = append(t.Transitive, key)
		}
	}
	if len(t.Principal) > 0 {
		made[claimTags] = t
	}
	if name := e.config.SourceIdentity; name != "" {
		value, ok, err := sourceShape.value(c, name, e.config.UnfitSourceIdentity)
		if err != nil {
			return nil, err
		}
		if ok {
			made[claimSourceIdentity] = value
		}
	}
	return made, nil
}
