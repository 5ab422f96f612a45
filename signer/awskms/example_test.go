package awskms_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/awskms"
)

// exampleKMS returns a stand-in of KMS, and the client that kms.NewFromConfig
// would make with the configuration of config.LoadDefaultConfig.
func exampleKMS() (s *standin, client *kms.Client, done func()) {
	s = &standin{calls: make(map[string]int)}
	s.start()
	return s, s.connect(&http.Transport{DisableKeepAlives: true}), s.Close
}

// Tokens that are signed by one key of KMS.
func ExampleNew() {
	kms, client, done := exampleKMS()
	defer done()
	arn := kms.signingKey("ECC_NIST_P256").arn

	ctx := context.Background()
	guard := signer.NewGuard(signer.Limits{Rate: 500}) // half of the account's quota
	s, err := awskms.New(ctx, client, arn, guard)
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
		Account:  oidctoken.Entity{ID: "acme"},
		Profile:  &oidctoken.Profile{Algorithms: []string{"ES256"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s)
	fmt.Println(kms.count("Sign"), "signature:", len(token.JWT()) > 0)
	// Output:
	// awskms.Signer(arn:aws:kms:eu-west-1:111122223333:key/00000001-12ab-34cd-56ef-1234567890ab)
	// 1 signature: true
}

// A ring whose keys never leave KMS.
func ExampleNewProvisioner() {
	kms, client, done := exampleKMS()
	defer done()

	provisioner, err := awskms.NewProvisioner(client, awskms.ProvisionerConfig{Ring: "ci-production"})
	if err != nil {
		log.Fatal(err)
	}
	ring, err := keyring.New(context.Background(), keyring.Config{
		Store:       new(keyring.MemoryStore), // a database, if there are replicas
		Provisioner: provisioner,
		Algorithms:  []string{"ES256"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	fmt.Println(len(kms.enabled()), "keys:", kms.keys[0].description, kms.keys[0].tags)
	// Output: 2 keys: oidctoken: ES256 key of the ring ci-production map[oidctoken:ring:ci-production]
}

// A ring that makes its keys itself. KMS protects the stored keys.
func ExampleNewWrapper() {
	kms, client, done := exampleKMS()
	defer done()
	arn := kms.symmetricKey().arn

	wrapper, err := awskms.NewWrapper(client, arn, nil)
	if err != nil {
		log.Fatal(err)
	}
	ring, err := keyring.New(context.Background(), keyring.Config{
		Store:   new(keyring.MemoryStore), // a database, if there are replicas
		Wrapper: wrapper,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	keys, err := ring.Keys(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(keys), "keys,", kms.count("Encrypt"), "operation")
	// Output: 4 keys, 1 operation
}
