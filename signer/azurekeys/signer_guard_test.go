package azurekeys_test

import (
	"crypto"
	"testing"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/azurekeys"
)

// A host without the right to sign calls the service three times and not for
// every token. Other keys of the same quota are not affected.
func TestSignIsDenied(t *testing.T) {
	s, guard := start(t), signer.NewGuard(signer.Limits{})
	client := s.client(vaultURL, s)
	one := must(azurekeys.New(t.Context(), client, s.add(vaultURL, "one", "EC", "P-256", "sign").kid(), guard))
	two := must(azurekeys.New(t.Context(), client, s.add(vaultURL, "two", "EC", "P-256", "sign").kid(), guard))
	s.fault = failing(403, "Forbidden", "ForbiddenByRbac")
	for range 20 {
		if _, err := one.Sign(t.Context(), make([]byte, 32), crypto.SHA256); parts(t, err).Code != "ForbiddenByRbac" {
			t.Errorf("Sign: %v", err)
		}
	}
	if n := s.count("Sign"); n != 3 {
		t.Errorf("%d calls for 20 tokens, want 3", n)
	}
	s.fault = nil
	if _, err := two.Sign(t.Context(), make([]byte, 32), crypto.SHA256); err != nil {
		t.Errorf("another key: %v", err)
	}
}

// A throttled answer of the vault slows the host down.
func TestSignIsThrottled(t *testing.T) {
	s := start(t)
	remote := must(azurekeys.New(t.Context(), s.client(vaultURL, s), s.add(vaultURL, "one", "EC", "P-256", "sign").kid(), nil))
	s.fault = failing(429, "Throttled", "")
	_, err := remote.Sign(t.Context(), make([]byte, 32), crypto.SHA256)
	if e := parts(t, err); !e.Throttled() {
		t.Errorf("Sign: %v, want an error that is Throttled", err)
	}
}
