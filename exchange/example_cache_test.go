package exchange_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

// till is a cloud that gives a credential for an hour.
type till struct{ toy }

func (t *till) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	if _, err := r.Subject(ctx, t.Audience()); err != nil {
		return nil, err
	}
	fmt.Println("exchanged")
	return exchange.NewCredential(time.Now().Add(time.Hour), map[string]string{"TOY_TOKEN": "s3cret"}), nil
}

// exampleIssuer returns an issuer that signs with ES256.
func exampleIssuer() *oidctoken.Issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		panic(err)
	}
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL: "https://tokens.example.com", Keys: oidctoken.StaticKeys{{Signer: signer}},
	})
	if err != nil {
		panic(err)
	}
	return issuer
}

// A process has one cache. The second caller of a credential gets it without
// another exchange.
func ExampleNewCache() {
	cache := exchange.NewCache(exchange.CacheConfig{})
	defer cache.Close()
	ctx := context.Background()
	target := exchange.Target{
		Issuer:    exampleIssuer(),
		Scope:     oidctoken.Scope{Account: oidctoken.Entity{ID: "acme"}},
		Exchanger: &till{},
		Connector: "account.toy",
	}
	for range 3 {
		lease, err := cache.Lease(ctx, target)
		if err != nil {
			fmt.Println(err)
			return
		}
		credential, err := lease.Get(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(credential.Value("TOY_TOKEN"))
	}
	// Output:
	// exchanged
	// s3cret
	// s3cret
	// s3cret
}

// Keep a lease while its credential is needed, and ask it whenever a credential
// is needed. The cache renews the credential ahead of its expiry.
func ExampleCache_Lease() {
	cache := exchange.NewCache(exchange.CacheConfig{})
	defer cache.Close()
	_, err := cache.Lease(context.Background(), exchange.Target{
		Issuer:    exampleIssuer(),
		Scope:     oidctoken.Scope{Account: oidctoken.Entity{ID: "acme/prod"}},
		Exchanger: &till{},
	})
	fmt.Println(err)
	// Output:
	// oidctoken: scope: Account.ID is not an identifier: 1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or ..
}

func ExampleLease_Get() {
	cache := exchange.NewCache(exchange.CacheConfig{})
	defer cache.Close()
	ctx := context.Background()
	lease, err := cache.Lease(ctx, exchange.Target{
		Issuer: exampleIssuer(), Scope: oidctoken.Scope{Account: oidctoken.Entity{ID: "acme"}}, Exchanger: &till{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	first, err := lease.Get(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := lease.Get(ctx)
	fmt.Println(first == second, err)
	// Output:
	// exchanged
	// true <nil>
}

// A connector that was changed or removed leaves nothing behind.
func ExampleCache_Purge() {
	cache := exchange.NewCache(exchange.CacheConfig{})
	defer cache.Close()
	ctx := context.Background()
	lease, err := cache.Lease(ctx, exchange.Target{
		Issuer: exampleIssuer(), Scope: oidctoken.Scope{Account: oidctoken.Entity{ID: "acme"}}, Exchanger: &till{}, Connector: "account.toy",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := lease.Get(ctx); err != nil {
		fmt.Println(err)
	}
	cache.Purge("account.toy")
	if _, err := lease.Get(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// exchanged
	// exchanged
}

func ExampleCache_Stats() {
	cache := exchange.NewCache(exchange.CacheConfig{MaxEntries: 10, MaxBytes: 1 << 20})
	defer cache.Close()
	fmt.Printf("%+v\n", cache.Stats())
	// Output:
	// {Entries:0 Bytes:0 Hits:0 Misses:0}
}

func ExampleCache_Close() {
	cache := exchange.NewCache(exchange.CacheConfig{})
	lease, err := cache.Lease(context.Background(), exchange.Target{
		Issuer: exampleIssuer(), Scope: oidctoken.Scope{Account: oidctoken.Entity{ID: "acme"}}, Exchanger: &till{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	cache.Close()
	_, err = lease.Get(context.Background())
	fmt.Println(err)
	// Output:
	// exchange: the cache is closed
}
