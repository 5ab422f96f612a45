package awstest

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oidctoken/oidctoken/internal/standin"
)

const (
	maxProviderURL = 255 // characters
	maxClientIDs   = 100
	maxClientID    = 255 // characters
	maxAWSDuration = 12 * time.Hour
	minAWSMax      = time.Hour // of MaxSessionDuration
)

type awsProviderKey struct{ account, url string }

// awsProvider is an Provider that was understood.
type awsProvider struct {
	Provider
	keys *standin.IssuerKeys
}

// awsRole is an Role that was understood.
type awsRole struct {
	Role
	partition, account, name string
	id                       string // the unique id, which is not the name
}

func (a *Server) configure(c Config) error {
	if len(c.Providers) == 0 {
		return configError("Providers", "is required")
	}
	if len(c.Roles) == 0 {
		return configError("Roles", "is required")
	}
	for i, provider := range c.Providers {
		field := fmt.Sprintf("Providers[%d].", i)
		p, err := newAWSProvider(field, provider, c.Transport)
		if err != nil {
			return err
		}
		key := awsProviderKey{p.Account, p.Issuer}
		if a.providers[key] != nil {
			return configError(field+"Issuer", "is that of another provider of the account, too")
		}
		a.providers[key] = p
	}
	for i, role := range c.Roles {
		field := fmt.Sprintf("Roles[%d].", i)
		r, err := a.newRole(field, role)
		if err != nil {
			return err
		}
		if a.roles[r.ARN] != nil {
			return configError(field+"ARN", "is that of another role, too")
		}
		a.roles[r.ARN] = r
	}
	return nil
}

func newAWSProvider(field string, c Provider, transport http.RoundTripper) (*awsProvider, error) {
	if !isAccount(c.Account) {
		return nil, configError(field+"Account", "is not of 12 digits")
	}
	if reason := standin.CheckIssuer(c.Issuer); reason != "" {
		return nil, configError(field+"Issuer", reason)
	}
	if utf8.RuneCountInString(c.Issuer) > maxProviderURL {
		return nil, configError(field+"Issuer", "is longer than 255 characters")
	}
	if len(c.ClientIDs) == 0 || len(c.ClientIDs) > maxClientIDs {
		return nil, configError(field+"ClientIDs", "has not 1 to 100")
	}
	for _, id := range c.ClientIDs {
		if n := utf8.RuneCountInString(id); n == 0 || n > maxClientID {
			return nil, configError(field+"ClientIDs", "has one that is not of 1 to 255 characters")
		}
	}
	c.ClientIDs = slices.Clone(c.ClientIDs)
	return &awsProvider{c, standin.NewIssuerKeys(c.Issuer, transport)}, nil
}

func (a *Server) newRole(field string, c Role) (*awsRole, error) {
	r := &awsRole{Role: c}
	p := strings.SplitN(c.ARN, ":", 6)
	if len(p) != 6 || p[0] != "arn" || !strings.HasPrefix(p[1], "aws") || p[2] != "iam" || p[3] != "" || !isAccount(p[4]) ||
		!strings.HasPrefix(p[5], "role/") || strings.HasSuffix(p[5], "/") || !isARN(c.ARN) {
		return nil, configError(field+"ARN", "is not arn:PARTITION:iam::ACCOUNT:role/NAME")
	}
	r.partition, r.account, r.name = p[1], p[4], p[5][strings.LastIndexByte(p[5], '/')+1:]
	sum := sha256.Sum256([]byte(c.ARN))
	r.id = "AROA" + base32.StdEncoding.EncodeToString(sum[:])[:17]
	if r.MaxSessionDuration == 0 {
		r.MaxSessionDuration = minAWSMax
	}
	if d := r.MaxSessionDuration; d < minAWSMax || d > maxAWSDuration || d%time.Second != 0 {
		return nil, configError(field+"MaxSessionDuration", "is not between 1 and 12 hours, in whole seconds")
	}
	r.Trust = slices.Clone(c.Trust)
	for i := range r.Trust {
		t := &r.Trust[i]
		field := fmt.Sprintf("%sTrust[%d].", field, i)
		if a.providers[awsProviderKey{r.account, t.Provider}] == nil {
			return nil, configError(field+"Provider", "is not the Issuer of a provider of the role's account")
		}
		var err error
		if t.StringEquals, err = cloneConditions(field+"StringEquals", t.StringEquals); err != nil {
			return nil, err
		}
		if t.StringLike, err = cloneConditions(field+"StringLike", t.StringLike); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func cloneConditions(field string, conditions map[string][]string) (map[string][]string, error) {
	cloned := make(map[string][]string)
	for _, key := range slices.Sorted(maps.Keys(conditions)) {
		field := fmt.Sprintf("%s[%.64q]", field, key)
		if key != "sub" && key != "aud" {
			return nil, configError(field, "is not a condition key of a private issuer: these are sub and aud")
		}
		if len(conditions[key]) == 0 {
			return nil, configError(field, "has no value")
		}
		cloned[key] = slices.Clone(conditions[key])
	}
	return cloned, nil
}

func isAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }

func isARN(s string) bool {
	return len(s) >= 20 && len(s) <= 2048 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// admits reports whether the statement allows the JWT to assume the role, with
// its tags and source identity.
func (t *Trust) admits(w *webIdentity, role string) bool {
	if t.Provider != w.issuer || t.RoleAuthorizedByIdP && !slices.Contains(w.roles, role) ||
		len(w.tags) > 0 && !t.TagSession || w.sourceIdentity != "" && !t.SetSourceIdentity {
		return false
	}
	claims := map[string]string{"sub": w.subject, "aud": w.audience}
	for key, values := range t.StringEquals {
		if !slices.Contains(values, claims[key]) {
			return false
		}
	}
	for key, patterns := range t.StringLike {
		if !slices.ContainsFunc(patterns, func(p string) bool { return like(p, claims[key]) }) {
			return false
		}
	}
	return true
}

// like reports whether s matches a pattern in which * matches any text and ?
// any character. It goes back to the last * only, so its time is limited by the
// product of the lengths.
func like(pattern, s string) bool {
	p, t := []rune(pattern), []rune(s)
	i, j, star, mark := 0, 0, -1, 0
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == t[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
