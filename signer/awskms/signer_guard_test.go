package awskms_test

import (
	"crypto"
	"errors"
	"testing"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/awskms"
)

// A host without the right to sign calls the service three times and not for
// every token. Other keys of the same quota are not affected.
func TestSignIsDenied(t *testing.T) {
	s, guard := newStandin(t), signer.NewGuard(signer.Limits{})
	one := must(awskms.New(t.Context(), s.client(t), s.signingKey("ECC_NIST_P256").arn, guard))
	two := must(awskms.New(t.Context(), s.client(t), s.signingKey("ECC_NIST_P256").arn, guard))
	s.answer = answers(400, errorBody("AccessDeniedException"))
	for range 20 {
		_, err := one.Sign(t.Context(), make([]byte, 32), crypto.SHA256)
		wantError(t, err, "Sign", signer.Refused, "AccessDeniedException")
	}
	if n := s.count("Sign"); n != 3 {
		t.Errorf("%d calls for 20 tokens, want 3", n)
	}
	s.answer = nil
	if _, err := two.Sign(t.Context(), make([]byte, 32), crypto.SHA256); err != nil {
		t.Errorf("another key: %v", err)
	}
}

// A throttled answer of KMS slows the host down.
func TestSignIsThrottled(t *testing.T) {
	s := newStandin(t)
	signing := must(awskms.New(t.Context(), s.client(t), s.signingKey("ECC_NIST_P256").arn, nil))
	s.answer = answers(400, errorBody("ThrottlingException"))
	_, err := signing.Sign(t.Context(), make([]byte, 32), crypto.SHA256)
	var e *signer.Error
	if !errors.As(err, &e) || !e.Throttled() {
		t.Errorf("Sign: %v, want an error that is Throttled", err)
	}
}
