package oidctoken

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/oidctoken/oidctoken/internal/issuerurl"
)

const (
	defaultMaxLifetime = time.Hour
	longestLifetime    = 24 * time.Hour // no cloud accepts a JWT that lives longer

	defaultBackdateIssuedAt  = 5 * time.Second
	defaultBackdateNotBefore = 60 * time.Second
	longestBackdate          = 5 * time.Minute
)

// Config configures an [Issuer].
type Config struct {
	// URL is the issuer identifier, which is the "iss" of the tokens, byte for byte
	// (OpenID Connect Discovery 1.0, section 3). Required.
	//
	// It is https, or http for a loopback host, in lower case, without query,
	// fragment, user or trailing slash. One segment of its path may be
	// {account_id}. Each account then has an issuer identifier of its own. The same
	// documents are served for an account that does not exist, so that a client
	// cannot find out which accounts exist.
	URL string

	// Keys provides the signing keys. Required.
	Keys KeySource

	// Profile is used for every Scope whose Profile is nil. Optional. NewIssuer refuses
	// it if no key has one of its algorithms.
	Profile Profile

	// MaxLifetime is the longest lifetime that a profile may have. Optional, 1 hour
	// by default. The maximum is 24 hours, or the limit of a [KeySourceLimits] if that
	// is less.
	MaxLifetime time.Duration

	// BackdateIssuedAt and BackdateNotBefore are how long "iat" and "nbf" lie before
	// the time of minting (RFC 7519, sections 4.1.5 and 4.1.6). They help verifiers
	// whose clock is slow and that allow no leeway. "exp" counts from "iat", so a
	// token is usable for its lifetime minus BackdateIssuedAt. "iat" is backdated
	// by at most half the lifetime, so a token with a short lifetime keeps half of
	// it.
	//
	// Optional, in whole seconds, at most 5 minutes. BackdateIssuedAt is 5 seconds
	// by default. BackdateNotBefore is 60 seconds by default, or BackdateIssuedAt if
	// that is more. It must not be less than BackdateIssuedAt. The value -1 turns
	// backdating off: the claim states the time of minting. Other negative values
	// are refused.
	BackdateIssuedAt, BackdateNotBefore time.Duration

	// ExtraPrefix begins the name of every host-defined claim, such as "acme_".
	// Optional. Without it, a Scope cannot have Extra, and a subject template cannot
	// name a host-defined claim.
	ExtraPrefix string

	// Allow decides whether an execution may have a token. An error refuses the
	// token; the error that Mint returns wraps it and ErrDenied. Optional. The
	// default refuses a Scope that [Scope.IsUntrusted]. If Allow is set, it decides
	// about untrusted executions, too. It must not write to memory of the Scope.
	Allow func(context.Context, Scope) error

	// Audit is called for every token and every refusal, before Mint returns. It must
	// not block for long, and must not write to memory of the Scope. Optional.
	Audit func(context.Context, Event)

	// Now returns the current time. Optional, time.Now by default.
	Now func() time.Time
}

// Issuer mints tokens and publishes the keys that verify them. It is an
// [http.Handler] and is safe for concurrent use.
type Issuer struct {
	config    Config
	settings  settings // of config.Profile
	profiles  *profileReader
	payloads  payloadRenderer
	keys      keys
	audit     auditor
	buffers   sync.Pool // of *mintBuffer
	documents documents
}

