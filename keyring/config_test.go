package keyring_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
)

// P06, K01: a schedule that would fail a verifier is refused, and the error
// names the field.
func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*keyring.Config)
		want   string // the field at fault; "" for none
	}{
		{"the defaults", func(*keyring.Config) {}, ""},
		{"no store", func(c *keyring.Config) { c.Store = nil }, "Store"},
		{"nothing that protects keys", func(c *keyring.Config) { c.Wrapper = nil }, "Wrapper"},
		{"a provisioner alone", func(c *keyring.Config) { c.Wrapper, c.Provisioner = nil, newService() }, ""},
		{"an algorithm that is none", func(c *keyring.Config) { c.Algorithms = []string{"ES256", "none"} }, "Algorithms[1]"},
		{"an algorithm in lower case", func(c *keyring.Config) { c.Algorithms = []string{"es256"} }, "Algorithms[0]"},
		{"an algorithm twice", func(c *keyring.Config) { c.Algorithms = []string{"ES256", "ES256"} }, "Algorithms[1]"},
		{"no algorithm", func(c *keyring.Config) { c.Algorithms = []string{} }, "Algorithms"},
		{"three algorithms", func(c *keyring.Config) { c.Algorithms = []string{"ES256", "RS256", "EdDSA"} }, ""},
		{"four algorithms: 12 keys", func(c *keyring.Config) { c.Algorithms = []string{"ES256", "RS256", "EdDSA", "ES384"} }, "Algorithms"},
		{"four algorithms for a year", func(c *keyring.Config) {
			c.Algorithms, c.Period = []string{"ES256", "RS256", "EdDSA", "ES384"}, 365*day
		}, "Algorithms"},
		{"short RSA keys", func(c *keyring.Config) { c.RSABits = 1024 }, "RSABits"},
		{"RSA keys of 128 bits", func(c *keyring.Config) { c.RSABits = 3072 }, ""},
		{"a period of more than a year", func(c *keyring.Config) { c.Period = 366 * day }, "Period"},
		{"a period of a year", func(c *keyring.Config) { c.Period = 365 * day }, ""},
		{"a period that is shorter than the lead", func(c *keyring.Config) { c.Period = 25 * time.Hour }, "Period"},
		{"a period with too many keys at once", func(c *keyring.Config) {
			c.Period, c.MaxLifetime, c.Algorithms = 26*time.Hour, 24*time.Hour, []string{"ES256", "RS256"}
		}, ""},
		{"a shorter period with more", func(c *keyring.Config) {
			c.Period, c.MaxLifetime, c.MaxAge, c.Algorithms = 50*time.Hour, 24*time.Hour, 24*time.Hour, []string{"ES256", "RS256", "EdDSA"}
		}, "Period"},
		{"half an hour of propagation", func(c *keyring.Config) { c.Propagation = 30 * time.Minute }, "Propagation"},
		{"an hour of propagation", func(c *keyring.Config) { c.Propagation = time.Hour }, ""},
		{"clocks that are further off than keys propagate", func(c *keyring.Config) { c.Propagation, c.Skew = time.Hour, 30*time.Minute }, "Propagation"},
		{"polls that are rarer than keys propagate", func(c *keyring.Config) { c.Propagation, c.PollInterval = time.Hour, 30*time.Minute }, "Propagation"},
		{"polls without pause", func(c *keyring.Config) { c.PollInterval = time.Millisecond }, "PollInterval"},
		{"no caching", func(c *keyring.Config) { c.MaxAge = time.Second }, "MaxAge"},
		{"caching for days", func(c *keyring.Config) { c.MaxAge = 25 * time.Hour }, "MaxAge"},
		{"tokens for days", func(c *keyring.Config) { c.MaxLifetime = 25 * time.Hour }, "MaxLifetime"},
		{"a negative lifetime", func(c *keyring.Config) { c.MaxLifetime = -time.Hour }, "MaxLifetime"},
		{"parts of seconds", func(c *keyring.Config) { c.MaxAge = time.Hour + time.Millisecond }, "MaxAge"},
		{"a negative skew", func(c *keyring.Config) { c.Skew = -time.Second }, "Skew"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := new(keyring.MemoryStore)
			c := keyring.Config{Store: store, Wrapper: newWrapper(), Algorithms: []string{"ES256"}}
			tt.change(&c)
			ring, err := keyring.New(t.Context(), c)
			if ring != nil {
				ring.Close()
			}
			var got *oidctoken.ConfigError
			errors.As(err, &got)
			if tt.want == "" {
				if err != nil {
					t.Errorf("New: %v", err)
				}
				return
			}
			if diff := cmp.Diff(&oidctoken.ConfigError{Package: "keyring", Field: tt.want}, got, cmpopts.IgnoreFields(oidctoken.ConfigError{}, "Reason")); diff != "" || ring != nil {
				t.Errorf("New: %v (-want +got):\n%s", err, diff)
			}
			if document, err := store.Load(t.Context()); document != nil || err != nil {
				t.Errorf("a ring that was refused stored %d bytes: %v", len(document), err)
			}
		})
	}
}

// P06: the limits of one replica hold for all: the longest lifetime that was
// ever allowed keeps keys published.
func TestLimitsAreRaised(t *testing.T) {
	store, wrapper := new(keyring.MemoryStore), newWrapper()
	kept := func(lifetime time.Duration) time.Duration {
		ring := newRing(t, keyring.Config{Store: store, Wrapper: wrapper, MaxLifetime: lifetime})
		k := must(ring.Keys(t.Context()))[0]
		return k.Expires.Sub(k.NotAfter)
	}
	for _, tt := range []struct{ lifetime, want time.Duration }{
		{time.Hour, 2*time.Hour + 5*time.Minute},
		{12 * time.Hour, 13*time.Hour + 5*time.Minute},
		{time.Minute, 13*time.Hour + 5*time.Minute},
	} {
		if got := kept(tt.lifetime); got != tt.want {
			t.Errorf("a ring for tokens of %v keeps keys for %v, want %v", tt.lifetime, got, tt.want)
		}
	}
}

// The Period that a refusal advises is accepted.
func TestAdvisedPeriod(t *testing.T) {
	for _, c := range []keyring.Config{
		{Algorithms: []string{"ES256", "RS256", "EdDSA"}, Period: 50 * time.Hour, MaxLifetime: day, MaxAge: day},
		{Algorithms: []string{"ES256", "RS256", "EdDSA"}, Period: 32 * day, Propagation: 30 * day, Skew: 10 * time.Hour},
		{Algorithms: []string{"ES256"}, Period: time.Hour},
	} {
		c.Store, c.Wrapper = new(keyring.MemoryStore), newWrapper()
		_, err := keyring.New(t.Context(), c)
		if err == nil {
			t.Errorf("Period %v of %v is accepted", c.Period, c.Algorithms)
			continue
		}
		for word := range strings.FieldsSeq(err.Error()) {
			if d, err := time.ParseDuration(word); err == nil {
				c.Period = d // the last one
			}
		}
		ring, err := keyring.New(t.Context(), c)
		if err != nil {
			t.Errorf("with the advised Period: %v", err)
			continue
		}
		ring.Close()
	}
}
