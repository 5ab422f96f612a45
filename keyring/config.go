package keyring

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/oidctoken/oidctoken/internal/ident"
	"github.com/oidctoken/oidctoken/internal/jws"
)

const (
	maxPeriod     = 365 * 24 * 60 * 60 // seconds
	callTimeout   = 10 * time.Second   // of a store, a wrapper or a listing
	createTimeout = 2 * time.Minute    // of a Provisioner, much less than reserveFor
	minKeys       = 3                  // of one algorithm that are published at once, for any Period
)

// Config is a ring's configuration. All replicas should have the same; while a
// change is rolled out they need not, and the longest of their limits hold.
// Durations other than PollInterval are whole seconds.
type Config struct {
	// Store is shared by all replicas. Required.
	Store Store

	// Name is the ring's name: 1 to 128 characters of A-Z a-z 0-9 _ - . $. It is
	// bound to the data key and to the stored document, so the document of a ring
	// with another name, or without one, is refused with [ErrOtherRing]. All
	// replicas must have the same. Optional; without it, a replica that starts
	// takes the document of every unnamed ring under the same wrapping key.
	Name string

	// InsecureAdoptUnnamed gives Name to a ring that was made without one. While it
	// is set, a replica that starts takes the document of every unnamed ring under
	// the same wrapping key, so set it for one rollout and remove it. A version of
	// this package that does not know Name refuses the document afterwards.
	// Optional.
	InsecureAdoptUnnamed bool

	// Wrapper protects the private keys that the ring makes itself. It also lets
	// the ring recognize a document that another program wrote. Required without a
	// Provisioner, Optional with one. Without a Wrapper, every program that can
	// write to the store can publish a key.
	Wrapper Wrapper

	// Provisioner creates keys that never leave a key management service.
	// Optional; nil makes keys in memory.
	Provisioner Provisioner

	// Algorithms lists the algorithms that have a key at all times (RFC 7518,
	// section 3.1; RFC 8037). At most 3, because a JWK Set has at most 10 keys.
	// Optional, RS256 and ES256 by default.
	Algorithms []string

	// RSABits is the size of RSA keys: 2048, 3072 or 4096. Optional, 2048 by
	// default.
	RSABits int

	// Period is how long a key signs. Optional, 30 days by default, at most 365;
	// not shorter than a key is published before it signs.
	Period time.Duration

	// MaxAge is how long a verifier may cache the JWK Set; the issuer sends it in
	// Cache-Control. Optional, 1 hour by default; 1 minute to 24 hours.
	MaxAge time.Duration

	// Propagation is the time that a new key takes, in addition to MaxAge, to
	// reach every verifier: through replicas, proxies that keep a document too
	// long, and the clouds' own caches. A key signs MaxAge and Propagation after
	// it was first published. Optional, 24 hours by default, at least 1 hour.
	Propagation time.Duration

	// MaxLifetime is the longest lifetime of a token; an issuer with a longer one
	// does not take the ring. A key stays published for MaxLifetime, Skew and
	// MaxAge after it signed last. Optional, 1 hour by default, at most 24.
	MaxLifetime time.Duration

	// Skew is the greatest error of the clocks of replicas and verifiers.
	// Optional, 5 minutes by default.
	Skew time.Duration

	// PollInterval is the interval, give or take a tenth, at which a replica reads
	// the store. Until then it still publishes a key that another replica has
	// revoked. Optional, 1 minute by default, at least 10 milliseconds.
	PollInterval time.Duration

	// Published reports whether a key is publicly served, as [Probe.Check] does.
	// The ring calls it before it schedules the key; while it fails, the key does
	// not become active. Optional; nil takes a key for published once it is
	// stored.
	Published func(ctx context.Context, kid string) error

	// Audit is called for every transition and failure. It must not block for
	// long. Optional.
	Audit func(context.Context, Event)

	// Now is the clock. Optional, time.Now by default.
	Now func() time.Time
}

func orDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// complete fills in the defaults and checks all of the configuration.
func (c *Config) complete() error {
	orDefault(&c.RSABits, 2048)
	orDefault(&c.Period, 30*24*time.Hour)
	orDefault(&c.MaxAge, time.Hour)
	orDefault(&c.Propagation, 24*time.Hour)
	orDefault(&c.MaxLifetime, time.Hour)
	orDefault(&c.Skew, 5*time.Minute)
	orDefault(&c.PollInterval, time.Minute)
	if c.Algorithms == nil {
		c.Algorithms = []string{"RS256", "ES256"}
	}
	c.Algorithms = slices.Clone(c.Algorithms)
	if c.Now == nil {
		c.Now = time.Now
	}
	switch {
	case c.Store == nil:
		return configError("Store", "is required")
	case c.Wrapper == nil && c.Provisioner == nil:
		return configError("Wrapper", "is required, unless there is a Provisioner")
	case c.Name != "" && ident.Check(c.Name) != "":
		return configError("Name", ident.Check(c.Name))
	case c.Name == "" && c.InsecureAdoptUnnamed:
		return configError("InsecureAdoptUnnamed", "is set, and Name is empty")
	case !slices.Contains([]int{2048, 3072, 4096}, c.RSABits):
		return configError("RSABits", "is not 2048, 3072 or 4096")
	}
	if err := c.checkDurations(); err != nil {
		return err
	}
	return c.checkAlgorithms()
}

func (c *Config) checkDurations() error {
	for _, d := range []struct {
		field    string
		value    time.Duration
		min, max time.Duration
	}{
		{"Period", c.Period, time.Hour, maxPeriod * time.Second},
		{"MaxAge", c.MaxAge, time.Minute, 24 * time.Hour},
		{"Propagation", c.Propagation, time.Hour, 30 * 24 * time.Hour},
		{"MaxLifetime", c.MaxLifetime, time.Second, 24 * time.Hour},
		{"Skew", c.Skew, time.Second, 12 * time.Hour},
		{"PollInterval", c.PollInterval, 10 * time.Millisecond, 12 * time.Hour},
	} {
		switch {
		case d.value < d.min || d.value > d.max:
			return configError(d.field, fmt.Sprintf("is %v, not %v to %v", d.value, d.min, d.max))
		case d.field != "PollInterval" && d.value%time.Second != 0:
			return configError(d.field, "is not in whole seconds")
		}
	}
	// All replicas know a change of one in time, by any of their clocks.
	if slack := c.slack(); slack > c.Propagation {
		return configError("Propagation", fmt.Sprintf("is shorter than %v: twice Skew, twice PollInterval and %v", slack, callTimeout))
	}
	if least := c.MaxAge + c.Propagation + c.slack(); c.Period < least {
		return configError("Period", fmt.Sprintf("is shorter than a key is published before it signs: at least %v are needed for these MaxAge, Propagation, Skew and PollInterval", least))
	}
	return nil
}

// slack returns the time until all replicas know a change of one, by any of their
// clocks.
func (c *Config) slack() time.Duration {
	return (2*c.Skew + 2*c.PollInterval + callTimeout).Truncate(time.Second) + time.Second
}

func (c *Config) checkAlgorithms() error {
	known := jws.Names()
	for i, alg := range c.Algorithms {
		if !slices.Contains(known, alg) {
			return configError(fmt.Sprintf("Algorithms[%d]", i), fmt.Sprintf("is %.20q, not one of %q", alg, known))
		}
		if slices.Contains(c.Algorithms[:i], alg) {
			return configError(fmt.Sprintf("Algorithms[%d]", i), "is there twice")
		}
	}
	if len(c.Algorithms) == 0 {
		return configError("Algorithms", "is empty")
	}
	// While a key signs, the next one is published; for a while after a rotation
	// the previous one is, too.
	if most := maxPublished / minKeys; len(c.Algorithms) > most {
		return configError("Algorithms", fmt.Sprintf("has %d entries, and at most %d are possible: each has up to %d keys published at once, and a JWK Set has at most %d", len(c.Algorithms), most, minKeys, maxPublished))
	}
	// From when a key is made until it is removed.
	served := 2*c.Period + (c.MaxAge + c.Propagation) + (c.MaxLifetime + c.Skew + c.MaxAge) + 2*c.slack()
	each := int((served + c.Period - 1) / c.Period)
	if n := each * len(c.Algorithms); n > maxPublished {
		least := ((served - 2*c.Period) / time.Duration(maxPublished/len(c.Algorithms)-2)).Truncate(time.Second) + time.Second
		return configError("Period", fmt.Sprintf("is too short for the rest: %d algorithms would have %d keys published at once, and the most is %d: make it %v or longer", len(c.Algorithms), n, maxPublished, least))
	}
	return nil
}

func (c *Config) policy() policy {
	seconds := func(d time.Duration) int64 { return int64(d / time.Second) }
	return policy{
		algorithms:  c.Algorithms,
		period:      seconds(c.Period),
		maxAge:      seconds(c.MaxAge),
		maxLifetime: seconds(c.MaxLifetime),
		skew:        seconds(c.Skew),
		propagation: seconds(c.Propagation),
		slack:       seconds(c.slack()),
		provisioned: c.Provisioner != nil,
	}
}
