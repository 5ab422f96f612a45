package awskms_test

import (
	"crypto"
	"net/http"
	"testing"

	"github.com/oidctoken/oidctoken/internal/kmstest"
	"github.com/oidctoken/oidctoken/signer/awskms"
)

// A request that meets an idle connection which KMS has closed is sent once more.
func TestIdleConnectionClosed(t *testing.T) {
	s := newStandin(t)
	transport := kmstest.NewBreakingTransport(t, &http.Transport{})
	signing := must(awskms.New(t.Context(), s.connect(transport), s.signingKey("ECC_NIST_P256").arn, nil))
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
	if n := s.count("Sign"); n != 6 {
		t.Errorf("KMS made %d signatures, want 6", n)
	}
}
