//go:build unix

package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/blocks"
)

// emptyCloud is a cloud whose credentials have fixed content.
type emptyCloud struct{}

func (*emptyCloud) Profile() oidctoken.Profile {
	return oidctoken.Profile{Algorithms: []string{"ES256"}}
}

func (*emptyCloud) Audience() string { return typical().Audience }

func (f *emptyCloud) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	if _, err := r.Subject(ctx, f.Audience()); err != nil {
		return nil, err
	}
	return exchange.NewCredential(time.Now().Add(time.Hour), map[string]string{"TOKEN": "token"}), nil
}

// measureHandle compares a cached credential with the simplest cache: a pointer and the
// time of day.
func measureHandle(plan blocks.Plan) (t table, err error) {
	key, err := newKey("ES256")
	if err != nil {
		return t, err
	}
	issuer, err := cacheIssuer(key)
	if err != nil {
		return t, err
	}
	cache := exchange.NewCache(exchange.CacheConfig{})
	defer cache.Close()
	ctx := context.Background()
	lease, err := cache.Lease(ctx, exchange.Target{Issuer: issuer, Scope: typical(), Exchanger: &emptyCloud{}})
	if err != nil {
		return t, err
	}
	credential, err := lease.Get(ctx)
	if err != nil {
		return t, err
	}
	var pointer atomic.Pointer[exchange.Credential]
	pointer.Store(credential)
	var now time.Time
	ways := []blocks.Candidate{
		{Name: "atomic.Pointer + time.Now", Run: func(n int) {
			for range n {
				credential = pointer.Load()
				now = time.Now()
			}
		}},
		{Name: "Lease.Get", Run: func(n int) {
			for range n {
				if credential, err = lease.Get(ctx); err != nil {
					panic(fmt.Errorf("bench: a call that succeeded before failed: %w", err))
				}
			}
		}},
	}
	t = table{title: "a cached credential, through a handle", unit: "pointer"}
	for _, c := range ways {
		t.rows = append(t.rows, countRow(c.Name, 1000, c.Run))
	}
	t.result = plan.Compare(ways...)
	if now.IsZero() || credential != pointer.Load() {
		return t, errors.New("the credential changed")
	}
	t.targets = []target{
		{id: "P4", what: "Lease.Get / atomic.Pointer + time.Now", got: t.result.Ratio[1], limit: 0.65},
		{id: "P4", what: "Lease.Get, allocations", got: t.rows[1].allocs, exact: true},
	}
	return t, nil
}

// credentialKey is the key that a host would use in a cache of its own.
type credentialKey struct {
	audience, account, organization, project, pipeline, execution, stage, step, connector string
}

// mapCache is a minimal cache. It does not check whether a credential has expired.
type mapCache struct {
	mu          sync.RWMutex
	credentials map[credentialKey]*exchange.Credential
}

func (c *mapCache) get(key *credentialKey) *exchange.Credential {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.credentials[*key]
}

// measureMany compares the same among 10,000 scopes, each with a handle of its own, in
// an order that the processor's caches cannot predict.
func measureMany(plan blocks.Plan) (t table, err error) {
	const scopes = 10_000
	key, err := newKey("ES256")
	if err != nil {
		return t, err
	}
	issuer, err := cacheIssuer(key)
	if err != nil {
		return t, err
	}
	cache := exchange.NewCache(exchange.CacheConfig{MaxEntries: scopes, MaxBytes: 1 << 30})
	defer cache.Close()
	ctx, s, ownCache := context.Background(), typical(), mapCache{credentials: map[credentialKey]*exchange.Credential{}}
	var leases []*exchange.Lease
	var keys []credentialKey
	for i := range scopes {
		s.Execution = &oidctoken.Execution{ID: fmt.Sprintf("0190b2c4-6a1e-7f3d-9c5b-%012d", i)}
		lease, err := cache.Lease(ctx, exchange.Target{Issuer: issuer, Scope: s, Exchanger: &emptyCloud{}})
		if err != nil {
			return t, err
		}
		c, err := lease.Get(ctx)
		if err != nil {
			return t, err
		}
		key := credentialKey{s.Audience, s.Account.ID, s.Organization.ID, s.Project.ID, s.Pipeline.ID, s.Execution.ID, "deploy", s.Step.ID, s.Connector.ID}
		ownCache.credentials[key] = c
		leases, keys = append(leases, lease), append(keys, key)
	}
	order := rand.Perm(scopes)
	ways := []blocks.Candidate{
		{Name: "sync.RWMutex + map of a struct", Run: func(n int) {
			for i := range n {
				if ownCache.get(&keys[order[i%scopes]]) == nil {
					panic("bench: a credential is gone")
				}
			}
		}},
		{Name: "Lease.Get", Run: func(n int) {
			for i := range n {
				if _, err := leases[order[i%scopes]].Get(ctx); err != nil {
					panic(fmt.Errorf("bench: a call that succeeded before failed: %w", err))
				}
			}
		}},
	}
	t = table{title: "a cached credential, one of 10,000", unit: "map"}
	for _, c := range ways {
		t.rows = append(t.rows, countRow(c.Name, 1000, c.Run))
	}
	t.result = plan.Compare(ways...)
	t.targets = []target{
		{id: "P4", what: "Lease.Get / RWMutex + map, among 10,000", got: t.result.Ratio[1], limit: 1.2},
		{id: "P4", what: "Lease.Get, allocations", got: t.rows[1].allocs, exact: true},
	}
	return t, nil
}

