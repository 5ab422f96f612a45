package gcpkms_test

import (
	"crypto"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/oidctoken/oidctoken/internal/kmstest"
)

// A request that meets an idle connection which the service has closed is sent once
// more.
func TestIdleConnectionClosed(t *testing.T) {
	s := newStandin()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	transport := kmstest.NewBreakingTransport(t, &http.Transport{})
	version := s.add("k", "EC_SIGN_P256_SHA256").name
	signing := newSigner(t, connect(t, server.URL, transport), version, nil)
	for i := range 6 {
		if i%2 == 0 && transport.BreakAll() == 0 {
			t.Fatal("no idle connection")
		}
		if i%2 == 1 {
			transport.CloseNext()
		}
		if _, err := signing.Sign(t.Context(), digest(crypto.SHA256, "m"), crypto.SHA256); err != nil {
			t.Error(err)
		}
	}
}
