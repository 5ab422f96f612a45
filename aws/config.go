package aws

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Config is the identity of pipelines in AWS. It holds no secret.
type Config struct {
	// RoleARN is the role to assume,
	// arn:PARTITION:iam::ACCOUNT:role/PATH/NAME, of 20 to 2048 characters.
	// Required.
	RoleARN string

	// Region is the Region of the STS endpoint and the default Region of the
	// credential's tools, such as eu-west-1. It must be in RoleARN's partition.
	// Required.
	Region string

	// Endpoint is the address of STS, https, or http for a loopback host, without
	// a query. Optional; the default is Region's endpoint,
	// https://sts.REGION.amazonaws.com, or with the suffix of the partition.
	Endpoint string

	// Audience is the JWT's "aud": one of the client ids of the IAM OIDC
	// identity provider, of at most 255 printable ASCII characters without
	// spaces. Optional, sts.amazonaws.com by default.
	Audience string

	// Lifetime is the lifetime of the session, in whole seconds: 15 minutes to 12
	// hours, and at most the role's maximum session duration. Optional, 1 hour by
	// default.
	Lifetime time.Duration

	// SessionPolicy is an IAM policy, in JSON, that the session's permissions
	// are cut down to, of at most 2048 characters up to U+00FF. Optional.
	SessionPolicy string

	// PolicyARNs are managed policies that the session's permissions are cut
	// down to, at most 10, of the role's account or of AWS. Optional.
	PolicyARNs []string

	// SessionTags are claims that become session tags of the same key, at most
	// 50: claims of the table, "sub", or the host's own (Scope.Extra), by name. A
	// claim that an execution does not have is left out. The role's trust policy
	// must allow sts:TagSession, or every exchange is refused. Optional.
	SessionTags []string

	// UnfitTags decides, per claim of SessionTags, what happens to a value that
	// AWS does not accept in a tag. Git refs and names of people may have such
	// values. Optional; a claim without an entry is UnfitFail.
	UnfitTags map[string]Unfit

	// TransitiveTagKeys are the keys of SessionTags that stay with the session
	// when it assumes further roles. Optional.
	TransitiveTagKeys []string

	// SourceIdentity is a claim, as in SessionTags, that becomes the session's
	// source identity. It is left out where the execution does not have the claim.
	// A source identity has 2 to 64 characters of letters, digits and _+=,.@- . The
	// role's trust policy must allow sts:SetSourceIdentity. It is logged in
	// CloudTrail, also of roles that the session goes on to. Optional.
	SourceIdentity string

	// UnfitSourceIdentity decides what happens to a value that AWS does not accept
	// as a source identity. Optional, UnfitFail by default.
	UnfitSourceIdentity Unfit

	// InsecureAnyRole leaves out the claim that pins the JWT to RoleARN. Who
	// gets hold of the JWT can then assume every role that trusts its subject.
	// Optional.
	InsecureAnyRole bool

	// Subject is the template of the JWT's "sub", for [Exchanger.Profile].
	// Optional, the default of oidctoken.Profile.Subject if empty. It is checked when a JWT
	// is minted. CloudTrail shows the subject: it should name no person.
	Subject string

	// Transport makes the requests. Optional; the default demands TLS 1.2. It
	// must not follow redirects: it is called once per attempt.
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
	defaultAudience = "sts.amazonaws.com"
	defaultLifetime = time.Hour

	minARN         = 20
	maxARN         = 2048
	maxRolePath    = 512
	maxRoleName    = 64
	maxAudience    = 255 // characters of a client id
	minLifetime    = 900 * time.Second
	maxLifetime    = 43200 * time.Second
	maxPolicy      = 2048
	maxPolicyARNs  = 10
	maxSessionTags = 50
)