// measureTokens compares a cached token with a new one.
func measureTokens(plan blocks.Plan) (t table, err error) {
	key, err := newKey("ES256")
	if err != nil {
		return t, err
	}
	issuer, err := cacheIssuer(key)
	if err != nil {
		return t, err
	}
	cache := oidctoken.NewCache(issuer, oidctoken.CacheConfig{})
	defer cache.Close()
	ctx, s := context.Background(), typical()
	minters := []minter{
		{"Issuer.Mint", func() (string, error) { return text(issuer.Mint(ctx, s)) }},
		{"Cache.Mint", func() (string, error) { return text(cache.Mint(ctx, s)) }},
	}
	t = table{title: "one token of a cache, ES256", unit: "Mint"}
	var ways []blocks.Candidate
	for _, m := range minters {
		ways = append(ways, blocks.Candidate{Name: m.name, Run: repeat(m.mint)})
		t.rows = append(t.rows, newRow(m.name, repeat(m.mint)))
	}
	t.result = plan.Compare(ways...)
	return t, nil
}

// measureMemory fills a cache with a million tokens.
func measureMemory(blocks.Plan) (t table, err error) {
	const tokens = 1_000_000
	key, err := newKey("ES256")
	if err != nil {
		return t, err
	}
	issuer, err := cacheIssuer(key)
	if err != nil {
		return t, err
	}
	before := heap()
	cache := oidctoken.NewCache(issuer, oidctoken.CacheConfig{MaxEntries: tokens})
	defer cache.Close()
	var (
		all    sync.WaitGroup
		next   atomic.Int64
		failed atomic.Pointer[error]
	)
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			s := oidctoken.Scope{Audience: "sts.example.com", Account: oidctoken.Entity{ID: "acme"}}
			for i := next.Add(1); i <= tokens && failed.Load() == nil; i = next.Add(1) {
				s.Execution = &oidctoken.Execution{ID: fmt.Sprint(i)}
				if _, err := cache.Mint(context.Background(), s); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return t, *err
	}
	took := float64(heap()-before) / tokens
	// Take the fastest of several runs: other work on the machine slows the rest down.
	collection := time.Hour
	for range 20 {
		start := time.Now()
		runtime.GC()
		collection = min(collection, time.Since(start))
	}
	runtime.KeepAlive(cache)
	return table{title: "a million tokens in a cache, ES256", targets: []target{
		{id: "P6", what: "bytes of a token", got: took, limit: 160, exact: true},
		{id: "P6", what: "milliseconds of a garbage collection", got: float64(collection) / float64(time.Millisecond), limit: 5, exact: true},
	}}, nil
}

// heap returns the size of all reachable objects in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC() // also frees what pools kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// cacheIssuer returns an issuer of ES256 tokens.
func cacheIssuer(key crypto.Signer) (*oidctoken.Issuer, error) {
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		return nil, err
	}
	return oidctoken.NewIssuer(oidctoken.Config{
		URL:     issuerURL,
		Keys:    oidctoken.StaticKeys{{Signer: signer}},
		Profile: oidctoken.Profile{Algorithms: []string{"ES256"}},
	})
}
