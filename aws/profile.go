package aws

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/oidctoken/oidctoken"
)

// The claims that AWS reads beyond the registered ones.
const (
	claimTags           = "https://aws.amazon.com/tags"
	claimRoles          = "https://aws.amazon.com/roles"
	claimSourceIdentity = "https://aws.amazon.com/source_identity"
)

// algorithms are those that STS takes, the fastest to sign with and the one
// that every issuer has first. EdDSA is none of them.
var algorithms = []string{"ES256", "RS256", "ES384", "ES512", "RS384", "RS512"}

const (
	maxTagValue = 256 // characters
	minName     = 2   // bytes of a session's name and of a source identity
	maxName     = 64
)

// Profile is how the JWT must look for AWS: signed with ES256, RS256 or a
// longer one of their kind, and with the claims that pin it to the role, carry
// the session tags and set the source identity, as configured. Its lifetime is
// left to the default; the session's does not depend on it.
//
// The profile's Claims, and so Mint, fail when the value of a session tag or of
// the source identity is one that AWS refuses. The error names the claim.
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
		value, known := c.Get(name)
		if !known && slices.Contains(c.Omitted(), name) {
			return nil, fmt.Errorf("aws: session tag %s: the claim's value %s", name, omitted)
		}
		if !known {
			continue
		}
		if reason := checkTagValue(value); reason != "" {
			return nil, fmt.Errorf("aws: session tag %s: the claim's value %s", name, reason)
		}
		t.Principal[name] = [1]string{value}
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
		value, known := c.Get(name)
		if !known && slices.Contains(c.Omitted(), name) {
			return nil, fmt.Errorf("aws: source identity %s: the claim's value %s", name, omitted)
		}
		if known {
			if !isName(value) {
				return nil, fmt.Errorf("aws: source identity %s: the claim's value is not of 2 to 64 letters, digits and _+=,.@-", name)
			}
			made[claimSourceIdentity] = value
		}
	}
	return made, nil
}

// omitted continues "the claim's value" for one that stands in no token: left out
// of the session, it would look like an unknown one.
const omitted = "is longer than 1024 bytes, or is not UTF-8, or has control characters"

// checkTagValue continues "the claim's value". It does not repeat it.
func checkTagValue(s string) (reason string) {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !tagRune(r) }) {
		return "has a character other than letters, digits, spaces and _.:/=+-@"
	}
	if utf8.RuneCountInString(s) > maxTagValue {
		return "is longer than 256 characters"
	}
	return ""
}

func tagRune(r rune) bool {
	return unicode.In(r, unicode.L, unicode.Z, unicode.N) || strings.ContainsRune("_.:/=+-@", r)
}

func isName(s string) bool { return len(s) >= minName && len(s) <= maxName && consists(s, nameByte) }
