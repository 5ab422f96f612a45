package awskms_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go/logging"
	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/awskms"
)

// T06 T07
func TestSigner(t *testing.T) {
	for _, tt := range []struct {
		spec       string
		algorithms []string
	}{
		{"RSA_2048", []string{"RS256", "RS384", "RS512"}},
		{"RSA_3072", []string{"RS256"}},
		{"ECC_NIST_P256", []string{"ES256"}},
		{"ECC_NIST_P384", []string{"ES384"}},
		{"ECC_NIST_P521", []string{"ES512"}},
		{"ECC_NIST_EDWARDS25519", []string{"EdDSA"}},
	} {
		t.Run(tt.spec, func(t *testing.T) {
			s := newStandin(t)
			k := s.signingKey(tt.spec)
			client := s.client(t)
			oidctokentest.TestSigner(t, func(t *testing.T) oidctoken.Signer {
				return must(awskms.New(t.Context(), client, k.arn, nil))
			}, tt.algorithms...)
		})
	}
}

// After New, the Signer uses the ARN, even if it was given an ID.
func TestNewResolves(t *testing.T) {
	s := newStandin(t)
	s.signingKey("ECC_NIST_P256")
	k := s.signingKey("ECC_NIST_P256")
	var asked []string
	s.answer = func(_ string, _ http.ResponseWriter, r *http.Request) bool {
		var in struct{ KeyId string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		asked = append(asked, in.KeyId)
		return false
	}
	signer := must(awskms.New(t.Context(), s.client(t), k.id, nil))
	digest := sha256.Sum256([]byte("message"))
	if _, err := signer.Sign(t.Context(), digest[:], crypto.SHA256); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{k.id, k.arn}, asked); diff != "" {
		t.Errorf("keys that KMS was asked for (-want +got):\n%s", diff)
	}
}

