package exchange_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

const bankAudience = "https://bank.example"

// bank is a cloud whose credentials live for an hour, and hold their owner and
// the number of their exchange.
type bank struct {
	mu        sync.Mutex
	exchanges int
	given     map[string]int // credentials, by "sub"
	life      time.Duration  // an hour if 0

	// refuse is called before Subject. Optional.
	refuse func(ctx context.Context, n int) error
	// minted is called for each token. Optional.
	minted func(ctx context.Context, n int)
}

func (b *bank) Profile() oidctoken.Profile { return oidctoken.Profile{Algorithms: []string{"EdDSA"}} }

func (b *bank) Audience() string { return bankAudience }

func (b *bank) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	b.mu.Lock()
	b.exchanges++
	n, life := b.exchanges, b.life
	b.mu.Unlock()
	if life == 0 {
		life = time.Hour
	}
	if b.refuse != nil {
		if err := b.refuse(ctx, n); err != nil {
			return nil, err
		}
	}
	jwt, err := r.Subject(ctx, b.Audience())
	if err != nil {
		return nil, err
	}
	if b.minted != nil {
		b.minted(ctx, n)
	}
	subject := subjectOf(jwt)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.given == nil {
		b.given = make(map[string]int)
	}
	b.given[subject]++
	return exchange.NewCredential(time.Now().Add(life), map[string]string{
		"SUBJECT": subject, "SERIAL": strconv.Itoa(n), "SESSION": r.SessionName, "SCOPES": fmt.Sprintf("%q", r.Scopes),
	}), nil
}

// calls returns the number of exchanges.
func (b *bank) calls() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.exchanges
}

func subjectOf(jwt string) string {
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(jwt, ".")[1])
	if err != nil {
		panic(err)
	}
	var claims struct {
		Sub string `json:"sub"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		panic(err)
	}
	return claims.Sub
}

// ring is a KeySource whose keys a test changes.
type ring struct {
	mu   sync.Mutex
	keys []oidctoken.Key
	err  error
}

func (r *ring) Keys(context.Context) ([]oidctoken.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys, r.err
}

func (r *ring) set(err error, keys ...oidctoken.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys, r.err = keys, err
}

func newKey(t testing.TB) oidctoken.Key {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := oidctoken.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return oidctoken.Key{Signer: signer}
}

// newIssuer makes an issuer. If c has no key, newIssuer adds one.
func newIssuer(t testing.TB, c oidctoken.Config) *oidctoken.Issuer {
	t.Helper()
	c.URL = "https://tokens.example.com"
	if c.Keys == nil {
		c.Keys = oidctoken.StaticKeys{newKey(t)}
	}
	issuer, err := oidctoken.NewIssuer(c)
	if err != nil {
		t.Fatal(err)
	}
	return issuer
}

func newCache(t testing.TB, c exchange.CacheConfig) *exchange.Cache {
	t.Helper()
	cache := exchange.NewCache(c)
	t.Cleanup(cache.Close)
	return cache
}

// target is for the account of that name.
func target(issuer *oidctoken.Issuer, b exchange.Exchanger, account string) exchange.Target {
	return exchange.Target{Issuer: issuer, Exchanger: b, Connector: "bank", Scope: oidctoken.Scope{Account: oidctoken.Entity{ID: account}}}
}

func newLease(t testing.TB, cache *exchange.Cache, target exchange.Target) *exchange.Lease {
	t.Helper()
	lease, err := cache.Lease(t.Context(), target)
	if err != nil {
		t.Fatalf("Lease: %v", err)
	}
	return lease
}

// serial returns the number of the exchange whose credential Get returns, or why it
// returns none.
func serial(ctx context.Context, lease *exchange.Lease) string {
	c, err := lease.Get(ctx)
	if err != nil {
		return err.Error()
	}
	return c.Value("SERIAL")
}

// checkSerial fails the test unless Get returns the credential of that exchange.
func checkSerial(t *testing.T, lease *exchange.Lease, want int) {
	t.Helper()
	if got := serial(t.Context(), lease); got != strconv.Itoa(want) {
		t.Fatalf("Get = %s, want the credential of exchange %d", got, want)
	}
}

// fixed is a cloud that always gives the same, without a token.
type fixed struct{ answer *exchange.Credential }

func (*fixed) Profile() oidctoken.Profile { return oidctoken.Profile{Algorithms: []string{"EdDSA"}} }

func (*fixed) Audience() string { return bankAudience }

func (f *fixed) Exchange(context.Context, exchange.Request) (*exchange.Credential, error) {
	return f.answer, nil
}
