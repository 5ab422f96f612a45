package pkcs11_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer/pkcs11"
)

// openModule replaces pkcs11.OpenModule, so that the examples run on machines
// without the library.
func openModule(ctx context.Context, _ string) (*pkcs11.Module, error) {
	fake, on := pkcs11.NewFake()
	on.Label = "ci"
	on.AddKey("\x02", p256())
	on.AddKey("\x03", make([]byte, 32))
	return fake.Open(ctx)
}

// readPIN reads the PIN where it is kept, each time.
func readPIN(context.Context) ([]byte, error) {
	if path := os.Getenv("CI_PIN_FILE"); path != "" {
		text, err := os.ReadFile(path)
		return bytes.TrimSpace(text), err
	}
	return []byte("1234"), nil // for the example
}

// An issuer whose key an operator has made in the token, with the CKA_ID 02.
func Example() {
	ctx := context.Background()
	module, err := openModule(ctx, "/usr/lib/softhsm/libsofthsm2.so")
	check(err)
	defer module.Close()
	token, err := pkcs11.Open(ctx, pkcs11.Config{Module: module, Label: "ci", PIN: readPIN})
	check(err)
	defer token.Close()
	key, err := pkcs11.New(ctx, token, "02", nil)
	check(err)
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL:  "https://ci.example.com",
		Keys: oidctoken.StaticKeys{{Signer: key}},
	})
	check(err)
	jwt, err := issuer.Mint(ctx, oidctoken.Scope{
		Audience: "https://vault.example.com",
		Profile:  &oidctoken.Profile{Algorithms: []string{"ES256"}},
		Account:  oidctoken.Entity{ID: "acme"},
	})
	check(err)
	fmt.Println(key, len(jwt.JWT()) > 0)
	// Output: pkcs11.Signer("ci" 02) true
}

func ExampleOpenModule() {
	module, err := pkcs11.OpenModule(context.Background(), "/usr/lib/no-such-library.so")
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		fmt.Println("no module") // the program was built without cgo
	case err != nil:
		fmt.Println("no module") // the administrator must install the module
	default:
		defer module.Close()
	}
	// Output: no module
}

func ExampleOpen() {
	ctx := context.Background()
	module, err := openModule(ctx, "/usr/lib/softhsm/libsofthsm2.so")
	check(err)
	defer module.Close()
	_, err = pkcs11.Open(ctx, pkcs11.Config{Module: module, Label: "staging", PIN: readPIN})
	fmt.Println(err)
	token, err := pkcs11.Open(ctx, pkcs11.Config{Module: module, Label: "ci", PIN: readPIN})
	check(err)
	defer token.Close()
	fmt.Println(token)
	// Output:
	// pkcs11: C_GetTokenInfo: unavailable: no slot has the token "staging"
	// pkcs11.Token("ci")
}

func ExampleNew() {
	ctx := context.Background()
	module, err := openModule(ctx, "/usr/lib/softhsm/libsofthsm2.so")
	check(err)
	defer module.Close()
	token, err := pkcs11.Open(ctx, pkcs11.Config{Module: module, Label: "ci", PIN: readPIN})
	check(err)
	defer token.Close()
	key, err := pkcs11.New(ctx, token, "02", nil)
	check(err)
	fmt.Printf("%T\n", key.Public())
	_, err = pkcs11.New(ctx, token, "04", nil)
	fmt.Println(err)
	// Output:
	// *ecdsa.PublicKey
	// pkcs11: C_FindObjects: gone: the token has no public key of CKA_ID 04
}

// A ring whose keys are made in the token, and turn there.
func ExampleNewProvisioner() {
	ctx := context.Background()
	module, err := openModule(ctx, "/usr/lib/softhsm/libsofthsm2.so")
	check(err)
	defer module.Close()
	token, err := pkcs11.Open(ctx, pkcs11.Config{Module: module, Label: "ci", PIN: readPIN})
	check(err)
	defer token.Close()
	provisioner, err := pkcs11.NewProvisioner(pkcs11.ProvisionerConfig{Token: token, Prefix: "acme-prod"})
	check(err)
	ring, err := keyring.New(ctx, keyring.Config{
		Store:       new(keyring.MemoryStore), // or a store that the replicas share
		Provisioner: provisioner,
		Algorithms:  []string{"ES256"},
	})
	check(err)
	defer ring.Close()
	versions, err := provisioner.Versions(ctx)
	check(err)
	for _, v := range versions {
		fmt.Println(v.Algorithm, len(v.ID))
	}
	// Output:
	// ES256 32
	// ES256 32
}

// A ring whose keys are in memory, and are stored encrypted with a key of the
// token.
func ExampleNewWrapper() {
	ctx := context.Background()
	module, err := openModule(ctx, "/usr/lib/softhsm/libsofthsm2.so")
	check(err)
	defer module.Close()
	token, err := pkcs11.Open(ctx, pkcs11.Config{Module: module, Label: "ci", PIN: readPIN})
	check(err)
	defer token.Close()
	wrapper, err := pkcs11.NewWrapper(token, "03", nil)
	check(err)
	ring, err := keyring.New(ctx, keyring.Config{
		Store:      new(keyring.MemoryStore),
		Wrapper:    wrapper,
		Algorithms: []string{"ES256"},
	})
	check(err)
	defer ring.Close()
	keys, err := ring.Keys(ctx)
	check(err)
	fmt.Println(len(keys), "keys,", wrapper)
	// Output: 2 keys, pkcs11.Wrapper("ci" 03)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
