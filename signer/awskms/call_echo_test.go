package awskms_test

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/awskms"
)

// D08: a service that echoes the request instead of a name puts it into no
// error.
func TestEchoedNames(t *testing.T) {
	secret := []byte("a data key of thirty-two bytes..")
	for _, echo := range []string{string(secret), base64.StdEncoding.EncodeToString(secret), credentials.SessionToken} {
		for _, member := range []string{"KeyId", "SigningAlgorithm"} {
			s := newStandin(t)
			k, symmetric := s.signingKey("ECC_NIST_P256"), s.symmetricKey()
			client := s.client(t)
			signing := must(awskms.New(t.Context(), client, k.arn, nil))
			wrapper := must(awskms.NewWrapper(client, symmetric.arn, nil))
			wrapped := must(wrapper.Wrap(t.Context(), secret, nil))
			s.change = func(_ string, out map[string]any) { out[member] = echo }
			want := func(op string, err error) {
				t.Helper()
				wantError(t, err, op, signer.Malformed, "")
				if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, echo[:12]) {
					t.Errorf("%s shows what it was sent: %s", op, text)
				}
			}
			_, err := signing.Sign(t.Context(), secret, crypto.SHA256)
			want("Sign", err)
			if member != "KeyId" {
				continue
			}
			_, err = wrapper.Wrap(t.Context(), secret, nil)
			want("Encrypt", err)
			_, err = wrapper.Unwrap(t.Context(), bytes.Clone(wrapped), nil)
			want("Decrypt", err)
			_, err = awskms.New(t.Context(), client, k.arn, nil)
			want("GetPublicKey", err)
			s.change = func(_ string, out map[string]any) { out["Keys"] = []map[string]string{{"KeyArn": echo}} }
			_, err = s.provisioner(t).Versions(t.Context())
			want("ListKeys", err)
		}
	}
}
