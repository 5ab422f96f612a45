package gcpkms

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/api/cloudkms/v1"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
)

// Wrapper encrypts a ring's data key with a symmetric key of the service. It is
// a [keyring.Wrapper]. It tells the ring when the key has another primary
// version, so that the ring encrypts the data key again.
type Wrapper struct {
	caller caller
	key    string

	mu sync.Mutex
	// primary is the primary version in the last answer of the service, old a
	// version that was not; "" if unknown.
	primary, old string
}

var _ interface {
	keyring.Wrapper
	Current(wrapped []byte) bool
} = (*Wrapper)(nil)

// NewWrapper returns a Wrapper with a key of purpose ENCRYPT_DECRYPT, given by
// its full name, projects/P/locations/L/keyRings/R/cryptoKeys/K: the service
// encrypts with its primary version, and decrypts with the version that has
// encrypted. It makes no call. The service should come from [NewService]. A nil
// guard means one of the Wrapper's own, with the default limits.
func NewWrapper(service *cloudkms.Service, key string, guard *signer.Guard) (*Wrapper, error) {
	c, err := newCaller(service, guard)
	if err == nil {
		err = checkName(key, cryptoKey)
	}
	if err != nil {
		return nil, refused("NewWrapper", err)
	}
	return &Wrapper{caller: c, key: key}, nil
}

// Format prints the key's name, with every verb.
func (w *Wrapper) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "gcpkms.Wrapper(%s)", w.key) }

// Wrap encrypts plaintext, and authenticates bound as the service's additional
// authenticated data. The result begins with the name of the version in clear,
// followed by the ciphertext. Every error is a *[signer.Error], or the error of
// ctx.
func (w *Wrapper) Wrap(ctx context.Context, plaintext, bound []byte) ([]byte, error) {
	const op = "Encrypt"
	request := &cloudkms.EncryptRequest{
		Plaintext: base64.StdEncoding.EncodeToString(plaintext), PlaintextCrc32c: checksum(plaintext),
		AdditionalAuthenticatedData:       base64.StdEncoding.EncodeToString(bound),
		AdditionalAuthenticatedDataCrc32c: checksum(bound),
		ForceSendFields:                   []string{"Plaintext", "PlaintextCrc32c", "AdditionalAuthenticatedDataCrc32c"},
	}
	got, err := call(ctx, w.caller.forKey(), op, func(ctx context.Context) (*cloudkms.EncryptResponse, error) {
		return w.caller.keys().Encrypt(w.key, request).Context(ctx).Do()
	})
	if err != nil {
		return nil, err
	}
	if !isNamed(got.Name, keyVersion) || keyOf(got.Name) != w.key {
		return nil, malformed(op, "it is of %s, no version of %s", shown(got.Name, keyVersion), w.key)
	}
	if !got.VerifiedPlaintextCrc32c || !got.VerifiedAdditionalAuthenticatedDataCrc32c {
		return nil, malformed(op, "the service has not verified the checksums of the request")
	}
	ciphertext, err := decode(got.Ciphertext, got.CiphertextCrc32c)
	if err != nil {
		return nil, malformed(op, "the ciphertext %w", err)
	}
	if len(ciphertext) <= len(plaintext) {
		return nil, malformed(op, "the ciphertext has %d bytes for a plaintext of %d", len(ciphertext), len(plaintext))
	}
	w.record(got.Name, true)
	return append([]byte(got.Name+separator), ciphertext...), nil
}

// Unwrap undoes Wrap. A ciphertext that was made with another key or another
// bound, or was changed, is Refused. Every error is a *[signer.Error], or the
// error of ctx.
func (w *Wrapper) Unwrap(ctx context.Context, wrapped, bound []byte) ([]byte, error) {
	const op = "Decrypt"
	version, ciphertext, err := w.split(wrapped)
	if err != nil {
		return nil, refused(op, err)
	}
	request := &cloudkms.DecryptRequest{
		Ciphertext: base64.StdEncoding.EncodeToString(ciphertext), CiphertextCrc32c: checksum(ciphertext),
		AdditionalAuthenticatedData:       base64.StdEncoding.EncodeToString(bound),
		AdditionalAuthenticatedDataCrc32c: checksum(bound),
		ForceSendFields:                   []string{"Ciphertext", "CiphertextCrc32c", "AdditionalAuthenticatedDataCrc32c"},
	}
	got, err := call(ctx, w.caller.forKey(), op, func(ctx context.Context) (*cloudkms.DecryptResponse, error) {
		return w.caller.keys().Decrypt(w.key, request).Context(ctx).Do()
	})
	if err != nil {
		return nil, fmt.Errorf("the key %.200s wrapped it: %w", version, err)
	}
	plaintext, err := decode(got.Plaintext, got.PlaintextCrc32c)
	if err != nil {
		return nil, malformed(op, "the plaintext %w", err)
	}
	w.record(version, got.UsedPrimary)
	return plaintext, nil
}

// Current reports whether wrapped was made with the key's primary version, as
// of the last Wrap or Unwrap of this process. So a replica notices a new
// primary when it starts. Current makes no call.
func (w *Wrapper) Current(wrapped []byte) bool {
	version, _, err := w.split(wrapped)
	w.mu.Lock()
	defer w.mu.Unlock()
	return err == nil && version != w.old && (w.primary == "" || version == w.primary)
}

// record stores the version that the service used, for Current.
func (w *Wrapper) record(version string, isPrimary bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if isPrimary {
		w.primary = version
	} else {
		w.old = version
	}
	if w.primary == w.old { // it was the other before
		if isPrimary {
			w.old = ""
		} else {
			w.primary = ""
		}
	}
}

// separator ends the version's name in what Wrap returns.
const separator = "\n"

// split splits the result of Wrap. The version's name is not authenticated: it
// tells which key is missing, and when to encrypt again.
func (w *Wrapper) split(wrapped []byte) (version string, ciphertext []byte, err error) {
	name, ciphertext, ok := bytes.Cut(wrapped, []byte(separator))
	switch version = string(name); {
	case !ok || !isNamed(version, keyVersion):
		return "", nil, errors.New("a gcpkms.Wrapper did not make it, since it names no version of a key: use the Wrapper that did, or restore the stored document from a backup")
	case keyOf(version) != w.key:
		return "", nil, fmt.Errorf("the key %.200s wrapped it, and this Wrapper has %s: give NewWrapper the key that wrapped it, or correct the ring's Store", version, w.key)
	}
	return version, ciphertext, nil
}
