package gcpkms_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http/httptest"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/httptransport"
	"google.golang.org/api/cloudkms/v1"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/gcpkms"
)

// staticToken replaces the credentials of the host.
type staticToken struct{}

func (staticToken) Token(context.Context) (*auth.Token, error) {
	return &auth.Token{Value: access}, nil
}

// exampleService returns the client of a service on loopback.
func exampleService(s *standin) (service *cloudkms.Service, stop func()) {
	server := httptest.NewServer(s)
	service = must(gcpkms.NewService(context.Background(), authorized(server.Client().Transport)))
	service.BasePath = server.URL + "/"
	return service, server.Close
}

// A host gets its credentials in the usual way. On a machine of Google Cloud,
// or with GOOGLE_APPLICATION_CREDENTIALS, it leaves out Credentials and names
// the scope in DetectOpts:
//
//	DetectOpts: &credentials.DetectOptions{Scopes: []string{cloudkms.CloudkmsScope}}
func ExampleNewService() {
	client, err := httptransport.NewClient(&httptransport.Options{
		Credentials: auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: staticToken{}}),
		Logger:      slog.New(slog.DiscardHandler), // the default one may log tokens
	})
	if err != nil {
		panic(err)
	}
	service, err := gcpkms.NewService(context.Background(), client)
	if err != nil {
		panic(err)
	}
	fmt.Println(service.BasePath)
	// Output: https://cloudkms.googleapis.com/
}

// An issuer whose only key is a version in the service.
func ExampleNew() {
	s := newStandin()
	service, stop := exampleService(s)
	defer stop()
	version := s.add("k", "EC_SIGN_P256_SHA256").name

	guard := signer.NewGuard(signer.Limits{Rate: 50}) // a part of the quota of the project
	kms, err := gcpkms.New(context.Background(), service, version, guard)
	if err != nil {
		panic(err)
	}
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL:  "https://ci.example.com",
		Keys: oidctoken.StaticKeys{{Signer: kms, Algorithm: kms.Algorithm()}},
	})
	if err != nil {
		panic(err)
	}
	token, err := issuer.Mint(context.Background(), oidctoken.Scope{
		Audience: "https://vault.example.com",
		Profile:  &oidctoken.Profile{Algorithms: []string{"ES256"}},
		Account:  oidctoken.Entity{ID: "acme"},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(kms, "signed:", len(token.JWT()) > 0)
	// Output: gcpkms.Signer(projects/acme-ci/locations/europe-west3/keyRings/tokens/cryptoKeys/k/cryptoKeyVersions/1) signed: true
}

func ExampleSigner_Sign() {
	s := newStandin()
	service, stop := exampleService(s)
	defer stop()
	v := s.add("k", "EC_SIGN_P256_SHA256")
	kms, err := gcpkms.New(context.Background(), service, v.name, nil)
	if err != nil {
		panic(err)
	}
	v.state = "DISABLED" // by an administrator
	digest := sha256.Sum256([]byte("message"))
	_, err = kms.Sign(context.Background(), digest[:], crypto.SHA256)
	fmt.Println(failureOf(err).Kind == signer.Gone)
	// Output: true
}

func ExampleSigner_Algorithm() {
	s := newStandin()
	service, stop := exampleService(s)
	defer stop()
	kms, err := gcpkms.New(context.Background(), service, s.add("k", "RSA_SIGN_PKCS1_2048_SHA256").name, nil)
	fmt.Println(kms.Algorithm(), err)
	// Output: RS256 <nil>
}

// A ring whose keys are made, and destroyed, in the service.
func ExampleNewProvisioner() {
	s := newStandin()
	service, stop := exampleService(s)
	defer stop()
	provisioner, err := gcpkms.NewProvisioner(service, gcpkms.ProvisionerConfig{
		KeyRing: "projects/acme-ci/locations/europe-west3/keyRings/tokens",
		Prefix:  "ci",
	}, nil)
	if err != nil {
		panic(err)
	}
	ring, err := keyring.New(context.Background(), keyring.Config{
		Store:       new(keyring.MemoryStore), // sqlstore.New for several replicas
		Provisioner: provisioner,
		Algorithms:  []string{"ES256"},
	})
	if err != nil {
		panic(err)
	}
	defer ring.Close()
	versions, err := provisioner.Versions(context.Background())
	fmt.Println(len(versions), "versions of", provisioner, err)
	// Output: 2 versions of gcpkms.Provisioner(projects/acme-ci/locations/europe-west3/keyRings/tokens/cryptoKeys/ci-*) <nil>
}

// A ring that keeps its keys itself, encrypted.
func ExampleNewWrapper() {
	s := newStandin()
	service, stop := exampleService(s)
	defer stop()
	s.add("wrapping", "GOOGLE_SYMMETRIC_ENCRYPTION")
	wrapper, err := gcpkms.NewWrapper(service, "projects/acme-ci/locations/europe-west3/keyRings/tokens/cryptoKeys/wrapping", nil)
	if err != nil {
		panic(err)
	}
	ring, err := keyring.New(context.Background(), keyring.Config{
		Store:      new(keyring.MemoryStore),
		Wrapper:    wrapper,
		Algorithms: []string{"ES256"},
	})
	if err != nil {
		panic(err)
	}
	defer ring.Close()
	keys, err := ring.Keys(context.Background())
	fmt.Println(len(keys), "keys,", s.total(), "call,", err)
	// Output: 2 keys, 1 call, <nil>
}

func ExampleWrapper_Current() {
	s := newStandin()
	service, stop := exampleService(s)
	defer stop()
	key := s.add("wrapping", "GOOGLE_SYMMETRIC_ENCRYPTION").key
	wrapper, err := gcpkms.NewWrapper(service, key.name, nil)
	if err != nil {
		panic(err)
	}
	wrapped, err := wrapper.Wrap(context.Background(), []byte("a data key"), []byte("ring"))
	if err != nil {
		panic(err)
	}
	fmt.Println(wrapper.Current(wrapped))
	key.add(0) // the service rotates the key
	plaintext, err := wrapper.Unwrap(context.Background(), wrapped, []byte("ring"))
	fmt.Printf("%s %v %v\n", plaintext, err, wrapper.Current(wrapped))
	// Output:
	// true
	// a data key <nil> false
}
