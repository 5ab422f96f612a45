package azurekeys_test

import (
	"crypto"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/oidctoken/oidctoken/internal/kmstest"
	"github.com/oidctoken/oidctoken/signer/azurekeys"
)

// A request that meets an idle connection which the service has closed is sent once
// more.
func TestIdleConnectionClosed(t *testing.T) {
	s := start(t)
	v := s.add(vaultURL, "tokens", "EC", "P-256", "sign")
	transport := kmstest.NewBreakingTransport(t, s.transport())
	client := must(azkeys.NewClient(vaultURL, s, &azkeys.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: azurekeys.HTTPClient(transport)},
	}))
	signing := must(azurekeys.New(t.Context(), client, v.kid(), patient()))
	for i := range 6 {
		if i%2 == 0 && transport.BreakAll() == 0 {
			t.Fatal("no idle connection")
		}
		if i%2 == 1 {
			transport.CloseNext()
		}
		if _, err := signing.Sign(t.Context(), make([]byte, 32), crypto.SHA256); err != nil {
			t.Error(err)
		}
	}
}
