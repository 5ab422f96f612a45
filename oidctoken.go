package oidctoken

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultLifetime    = 15 * time.Minute
	defaultMaxLifetime = time.Hour
	longestLifetime    = 24 * time.Hour // no cloud takes a JWT that lives longer

	defaultBackdateIssuedAt  = 5 * time.Second
	defaultBackdateNotBefore = 60 * time.Second
	longestBackdate          = 5 * time.Minute
)

// Config is an issuer's configuration.
type Config struct {
	// URL is the issuer identifier, the tokens' "iss", byte for byte (OpenID
	// Connect Discovery 1.0, section 3). Required.
	//
	// It is https, or http for a loopback host, in lower case, without query,
	// fragment, user or trailing slash. One segment of its path may be
	// {account_id}: every account then has an issuer identifier of its own. An
	// account that does not exist is served the same documents, so that
	// nobody learns which exist.
	URL string

	// Keys has the signing keys. Required.
	Keys KeySource

	// Profile is for a Scope that names none. Optional. NewIssuer refuses one
	// whose algorithms no key has.
	Profile Profile

	// MaxLifetime is the longest lifetime that a profile may have. Optional, 1
	// hour by default, at most 24 and what a [Limited] KeySource says.
	MaxLifetime time.Duration

	// BackdateIssuedAt is how long before the time of minting "iat" lies, and
	// BackdateNotBefore how long before it "nbf" lies (RFC 7519, sections 4.1.5
	// and 4.1.6), for verifiers whose clock is slow and that allow no leeway. "exp"
	// counts from "iat", so a token is usable for its lifetime less
	// BackdateIssuedAt. A token whose lifetime is short keeps half of it: "iat"
	// is then backdated by half the lifetime at most.
	//
	// Optional, in whole seconds, at most 5 minutes. BackdateIssuedAt is 5 seconds
	// by default. BackdateNotBefore is 60 seconds by default, or BackdateIssuedAt
	// where that is more, and never less than BackdateIssuedAt. The value
	// -1 turns backdating off: the claim states the time of minting. Any other
	// negative value is refused.
	BackdateIssuedAt, BackdateNotBefore time.Duration

	// ExtraPrefix begins the name of every host-defined claim, such as
	// "acme_". Optional; without it, a Scope cannot have Extra, and a subject
	// template cannot name one.
	ExtraPrefix string

	// Allow is policy: an error refuses the token. What Mint returns wraps it
	// and ErrDenied. Optional; nil refuses an untrusted execution, which is a
	// Scope with Untrusted set or a Source that IsFork. A policy decides about
	// those, too. It does not change what the Scope points to.
	Allow func(context.Context, Scope) error

	// Audit is told of every token and every refusal, before Mint returns. It
	// must not block for long, nor change what the Scope points to. Optional.
	Audit func(context.Context, Event)

	// Now is the clock. Optional, time.Now by default.
	Now func() time.Time
}

// Event is what [Config.Audit] is told. It holds no secret.
type Event struct {
	Time    time.Time
	Scope   Scope         // as it was given to Mint
	Claims  *Claims       // what the token says; nil if the Scope cannot be put into one
	Omitted []string      // as [Claims.Omitted] returns it
	ID      string        // "jti"; empty if refused
	KeyID   string        // "kid"; empty if refused
	Expires time.Time     // "exp"; zero if refused
	Took    time.Duration // from the call to the end, the signer's time included
	Err     error         // why it was refused; nil for a token
}

// Issuer mints tokens and publishes the keys that verify them. It is an
// [http.Handler] and safe for concurrent use.
type Issuer struct {
	config   Config
	settings settings // of config.Profile
	url      issuerURL
	drafts   sync.Pool // of *draft
	keys     atomic.Pointer[keySet]
	subjects templates
	ages     []age // that the documents may be served with
	pages    atomic.Pointer[pages]
}

// NewIssuer checks all of the configuration, with a *[ConfigError] that names
// the field. Mint then has no errors of configuration.
//
// NewIssuer calls Keys once. It fails when Keys does, and when Profile is set and
// no key will ever sign for its algorithms; the error then wraps [ErrNoKey] and
// that of Keys beside the *ConfigError. [Issuer.CheckProfile] checks the profiles
// that a Scope brings along.
func NewIssuer(c Config) (*Issuer, error) {
	maxAge, maxLifetime := longestAge, longestLifetime
	if limited, ok := c.Keys.(KeySourceLimits); ok {
		maxAge, maxLifetime = limited.Limits()
	}
	if c.MaxLifetime == 0 {
		c.MaxLifetime = min(defaultMaxLifetime, maxLifetime)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	iss := &Issuer{config: c, ages: agesUpTo(maxAge)}
	iss.drafts.New = func() any { return new(draft) }
	var reason string
	if iss.url, reason = parseIssuer(c.URL); reason != "" {
		return nil, configError("URL", reason)
	}
	if c.MaxLifetime < time.Second || c.MaxLifetime > longestLifetime {
		return nil, configError("MaxLifetime", "is not between 1 s and 24 h")
	}
	if c.MaxLifetime > maxLifetime {
		return nil, configError("MaxLifetime", fmt.Sprintf("is longer than the %v that Keys keep a key published for", maxLifetime))
	}
	if err := iss.config.checkBackdating(); err != nil {
		return nil, err
	}
	if c.ExtraPrefix != "" {
		// With a name behind it, a prefix can still be one of ours: that is
		// refused name by name.
		if reason := checkClaimName(c.ExtraPrefix); reason != "" {
			return nil, configError("ExtraPrefix", reason)
		}
	}
	if err := iss.readProfile(&iss.settings, &c.Profile); err != nil {
		return nil, configError(err.Field, err.Reason)
	}
	if c.Keys == nil {
		return nil, configError("Keys", "is required")
	}
	set, err := iss.keySet(context.Background())
	if err != nil {
		return nil, &configFailure{*configError("Keys", "cannot be used: "+err.Error()), err}
	}
	if c.Profile.isZero() { // every Scope may have its own
		return iss, nil
	}
	_, static := c.Keys.(StaticKeys)
	if err := set.checkHas(iss.settings.algorithms, c.Now(), !static); err != nil {
		return nil, &configFailure{*configError("Profile.Algorithms", "cannot be served by Keys: "+err.Error()), err}
	}
	return iss, nil
}

// checkBackdating checks the backdating and fills in its defaults.
func (c *Config) checkBackdating() error {
	for _, field := range []struct {
		name      string
		value     *time.Duration
		byDefault time.Duration
	}{
		{"BackdateIssuedAt", &c.BackdateIssuedAt, defaultBackdateIssuedAt},
		{"BackdateNotBefore", &c.BackdateNotBefore, max(defaultBackdateNotBefore, c.BackdateIssuedAt)},
	} {
		switch d := *field.value; {
		case d == 0:
			*field.value = field.byDefault
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