func TestNewRefusesID(t *testing.T) {
	s := newStandin(t)
	client := s.client(t)
	const form = "is neither the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID, nor its ID"
	const alias = "is an alias, which can be moved to another key: the ARN of the key is needed"
	for _, tt := range []struct {
		name   string
		client *kms.Client
		keyID  string
		want   oidctoken.ConfigError
	}{
		{"no client", nil, "x", oidctoken.ConfigError{Package: "awskms", Field: "client", Reason: "is required"}},
		{"a client that logs", s.client(t, func(o *kms.Options) { o.ClientLogMode = aws.LogSigning }), "x",
			oidctoken.ConfigError{Package: "awskms", Field: "client", Reason: "logs the signed request with session tokens: leave LogSigning out of its ClientLogMode"}},
		{"empty", client, "", oidctoken.ConfigError{Package: "awskms", Field: "keyID", Reason: "is required"}},
		{"alias", client, "alias/ci", oidctoken.ConfigError{Package: "awskms", Field: "keyID", Reason: alias}},
		{"alias of AWS", client, "alias/aws/s3", oidctoken.ConfigError{Package: "awskms", Field: "keyID", Reason: alias}},
		{"ARN of an alias", client, "arn:aws:kms:eu-west-1:111122223333:alias/ci", oidctoken.ConfigError{Package: "awskms", Field: "keyID", Reason: alias}},
		{"another service", client, "arn:aws:s3:eu-west-1:111122223333:key/x", oidctoken.ConfigError{Package: "awskms", Field: "keyID", Reason: form}},
		{"no Region", client, "arn:aws:kms::111122223333:key/x", oidctoken.ConfigError{Package: "awskms", Field: "keyID", Reason: form}},
		{"no ID", client, "arn:aws:kms:eu-west-1:111122223333:key/", oidctoken.ConfigError{Package: "awskms", Field: "keyID", Reason: form}},
		{"a part more", client, "arn:aws:kms:eu-west-1:111122223333:key/x:1", oidctoken.ConfigError{Package: "awskms", Field: "keyID", Reason: form}},
		{"a path", client, "key/x", oidctoken.ConfigError{Package: "awskms", Field: "keyID", Reason: form}},
		{"white space", client, " x", oidctoken.ConfigError{Package: "awskms", Field: "keyID", Reason: form}},
		{"long", client, strings.Repeat("x", 2049), oidctoken.ConfigError{Package: "awskms", Field: "keyID", Reason: form}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := awskms.New(t.Context(), tt.client, tt.keyID, nil)
			var got *oidctoken.ConfigError
			if !errors.As(err, &got) {
				t.Fatalf("New: %v, want a *ConfigError", err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("New (-want +got):\n%s", diff)
			}
		})
	}
	if n := s.count("GetPublicKey"); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

// T08: a key that cannot sign tokens is refused, and an answer about another
// key.
func TestNewRefusesKey(t *testing.T) {
	other := newStandin(t).signingKey("RSA_2048")
	for _, tt := range []struct {
		name   string
		change func(out map[string]any)
		want   signer.Kind
		text   string
	}{
		{"for encryption", func(out map[string]any) { out["KeyUsage"] = "ENCRYPT_DECRYPT" }, signer.Refused, `is for "ENCRYPT_DECRYPT"`},
		{"for nothing", func(out map[string]any) { delete(out, "KeyUsage") }, signer.Refused, `is for ""`},
		{"secp256k1", func(out map[string]any) { out["KeySpec"] = "ECC_SECG_P256K1" }, signer.Refused, `of spec "ECC_SECG_P256K1"`},
		{"post-quantum", func(out map[string]any) { out["KeySpec"] = "ML_DSA_65" }, signer.Refused, `of spec "ML_DSA_65"`},
		{"another spec", func(out map[string]any) { out["KeySpec"] = "ECC_NIST_P384" }, signer.Malformed, "is said to be ECC_NIST_P384 and is ECC_NIST_P256"},
		{"another key pair", func(out map[string]any) { out["PublicKey"] = must(other.publicKey2()) }, signer.Malformed, "is said to be ECC_NIST_P256 and is RSA_2048"},
		{"no key pair", func(out map[string]any) { delete(out, "PublicKey") }, signer.Malformed, "public key"},
		{"no DER", func(out map[string]any) { out["PublicKey"] = []byte("0123456789") }, signer.Malformed, "public key"},
		{"another key's ARN", func(out map[string]any) { out["KeyId"] = "arn:aws:kms:eu-west-1:111122223333:key/other" }, signer.Malformed, "key/other"},
		{"no ARN", func(out map[string]any) { delete(out, "KeyId") }, signer.Malformed, "of another key"},
		{"an ID", func(out map[string]any) { out["KeyId"] = "00000001-12ab-34cd-56ef-1234567890ab" }, signer.Malformed, "of another key"},
		{"an invalid key ID", func(out map[string]any) { out["KeyId"] = strings.Repeat("a\n", 4096) }, signer.Malformed, "of another key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStandin(t)
			s.change = func(_ string, out map[string]any) { tt.change(out) }
			_, err := awskms.New(t.Context(), s.client(t), s.signingKey("ECC_NIST_P256").arn, nil)
			wantError(t, err, "GetPublicKey", tt.want, "")
			if !strings.Contains(fmt.Sprint(err), tt.text) || strings.Contains(fmt.Sprint(err), "\n") || len(fmt.Sprint(err)) > 1024 {
				t.Errorf("error %q, want %q in it, and one line", err, tt.text)
			}
		})
	}
}

// wantError checks the type, and the fields that callers branch on.
func wantError(t *testing.T, err error, op string, kind signer.Kind, code string) {
	t.Helper()
	var got *signer.Error
	if !errors.As(err, &got) {
		t.Fatalf("error %v of type %T, want a *signer.Error", err, err)
	}
	type fields struct {
		Service, Op, Kind, Code string
	}
	want := fields{"awskms", op, kind.String(), code}
	if diff := cmp.Diff(want, fields{got.Service, got.Op, got.Kind.String(), got.Code}); diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}

// Messages that KMS would have to hash itself, and cannot.
func TestSignRaw(t *testing.T) {
	s := newStandin(t)
	signing := must(awskms.New(t.Context(), s.client(t), s.signingKey("ECC_NIST_EDWARDS25519").arn, nil))
	if _, err := signing.Sign(t.Context(), make([]byte, 4096), crypto.Hash(0)); err != nil {
		t.Errorf("4096 bytes: %v", err)
	}
	_, err := signing.Sign(t.Context(), make([]byte, 4097), crypto.Hash(0))
	wantError(t, err, "Sign", signer.Refused, "")
	if n := s.count("Sign"); n != 1 {
		t.Errorf("%d requests were made, want 1", n)
	}
}