// NewIssuer checks all of the configuration. A *[ConfigError] names the field that
// is wrong. Mint then never fails because of the configuration.
//
// NewIssuer calls Keys once and fails if Keys fails. If Profile is set, NewIssuer
// also fails if no key will ever sign with its algorithms. Both errors wrap [ErrNoKey]
// beside the *ConfigError, and the first also wraps the error of Keys.
// [Issuer.CheckProfile] checks the profiles that a Scope brings.
func NewIssuer(c Config) (*Issuer, error) {
	longestCached, longestKept := longestAge, longestLifetime
	if limited, ok := c.Keys.(KeySourceLimits); ok {
		longestCached, longestKept = limited.Limits()
	}
	if c.MaxLifetime == 0 {
		c.MaxLifetime = min(defaultMaxLifetime, longestKept)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	issuer, reason := issuerurl.Parse(c.URL)
	if reason != "" {
		return nil, configError("URL", reason)
	}
	if err := c.check(longestKept); err != nil {
		return nil, err
	}
	iss := &Issuer{
		config:   c,
		profiles: newProfileReader(c.MaxLifetime, issuer.PerAccount(), c.ExtraPrefix),
		payloads: payloadRenderer{issuer, c.ExtraPrefix},
		keys:     keys{source: c.Keys},
		audit:    auditor{c.Audit, c.Now},
		buffers:  sync.Pool{New: func() any { return new(mintBuffer) }},
	}
	iss.documents = documents{issuer: c.URL, url: issuer, keys: &iss.keys, now: c.Now, maxAges: maxAgesUpTo(longestCached)}
	if err := iss.profiles.read(&iss.settings, &c.Profile); err != nil {
		return nil, configError(err.Field, err.Reason)
	}
	if c.Keys == nil {
		return nil, configError("Keys", "is required")
	}
	set, err := iss.keys.load(context.Background())
	if err != nil {
		return nil, &configFailure{*configError("Keys", "cannot be used: "+err.Error()), err}
	}
	if c.Profile.isZero() { // every Scope may have a profile of its own
		return iss, nil
	}
	if err := set.checkHas(iss.settings.algorithms, c.Now(), iss.keys.rotate()); err != nil {
		return nil, &configFailure{*configError("Profile.Algorithms", "cannot be used with Keys: "+err.Error()), err}
	}
	return iss, nil
}

// check checks MaxLifetime, the backdating and ExtraPrefix, and fills in the defaults of
// the backdating. longestKept is how long Keys publishes a key after its last signature.
func (c *Config) check(longestKept time.Duration) error {
	if c.MaxLifetime < time.Second || c.MaxLifetime > longestLifetime {
		return configError("MaxLifetime", "is not between 1 s and 24 h")
	}
	if c.MaxLifetime > longestKept {
		return configError("MaxLifetime", fmt.Sprintf("is longer than the %v for which Keys publishes a key", longestKept))
	}
	if err := c.checkBackdating(); err != nil {
		return err
	}
	if c.ExtraPrefix != "" {
		// A name with this prefix can still be a name of the table. Such a name is
		// refused when a Scope uses it.
		if reason := checkClaimName(c.ExtraPrefix); reason != "" {
			return configError("ExtraPrefix", reason)
		}
	}
	return nil
}

// checkBackdating checks the backdating and fills in its defaults.
func (c *Config) checkBackdating() error {
	for _, field := range []struct {
		name         string
		value        *time.Duration
		defaultValue time.Duration
	}{
		{"BackdateIssuedAt", &c.BackdateIssuedAt, defaultBackdateIssuedAt},
		{"BackdateNotBefore", &c.BackdateNotBefore, max(defaultBackdateNotBefore, c.BackdateIssuedAt)},
	} {
		switch d := *field.value; {
		case d == 0:
			*field.value = field.defaultValue
		case d == -1:
			*field.value = 0
		case d < 0 || d > longestBackdate || d%time.Second != 0:
			return configError(field.name, "is not in whole seconds up to 5 minutes; set -1 to turn it off")
		}
	}
	if c.BackdateNotBefore < c.BackdateIssuedAt {
		return configError("BackdateNotBefore", "is less than BackdateIssuedAt: \"nbf\" would be later than \"iat\"")
	}
	return nil
}

// Mint returns a token with the claims of s. It fails with
//
//   - a *[ScopeError] if no token can have s or its Profile;
//   - [ErrDenied] if policy refuses;
//   - [ErrNoKey] if no key may sign with one of the profile's algorithms;
//   - [ErrSignerUnavailable] if the signer fails; the signer's error is wrapped,
//     too;
//   - [ErrBadSignature] if the public key does not verify the signer's signature;
//   - ctx's error if ctx ends first.
//
// Mint does not retry and caches nothing: every token is new.
func (iss *Issuer) Mint(ctx context.Context, s Scope) (*Token, error) {
	started := iss.audit.start()
	b := iss.buffers.Get().(*mintBuffer)
	defer iss.buffers.Put(b)
	set, err := iss.render(b, &s)
	if err != nil {
		return nil, iss.audit.end(ctx, started, &s, nil, nil, err)
	}
	var claims *Claims
	if iss.audit.enabled() {
		claims = iss.payloads.claims(&b.payload, &s, set)
	}
	t, err := iss.issue(ctx, &s, set, b, nil)
	return t, iss.audit.end(ctx, started, &s, claims, t, err)
}

// Preview returns the claims that a token for s would have now. It calls neither
// Config.Allow nor a signer. It fails with a *[ScopeError], as Mint does.
func (iss *Issuer) Preview(ctx context.Context, s Scope) (*Claims, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("oidctoken: preview: %w", err)
	}
	b := iss.buffers.Get().(*mintBuffer)
	defer iss.buffers.Put(b)
	set, err := iss.render(b, &s)
	if err != nil {
		return nil, err
	}
	return iss.payloads.claims(&b.payload, &s, set), nil
}

// Allow returns nil if policy permits a token for s now, and otherwise the error
// with [ErrDenied] that Mint would return. Callers that return a token or a credential
// from a cache call Allow again before they do. Allow does not call Config.Audit.
func (iss *Issuer) Allow(ctx context.Context, s Scope) error {
	return authorize(ctx, iss.config.Allow, &s)
}

// CheckProfile returns nil if tokens for p can be minted, now or later, and
// otherwise the reason. A nil p stands for [Config].Profile. A host that knows its
// profiles calls CheckProfile when it starts. It fails with
//
//   - a *[ScopeError] if p is wrong;
//   - [ErrNoKey] if the KeySource fails, or has no key for p's algorithms. The error
//     lists the keys and why each cannot sign. A key of [StaticKeys] that has ended
//     cannot. Any other KeySource may rotate its keys, so CheckProfile is satisfied
//     if a key of the algorithm exists.
//
// CheckProfile signs nothing and calls neither [Config].Allow nor [Config].Audit.
func (iss *Issuer) CheckProfile(ctx context.Context, p *Profile) error {
	s := iss.settings
	if p != nil {
		if err := iss.profiles.read(&s, p); err != nil {
			return err
		}
	}
	set, err := iss.keys.load(ctx)
	if err == nil {
		err = set.checkHas(s.algorithms, iss.config.Now(), iss.keys.rotate())
	}
	if err != nil {
		return fmt.Errorf("oidctoken: check profile: %w", err)
	}
	return nil
}

// KeyIDs returns the "kid" of every key that Config.Keys returns now. A cache drops a
// credential once the "kid" of the token that gave it is no longer among them. The slice
// is the same until a key changes and must not be written to, as with a
// [KeySource]; so it is cheap to compare with the last one.
//
// KeyIDs fails with [ErrNoKey] if the KeySource fails.
func (iss *Issuer) KeyIDs(ctx context.Context) ([]string, error) {
	set, err := iss.keys.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("oidctoken: key ids: %w", err)
	}
	return set.ids, nil
}
