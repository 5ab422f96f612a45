package azurekeys_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/azurekeys"
)

// exampleVault returns a stand-in of the service, with a client for it.
func exampleVault(url string) (s *standIn, client *azkeys.Client, end func()) {
	s = newStandIn()
	transport := s.transport()
	client = must(azkeys.NewClient(url, s, &azkeys.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: azurekeys.HTTPClient(transport)},
	}))
	return s, client, func() {
		transport.CloseIdleConnections()
		s.server.Close()
	}
}

// An issuer whose key never leaves a vault.
func Example() {
	s, client, end := exampleVault("https://ci.vault.azure.net")
	defer end()
	keyID := s.add("https://ci.vault.azure.net", "tokens", "EC", "P-256", "sign").kid()

	ctx := context.Background()
	remote := must(azurekeys.New(ctx, client, keyID, signer.NewGuard(signer.Limits{Rate: 200})))
	issuer := must(oidctoken.NewIssuer(oidctoken.Config{URL: "https://ci.example.com", Keys: oidctoken.StaticKeys{{Signer: remote}}}))
	token := must(issuer.Mint(ctx, oidctoken.Scope{
		Audience: "https://example.com", Account: oidctoken.Entity{ID: "acme"},
		Profile: &oidctoken.Profile{Algorithms: []string{"ES256"}},
	}))
	fmt.Println(strings.Count(token.JWT(), "."), "dots")
	// Output: 2 dots
}

// After a rotation, the latest version is another one. New uses the given
// version.
func ExampleNew() {
	_, client, end := exampleVault("https://ci.vault.azure.net")
	defer end()
	_, err := azurekeys.New(context.Background(), client, "https://ci.vault.azure.net/keys/tokens", nil)
	fmt.Println(err)
	// Output: azurekeys: New: refused: the key identifier "https://ci.vault.azure.net/keys/tokens" names no version, and the latest is another one after a rotation
}

func ExampleSigner_Sign() {
	s, client, end := exampleVault("https://ci.vault.azure.net")
	defer end()
	keyID := s.add("https://ci.vault.azure.net", "tokens", "EC", "P-256", "sign").kid()
	remote := must(azurekeys.New(context.Background(), client, keyID, nil))
	digest := sha256.Sum256([]byte("a message"))
	signature := must(remote.Sign(context.Background(), digest[:], crypto.SHA256))
	fmt.Println(ecdsa.VerifyASN1(remote.Public().(*ecdsa.PublicKey), digest[:], signature))
	// Output: true
}

func ExampleSigner_Public() {
	s, client, end := exampleVault("https://ci.vault.azure.net")
	defer end()
	keyID := s.add("https://ci.vault.azure.net", "tokens", "RSA", "2048", "sign").kid()
	remote := must(azurekeys.New(context.Background(), client, keyID, nil))
	fmt.Printf("%T\n", remote.Public())
	// Output: *rsa.PublicKey
}

// A ring whose private keys are made, and stay, in a vault.
func ExampleNewProvisioner() {
	_, client, end := exampleVault("https://ci.vault.azure.net")
	defer end()
	provisioner := must(azurekeys.NewProvisioner(azurekeys.ProvisionerConfig{
		Client: client,
		Keys:   "https://ci.vault.azure.net/keys/ci-tokens",
	}))
	ring := must(keyring.New(context.Background(), keyring.Config{
		Store:       new(keyring.MemoryStore),
		Provisioner: provisioner,
		Algorithms:  []string{"ES256"},
	}))
	defer ring.Close()
	for _, v := range must(provisioner.Versions(context.Background())) {
		fmt.Println(v.Algorithm, v.ID[:strings.LastIndex(v.ID, "/")])
	}
	// Output:
	// ES256 https://ci.vault.azure.net/keys/ci-tokens-es256
	// ES256 https://ci.vault.azure.net/keys/ci-tokens-es256
}

// A ring that signs in memory, and whose document only a Managed HSM opens.
func ExampleNewWrapper() {
	s, client, end := exampleVault("https://ci.managedhsm.azure.net")
	defer end()
	keyID := s.add("https://ci.managedhsm.azure.net", "ring", "oct-HSM", "256", "encrypt", "decrypt").kid()
	wrapper := must(azurekeys.NewWrapper(context.Background(), client, keyID, nil))
	ring := must(keyring.New(context.Background(), keyring.Config{Store: new(keyring.MemoryStore), Wrapper: wrapper}))
	defer ring.Close()
	fmt.Println(s.count("Encrypt"), "call of the HSM for", len(must(ring.Keys(context.Background()))), "keys")
	// Output: 1 call of the HSM for 4 keys
}

func ExampleHTTPClient() {
	client := azurekeys.HTTPClient(nil)
	fmt.Println(client.CheckRedirect(nil, nil) == http.ErrUseLastResponse)
	// Output: true
}
