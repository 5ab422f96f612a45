package oidctoken_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/oidctoken/oidctoken"
)

// slowSigner represents a key management service. It counts its signatures.
type slowSigner struct{ oidctoken.Signer }

func newSlowIssuer() *oidctoken.Issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		panic(err)
	}
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL:     "https://tokens.example.com",
		Keys:    oidctoken.StaticKeys{{Signer: slowSigner{signer}, ID: "k1"}},
		Profile: oidctoken.Profile{Algorithms: []string{"ES256"}},
	})
	if err != nil {
		panic(err)
	}
	return issuer
}

// Use a cache if the signer of the issuer is slow, or has a quota.
func ExampleNewCache() {
	cache := oidctoken.NewCache(newSlowIssuer(), oidctoken.CacheConfig{MaxEntries: 100_000})
	defer cache.Close()
	token, err := cache.Mint(context.Background(), oidctoken.Scope{
		Audience: "sts.example.com",
		Account:  oidctoken.Entity{ID: "acme"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(token.KeyID(), time.Until(token.Expires()) > 14*time.Minute)
	// Output:
	// k1 true
}

// Calls with the same claims share one token. Policy is called each time.
func ExampleCache_Mint() {
	cache := oidctoken.NewCache(newSlowIssuer(), oidctoken.CacheConfig{})
	defer cache.Close()
	ctx := context.Background()
	scope := oidctoken.Scope{Audience: "sts.example.com", Account: oidctoken.Entity{ID: "acme"}}
	first, err := cache.Mint(ctx, scope)
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := cache.Mint(ctx, scope)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(first.JWT() == second.JWT())

	scope.Untrusted = true
	_, err = cache.Mint(ctx, scope)
	fmt.Println(err)
	// Output:
	// true
	// oidctoken: mint: denied by policy: the execution is untrusted
}

func ExampleCache_Close() {
	cache := oidctoken.NewCache(newSlowIssuer(), oidctoken.CacheConfig{})
	cache.Close()
	_, err := cache.Mint(context.Background(), oidctoken.Scope{
		Audience: "sts.example.com",
		Account:  oidctoken.Entity{ID: "acme"},
	})
	fmt.Println(err)
	// Output:
	// oidctoken: the cache is closed
}

func ExampleIssuer_KeyIDs() {
	ids, err := newSlowIssuer().KeyIDs(context.Background())
	fmt.Println(ids, err)
	// Output:
	// [k1] <nil>
}

func ExampleCache_Stats() {
	cache := oidctoken.NewCache(newSlowIssuer(), oidctoken.CacheConfig{})
	defer cache.Close()
	for range 3 {
		_, err := cache.Mint(context.Background(), oidctoken.Scope{Audience: "sts.example.com", Account: oidctoken.Entity{ID: "acme"}})
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Printf("%+v\n", cache.Stats())
	// Output: {Entries:1 Hits:2 Misses:1}
}
