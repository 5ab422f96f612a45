package awskms

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
)

const (
	maxPlaintext  = 4096 // bytes, KMS's limit for Encrypt
	maxCiphertext = 6144 // bytes, KMS's limit for Decrypt

	// contextKey is the name of the ring's context in the encryption context,
	// which CloudTrail shows.
	contextKey = "oidctoken"
)

type wrapper struct {
	client *kms.Client
	guard  *signer.Guard
	keys   []string // ARNs; the first one encrypts
}

// NewWrapper returns a keyring.Wrapper that encrypts under the symmetric KMS key
// of the ARN current, and decrypts what that or one of the old keys has
// encrypted. It makes no request: KMS refuses a key that cannot do that, when
// the ring is opened. It needs the rights kms:Encrypt and kms:Decrypt.
//
// The ring's context is bound to the ciphertext as KMS's encryption context,
// under "oidctoken" and in base64 (RFC 4648, section 4). The result is the ARN,
// a line feed, and KMS's ciphertext. Unwrap decrypts it under the key of that
// ARN only.
//
// KMS's own rotation of a symmetric key keeps the ARN, and earlier ciphertext
// can always be decrypted, so nothing has to be done. To change to another key,
// first give it to all replicas as an old one, then make it the current one and
// keep the other as old: each ring then replaces its data key. Remove the other
// key when no replica reports keyring.Rewrapped any more.
//
// guard protects KMS and the host; nil means a new one with the default limits.
// KMS counts the operations of a Wrapper apart from signatures.
func NewWrapper(client *kms.Client, current string, guard *signer.Guard, old ...string) (keyring.Wrapper, error) {
	if err := checkClient(client); err != nil {
		return nil, err
	}
	keys := append([]string{current}, old...)
	for i, key := range keys {
		if !isKeyARN(key) {
			field := "current"
			if i > 0 {
				field = fmt.Sprintf("old[%d]", i-1)
			}
			return nil, configError(field, "is not the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID")
		}
	}
	if guard == nil {
		guard = signer.NewGuard(signer.Limits{})
	}
	return &wrapper{client, guard, keys}, nil
}

func (w *wrapper) Wrap(ctx context.Context, plaintext, bound []byte) ([]byte, error) {
	const op = "Encrypt"
	if len(plaintext) == 0 || len(plaintext) > maxPlaintext {
		return nil, refused(op, "the plaintext has %d bytes, not 1 to %d", len(plaintext), maxPlaintext)
	}
	arn := w.keys[0]
	out, err := call(ctx, w.guard.ForKey(), op, w.client.Encrypt, &kms.EncryptInput{
		KeyId:             &arn,
		Plaintext:         bytes.Clone(plaintext), // the call may outlive Wrap
		EncryptionContext: encryptionContext(bound),
	}, base64.StdEncoding.EncodeToString(plaintext), string(plaintext))
	switch {
	case err != nil:
		return nil, err
	case aws.ToString(out.KeyId) != arn:
		return nil, ofAnother(op, aws.ToString(out.KeyId), arn)
	case len(out.CiphertextBlob) == 0 || len(out.CiphertextBlob) > maxCiphertext:
		return nil, malformed(op, "the ciphertext has %d bytes, not 1 to %d", len(out.CiphertextBlob), maxCiphertext)
	}
	return append(prefix(arn), out.CiphertextBlob...), nil
}

func (w *wrapper) Unwrap(ctx context.Context, wrapped, bound []byte) ([]byte, error) {
	const op = "Decrypt"
	for _, arn := range w.keys {
		ciphertext, ok := bytes.CutPrefix(wrapped, prefix(arn))
		if !ok {
			continue
		}
		if len(ciphertext) == 0 || len(ciphertext) > maxCiphertext {
			return nil, refused(op, "the ciphertext has %d bytes, not 1 to %d", len(ciphertext), maxCiphertext)
		}
		out, err := call(ctx, w.guard.ForKey(), op, w.client.Decrypt, &kms.DecryptInput{
			KeyId:             &arn,
			CiphertextBlob:    bytes.Clone(ciphertext),
			EncryptionContext: encryptionContext(bound),
		})
		switch {
		case err != nil:
			return nil, fmt.Errorf("the key %s wrapped it: %w", arn, err)
		case aws.ToString(out.KeyId) != arn:
			return nil, ofAnother(op, aws.ToString(out.KeyId), arn)
		case len(out.Plaintext) == 0 || len(out.Plaintext) > maxPlaintext:
			return nil, malformed(op, "the plaintext has %d bytes, not 1 to %d", len(out.Plaintext), maxPlaintext)
		}
		return out.Plaintext, nil
	}
	if arn, _, ok := strings.Cut(string(wrapped), "\n"); ok && isKeyARN(arn) {
		return nil, refused(op, "the key %.256s wrapped it: give that key to NewWrapper, as an old key if another replaces it; this Wrapper has %s", arn, strings.Join(w.keys, ", "))
	}
	return nil, refused(op, "a Wrapper of awskms did not make it: use the Wrapper that did, or restore the stored document from a backup")
}

// Current is the optional ability of a keyring.Wrapper.
func (w *wrapper) Current(wrapped []byte) bool { return bytes.HasPrefix(wrapped, prefix(w.keys[0])) }

// Format names the keys.
func (w *wrapper) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "awskms.Wrapper%q", w.keys) }

// prefix tells with which key something was wrapped. An ARN has no line feed.
func prefix(arn string) []byte { return []byte(arn + "\n") }

func encryptionContext(bound []byte) map[string]string {
	return map[string]string{contextKey: base64.StdEncoding.EncodeToString(bound)}
}
