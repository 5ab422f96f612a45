package vaulttransit_test

import (
	"errors"
	"testing"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/vaulttransit"
)

// A host without the right to sign calls the service three times and not for
// every token. Other keys of the same quota are not affected.
func TestSignIsDenied(t *testing.T) {
	v, guard := startVault(t), signer.NewGuard(signer.Limits{})
	v.addKey("one", "ecdsa-p256")
	v.addKey("two", "ecdsa-p256")
	one := must(vaulttransit.New(t.Context(), v.client(), "one", 1, guard))
	two := must(vaulttransit.New(t.Context(), v.client(), "two", 1, guard))
	v.answerWith("sign/", 403, nil, errorsBody("permission denied"))
	for range 20 {
		_, err := signOnce(t.Context(), one)
		if diff := diffFailure(failure{Op: "sign data", Code: "403", Kind: signer.Refused}, "permission denied", err); diff != "" {
			t.Error(diff)
		}
	}
	if n := v.count("POST", "sign/"); n != 3 {
		t.Errorf("%d calls for 20 tokens, want 3", n)
	}
	v.answer(nil)
	if _, err := signOnce(t.Context(), two); err != nil {
		t.Errorf("another key: %v", err)
	}
}

// A throttled answer of Vault slows the host down.
func TestSignIsThrottled(t *testing.T) {
	v := startVault(t)
	v.addKey("ci", "ecdsa-p256")
	s := newSigner(t, v, "ci", 1)
	v.answerWith("sign/", 429, nil, errorsBody("rate limit quota exceeded"))
	_, err := signOnce(t.Context(), s)
	var e *signer.Error
	if !errors.As(err, &e) || !e.Throttled() {
		t.Errorf("Sign: %v, want an error that is Throttled", err)
	}
}
