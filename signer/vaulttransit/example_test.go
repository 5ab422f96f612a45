package vaulttransit_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/vaulttransit"
)

// exampleClient reaches a stand-in of Vault on loopback, in which an operator
// has made the keys.
func exampleClient(keys map[string]string) (*vaulttransit.Client, func()) {
	v := newVault()
	for name, kind := range keys {
		v.addKey(name, kind)
	}
	return v.client(), v.Close
}

// The token is read for every request from the place where the host keeps it.
func ExampleNewClient() {
	client, err := vaulttransit.NewClient(vaulttransit.Config{
		Address:   "https://vault.example.com:8200",
		Namespace: "platform",
		Token: func(context.Context) (string, error) {
			return "hvs.example", nil // as its login or renewal has left it
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client)

	_, err = vaulttransit.NewClient(vaulttransit.Config{Address: "http://vault.example.com:8200"})
	fmt.Println(err)
	// Output:
	// vaulttransit.Client(https://vault.example.com:8200, transit)
	// vaulttransit: Address cannot be used: the URL is plain http to a host that is not loopback
}

// An issuer that signs with version 1 of a key in Vault.
func ExampleNew() {
	client, stop := exampleClient(map[string]string{"ci": "ecdsa-p256"}) // or NewClient
	defer stop()
	ctx := context.Background()

	s, err := vaulttransit.New(ctx, client, "ci", 1, nil)
	if err != nil {
		log.Fatal(err)
	}
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL:  "https://ci.example.com",
		Keys: oidctoken.StaticKeys{{Signer: s}},
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := issuer.Mint(ctx, oidctoken.Scope{
		Audience: "https://vault.example.com",
		Profile:  &oidctoken.Profile{Algorithms: []string{"ES256"}},
		Account:  oidctoken.Entity{ID: "acme"},
	})
	fmt.Println(s, "has signed:", err == nil && token.JWT() != "")

	_, err = vaulttransit.New(ctx, client, "ci", 2, nil)
	var failure *signer.Error
	fmt.Println(errors.As(err, &failure) && failure.Kind == signer.Gone, err)
	// Output:
	// vaulttransit.Signer(transit/ci, version 1) has signed: true
	// true vaulttransit: read key: gone: the version is missing, or may no longer sign
}

// A ring whose keys are made in Vault, and never leave it.
func ExampleNewProvisioner() {
	client, stop := exampleClient(nil) // or NewClient
	defer stop()

	provisioner, err := vaulttransit.NewProvisioner(client, "ci", nil)
	if err != nil {
		log.Fatal(err)
	}
	ring, err := keyring.New(context.Background(), keyring.Config{
		Store:       new(keyring.MemoryStore), // or a store that the replicas share
		Provisioner: provisioner,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	versions, err := provisioner.Versions(context.Background())
	fmt.Println(provisioner, "has", len(versions), "keys,", err)
	// Output: vaulttransit.Provisioner(transit/ci-) has 4 keys, <nil>
}

// A ring whose keys are in the process, and stored encrypted by Vault.
func ExampleNewWrapper() {
	client, stop := exampleClient(map[string]string{"ring": "aes256-gcm96"}) // or NewClient
	defer stop()
	ctx := context.Background()

	wrapper, err := vaulttransit.NewWrapper(ctx, client, "ring", nil)
	if err != nil {
		log.Fatal(err)
	}
	ring, err := keyring.New(ctx, keyring.Config{Store: new(keyring.MemoryStore), Wrapper: wrapper})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	keys, err := ring.Keys(ctx)
	fmt.Println(wrapper, "protects", len(keys), "keys,", err)
	// Output: vaulttransit.Wrapper(transit/ring) protects 4 keys, <nil>
}