// A digest of a wrong length is refused without a request.
func TestSignRefusesDigest(t *testing.T) {
	s := newStandin(t)
	signing := must(awskms.New(t.Context(), s.client(t), s.signingKey("ECC_NIST_P256").arn, nil))
	for name, tt := range map[string]struct {
		digest []byte
		opts   crypto.SignerOpts
	}{
		"short":        {make([]byte, 31), crypto.SHA256},
		"long":         {make([]byte, 33), crypto.SHA256},
		"empty":        {nil, crypto.SHA256},
		"another hash": {make([]byte, 64), crypto.SHA512},
		"no hash":      {make([]byte, 32), crypto.Hash(0)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := signing.Sign(t.Context(), tt.digest, tt.opts)
			wantError(t, err, "Sign", signer.Refused, "")
		})
	}
	if n := s.count("Sign"); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

// X07: a deadline is reported as Unavailable. TestSignerFaults tests that Sign
// returns at once.
func TestSignDeadline(t *testing.T) {
	s := newStandin(t)
	signing := must(awskms.New(t.Context(), s.client(t), s.signingKey("ECC_NIST_P256").arn, nil))
	release := make(chan struct{})
	defer close(release)
	s.answer = func(string, http.ResponseWriter, *http.Request) bool { <-release; return true }
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := signing.Sign(ctx, make([]byte, 32), crypto.SHA256)
	wantError(t, err, "Sign", signer.Unavailable, "")
}

// The Guard's own timeout ends a call whose caller has all the time there is.
func TestGuardTimeout(t *testing.T) {
	s := newStandin(t)
	release := make(chan struct{})
	defer close(release)
	s.answer = func(string, http.ResponseWriter, *http.Request) bool { <-release; return true }
	guard := signer.NewGuard(signer.Limits{Timeout: 50 * time.Millisecond})
	_, err := awskms.New(t.Context(), s.client(t), s.signingKey("ECC_NIST_P256").arn, guard)
	wantError(t, err, "GetPublicKey", signer.Unavailable, "")
}

// D08
func TestNothingIsPrinted(t *testing.T) {
	s := newStandin(t)
	k := s.signingKey("ECC_NIST_P256")
	var logged bytes.Buffer
	client := s.client(t, func(o *kms.Options) {
		o.ClientLogMode = aws.LogRequestWithBody | aws.LogResponseWithBody | aws.LogRetries
		o.Logger = logging.NewStandardLogger(&logged)
	})
	signing := must(awskms.New(t.Context(), client, k.arn, nil))
	digest := sha256.Sum256([]byte("message"))
	if _, err := signing.Sign(t.Context(), digest[:], crypto.SHA256); err != nil {
		t.Fatal(err)
	}
	wrapper := must(awskms.NewWrapper(client, s.symmetricKey().arn, nil))
	if _, err := wrapper.Wrap(t.Context(), []byte("the data key"), nil); err != nil {
		t.Fatal(err)
	}
	if logged.Len() != 0 {
		t.Errorf("the SDK logged %q", logged.String())
	}
	provisioner := must(awskms.NewProvisioner(client, awskms.ProvisionerConfig{Ring: "ci"}))
	for want, value := range map[string]any{
		"awskms.Signer(" + k.arn + ")": signing,
		"awskms.Provisioner(ci)":       provisioner,
		`awskms.Wrapper["arn:aws:kms:eu-west-1:111122223333:key/00000002-12ab-34cd-56ef-1234567890ab"]`: wrapper,
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			if got := fmt.Sprintf(verb, value); got != want {
				t.Errorf("%s shows %s, want %s", verb, got, want)
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", value)
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", value)
		for _, secret := range []string{credentials.SecretAccessKey, credentials.SessionToken, credentials.AccessKeyID} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("slog shows %s", log.String())
			}
		}
	}
}

// publicKey2 returns the key's SubjectPublicKeyInfo alone.
func (k *key) publicKey2() ([]byte, error) {
	out, refused := k.publicKey()
	if refused != nil {
		return nil, errors.New(refused.code)
	}
	return out["PublicKey"].([]byte), nil
}
