package awskms_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/awskms"
)

// canned answers without a network.
type canned struct {
	status int
	body   []byte
	public []byte // the answer to GetPublicKey; nil: body
	asked  string // the key of the last request
}

func (c *canned) Do(r *http.Request) (*http.Response, error) {
	var in struct{ KeyId string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	c.asked = in.KeyId
	status, body := c.status, c.body
	if c.public != nil && r.Header.Get("X-Amz-Target") == "TrentService.GetPublicKey" {
		status, body = http.StatusOK, c.public
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, nil
}

func (c *canned) client() *kms.Client {
	return kms.New(kms.Options{
		Region: region, HTTPClient: c,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return credentials, nil }),
	})
}

// T07: every answer of KMS leads to the expected result or to an error of a
// kind. Neither this package nor the SDK panics.
func FuzzAnswer(f *testing.F) {
	s := newStandin(f)
	k := s.signingKey("ECC_NIST_P256")
	arn := s.symmetricKey().arn
	out, _ := k.publicKey()
	public := must(json.Marshal(out))
	f.Add(200, public)
	f.Add(200, []byte(`{"KeyId":"`+k.arn+`","Signature":"MAYCAQECAQE=","SigningAlgorithm":"ECDSA_SHA_256"}`))
	f.Add(200, []byte(`{"KeyId":"`+arn+`","Plaintext":"AAAA","CiphertextBlob":"AAAA"}`))
	f.Add(200, []byte(`{"KeyMetadata":{"Arn":"`+arn+`","CreationDate":1e999,"MultiRegionConfiguration":{"ReplicaKeys":[null]}}}`))
	f.Add(200, []byte(`{"Keys":[null,{"KeyArn":"`+arn+`"}],"Truncated":"yes"}`))
	f.Add(400, []byte(`{"__type":"DisabledException","message":null}`))
	f.Add(500, []byte(`[[[[`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		check := func(op string, err error, ok bool) {
			var e *signer.Error
			if err == nil && !ok || err != nil && (!errors.As(err, &e) || e.Kind == 0) {
				t.Errorf("%s: %v of type %T", op, err, err)
			}
		}
		client := (&canned{status: status, body: body}).client()
		opened, err := awskms.New(t.Context(), client, k.arn, nil)
		check("New", err, opened != nil && opened.Public() != nil)
		wrapper := must(awskms.NewWrapper(client, arn, nil))
		wrapped, err := wrapper.Wrap(t.Context(), []byte("the data key"), nil)
		check("Wrap", err, bytes.HasPrefix(wrapped, []byte(arn+"\n")))
		plaintext, err := wrapper.Unwrap(t.Context(), []byte(arn+"\nciphertext"), body)
		check("Unwrap", err, len(plaintext) > 0)
		_, err = must(awskms.NewProvisioner(client, awskms.ProvisionerConfig{Ring: "ci"})).Versions(t.Context())
		check("Versions", err, true)

		signing := must(awskms.New(t.Context(), (&canned{status: status, body: body, public: public}).client(), k.arn, nil))
		sig, err := signing.Sign(t.Context(), make([]byte, 32), crypto.SHA256)
		check("Sign", err, len(sig) >= 8 && len(sig) <= 73)
	})
}

// A stored value reaches KMS only if it begins with the ARN of one of the
// Wrapper's keys, and with that ARN as the key.
func FuzzUnwrap(f *testing.F) {
	const arn, other = "arn:aws:kms:eu-west-1:111122223333:key/one", "arn:aws:kms:eu-west-1:111122223333:key/other"
	f.Add([]byte(arn + "\nciphertext"))
	f.Add([]byte(other + "\nciphertext"))
	f.Add([]byte(arn + "other\nciphertext"))
	f.Add([]byte(arn))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, wrapped []byte) {
		c := &canned{status: http.StatusBadRequest, body: []byte(`{"__type":"InvalidCiphertextException"}`)}
		wrapper := must(awskms.NewWrapper(c.client(), arn, nil, other))
		_, err := wrapper.Unwrap(t.Context(), wrapped, []byte("ring"))
		wantError(t, err, "Decrypt", signer.Refused, map[bool]string{true: "InvalidCiphertextException"}[c.asked != ""])
		name, ciphertext, _ := bytes.Cut(wrapped, []byte("\n"))
		switch {
		case c.asked == "" && len(ciphertext) > 0 && len(ciphertext) <= 6144 && (string(name) == arn || string(name) == other):
			t.Error("KMS was not asked")
		case c.asked != "" && c.asked != string(name):
			t.Errorf("KMS was asked for %s", c.asked)
		}
		if current := wrapper.(interface{ Current([]byte) bool }).Current(wrapped); current != bytes.HasPrefix(wrapped, []byte(arn+"\n")) {
			t.Errorf("Current = %v", current)
		}
	})
}
