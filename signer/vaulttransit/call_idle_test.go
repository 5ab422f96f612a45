package vaulttransit_test

import (
	"net/http"
	"testing"

	"github.com/oidctoken/oidctoken/internal/kmstest"
	"github.com/oidctoken/oidctoken/signer/vaulttransit"
)

// A request that meets an idle connection which Vault has closed is sent once more.
func TestIdleConnectionClosed(t *testing.T) {
	v := startVault(t)
	v.addKey("ci", "ecdsa-p256")
	transport := kmstest.NewBreakingTransport(t, &http.Transport{})
	config := v.config()
	config.Transport = transport
	signing := must(vaulttransit.New(t.Context(), must(vaulttransit.NewClient(config)), "ci", 1, nil))
	for i := range 6 {
		if i%2 == 0 && transport.BreakAll() == 0 {
			t.Fatal("no idle connection")
		}
		if i%2 == 1 {
			transport.CloseNext()
		}
		if _, err := signOnce(t.Context(), signing); err != nil {
			t.Error(err)
		}
	}
}
