package gcpkms_test

import (
	"crypto"
	"errors"
	"net/http"
	"testing"

	"github.com/oidctoken/oidctoken/signer"
)

// A host without the right to sign calls the service three times and not for
// every token. Other keys of the same quota are not affected.
func TestSignIsDenied(t *testing.T) {
	s := newStandin()
	service, guard := serve(t, s), signer.NewGuard(signer.Limits{})
	one := newSigner(t, service, s.add("one", "EC_SIGN_P256_SHA256").name, guard)
	two := newSigner(t, service, s.add("two", "EC_SIGN_P256_SHA256").name, guard)
	s.set(func() {
		s.fault = func(_ string, w http.ResponseWriter, r *http.Request) bool {
			faulty(403, "PERMISSION_DENIED", "")(w, r)
			return true
		}
	})
	for range 20 {
		if _, err := one.Sign(t.Context(), digest(crypto.SHA256, "m"), crypto.SHA256); failureOf(err).Code != "PERMISSION_DENIED" {
			t.Errorf("Sign: %v", err)
		}
	}
	if n := s.count("AsymmetricSign"); n != 3 {
		t.Errorf("%d calls for 20 tokens, want 3", n)
	}
	s.set(func() { s.fault = nil })
	if _, err := two.Sign(t.Context(), digest(crypto.SHA256, "m"), crypto.SHA256); err != nil {
		t.Errorf("another key: %v", err)
	}
}

// A throttled answer of the service, or of a proxy, slows the host down.
func TestSignIsThrottled(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"the service": faulty(429, "RESOURCE_EXHAUSTED", ""), "a proxy": says(429, "slow down"),
	} {
		s := newStandin()
		kms := newSigner(t, serve(t, s), s.add("one", "EC_SIGN_P256_SHA256").name, nil)
		s.set(func() {
			s.fault = func(_ string, w http.ResponseWriter, r *http.Request) bool { answer(w, r); return true }
		})
		_, err := kms.Sign(t.Context(), digest(crypto.SHA256, "m"), crypto.SHA256)
		var e *signer.Error
		if !errors.As(err, &e) || !e.Throttled() {
			t.Errorf("%s: %v, want an error that is Throttled", name, err)
		}
	}
}