// check reports the first rule that c breaks.
func (c *Config) check() error {
	role, reason := parseRole(c.RoleARN)
	if reason != "" {
		return configError("RoleARN", reason)
	}
	if reason := checkRegion(c.Region, role.partition); reason != "" {
		return configError("Region", reason)
	}
	if c.Endpoint != "" {
		if reason := checkEndpoint(c.Endpoint); reason != "" {
			return configError("Endpoint", reason)
		}
	}
	switch {
	case len(c.Audience) > maxAudience:
		return configError("Audience", "is longer than 255 characters")
	case !consists(c.Audience, visible):
		return configError("Audience", "is not printable ASCII without spaces")
	case c.Lifetime%time.Second != 0:
		return configError("Lifetime", "is not in whole seconds")
	case c.Lifetime != 0 && (c.Lifetime < minLifetime || c.Lifetime > maxLifetime):
		return configError("Lifetime", "is not between 15 minutes and 12 hours")
	case c.Timeout < 0:
		return configError("Timeout", "is negative")
	case c.Budget < 0:
		return configError("Budget", "is negative")
	}
	if err := c.checkPolicies(role); err != nil {
		return err
	}
	return c.checkClaims()
}

func (c *Config) checkPolicies(role arn) error {
	if c.SessionPolicy != "" {
		if reason := checkPolicy(c.SessionPolicy); reason != "" {
			return configError("SessionPolicy", reason)
		}
	}
	if len(c.PolicyARNs) > maxPolicyARNs {
		return configError("PolicyARNs", "has more than 10")
	}
	for i, s := range c.PolicyARNs {
		policy, ok := parseARN(s)
		switch {
		case !ok || !strings.HasPrefix(policy.resource, "policy/"):
			return configError(indexed("PolicyARNs", i), "is not arn:PARTITION:iam::ACCOUNT:policy/NAME")
		case policy.partition != role.partition || policy.account != role.account && policy.account != "aws":
			return configError(indexed("PolicyARNs", i), "is of neither RoleARN's account nor AWS")
		}
	}
	return nil
}

func (c *Config) checkClaims() error {
	if len(c.SessionTags) > maxSessionTags {
		return configError("SessionTags", "has more than 50")
	}
	for i, name := range c.SessionTags {
		reason := checkClaim(name)
		for _, before := range c.SessionTags[:i] {
			switch {
			case before == name:
				reason = "is named before"
			case strings.EqualFold(before, name):
				reason = "differs from another in letter case only, and AWS takes the two for one"
			}
		}
		if reason != "" {
			return configError(indexed("SessionTags", i), reason)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.UnfitTags)) {
		field := fmt.Sprintf("UnfitTags[%.128q]", name)
		switch {
		case !slices.Contains(c.SessionTags, name):
			return configError(field, "is not one of SessionTags")
		case c.UnfitTags[name] > UnfitEncode:
			return configError(field, notUnfit)
		}
	}
	for i, key := range c.TransitiveTagKeys {
		switch {
		case !slices.Contains(c.SessionTags, key):
			return configError(indexed("TransitiveTagKeys", i), "is not one of SessionTags")
		case slices.Contains(c.TransitiveTagKeys[:i], key):
			return configError(indexed("TransitiveTagKeys", i), "is named before")
		}
	}
	if c.SourceIdentity != "" {
		if reason := checkClaim(c.SourceIdentity); reason != "" {
			return configError("SourceIdentity", reason)
		}
	}
	if c.UnfitSourceIdentity > UnfitEncode {
		return configError("UnfitSourceIdentity", notUnfit)
	}
	return nil
}

// withDefaults returns a checked c with the defaults filled in. The result
// shares no slice with c.
func (c Config) withDefaults() Config {
	if c.Audience == "" {
		c.Audience = defaultAudience
	}
	if c.Lifetime == 0 {
		c.Lifetime = defaultLifetime
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.PolicyARNs = slices.Clone(c.PolicyARNs)
	c.SessionTags = slices.Clone(c.SessionTags)
	c.UnfitTags = maps.Clone(c.UnfitTags)
	c.TransitiveTagKeys = slices.Clone(c.TransitiveTagKeys)
	return c
}

// url returns the address of a checked c's requests.
func (c *Config) url() string {
	if c.Endpoint != "" {
		return strings.TrimSuffix(c.Endpoint, "/") + "/"
	}
	return "https://sts." + c.Region + "." + partitionOf(c.Region).suffix + "/"
}
