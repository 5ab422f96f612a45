package azurekeys

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
)

// NewWrapper returns a Wrapper that encrypts with A256GCM under a version of an
// AES key of 256 bits (kty oct-HSM) of a Managed HSM. keyID is the whole
// identifier of the version,
// https://HSM.managedhsm.azure.net/keys/NAME/VERSION. The Wrapper decrypts the
// ciphertext of every version of that key, and a ring encrypts again the data
// keys of other versions. Give all replicas the new version at once, because
// two replicas with different versions keep rewrapping. The caller needs the
// permissions get, encrypt and decrypt (in local RBAC: Managed HSM Crypto
// User).
//
// An RSA key is refused, and so every key of a Key Vault, which has no AES keys.
// Who knows the public half of an RSA key can wrap a data key of their own: with
// that and the right to write to the store, they could put keys of their own into
// the ring, which the Wrapper is there to prevent. For a Key Vault, use
// [NewProvisioner], with a [keyring.NewWrapper] beside it.
//
// NewWrapper, Wrap and Unwrap fail with an [*signer.Error]. A ciphertext that
// was changed, or belongs to another ring, is Refused. A nil guard means a new
// one with the default limits.
func NewWrapper(ctx context.Context, client *azkeys.Client, keyID string, guard *signer.Guard) (keyring.Wrapper, error) {
	id, err := pinned(keyID)
	if err != nil {
		return nil, misuse("NewWrapper", err)
	}
	if client == nil {
		return nil, misuse("NewWrapper", errors.New("the client is nil"))
	}
	w := &wrapper{newRemote(client, id, guard)}
	key, err := w.get(ctx, azkeys.KeyOperationEncrypt, azkeys.KeyOperationDecrypt)
	if err != nil {
		return nil, err
	}
	switch *key.Kty {
	case azkeys.KeyTypeOctHSM:
		return w, nil
	case azkeys.KeyTypeRSA, azkeys.KeyTypeRSAHSM:
		return nil, misuse("NewWrapper", fmt.Errorf("%s is an RSA key: its ciphertext proves nothing, because every reader of the public key can encrypt; use an oct-HSM key of a Managed HSM", id))
	}
	return nil, misuse("NewWrapper", fmt.Errorf("%s has kty %.20q, not oct-HSM", id, *key.Kty))
}

type wrapper struct{ remote }

func (w *wrapper) Wrap(ctx context.Context, plaintext, aad []byte) ([]byte, error) {
	if len(plaintext) == 0 || len(plaintext) > maxWrapped {
		return nil, misuse("Encrypt", fmt.Errorf("there are %d bytes to wrap, not 1 to %d", len(plaintext), maxWrapped))
	}
	parameters := azkeys.KeyOperationParameters{
		Algorithm:                   to.Ptr(azkeys.EncryptionAlgorithmA256GCM),
		Value:                       bytes.Clone(plaintext), // the call may outlive Wrap
		AdditionalAuthenticatedData: bytes.Clone(aad),
	}
	return call(ctx, w.guard.ForKey(), "Encrypt", func(ctx context.Context) ([]byte, error) {
		// The service chooses the iv, and refuses a given one.
		answer, err := w.client().Encrypt(ctx, w.id.name, w.id.version, parameters, nil)
		if err != nil {
			return nil, err
		}
		if err := w.id.echoed(answer.KID); err != nil {
			return nil, err
		}
		if len(answer.Result) != len(parameters.Value) || len(answer.IV) != ivSize || len(answer.AuthenticationTag) != tagSize {
			return nil, problem(signer.Malformed, "the ciphertext has %d bytes, the iv %d and the tag %d, not %d, %d and %d",
				len(answer.Result), len(answer.IV), len(answer.AuthenticationTag), len(parameters.Value), ivSize, tagSize)
		}
		return sealed{w.id.version, answer.IV, answer.AuthenticationTag, answer.Result}.append(nil), nil
	})
}

func (w *wrapper) Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error) {
	s, err := parseSealed(bytes.Clone(wrapped))
	if err != nil {
		return nil, misuse("Decrypt", err)
	}
	id := w.id
	id.version = s.version
	parameters := azkeys.KeyOperationParameters{
		Algorithm:                   to.Ptr(azkeys.EncryptionAlgorithmA256GCM),
		Value:                       s.ciphertext,
		IV:                          s.iv,
		AuthenticationTag:           s.tag,
		AdditionalAuthenticatedData: bytes.Clone(aad),
	}
	plaintext, err := call(ctx, w.guard.ForKey(), "Decrypt", func(ctx context.Context) ([]byte, error) {
		answer, err := w.client().Decrypt(ctx, id.name, id.version, parameters, nil)
		if err != nil {
			return nil, err
		}
		if err := id.echoed(answer.KID); err != nil {
			return nil, err
		}
		if len(answer.Result) != len(s.ciphertext) {
			return nil, problem(signer.Malformed, "the plaintext has %d bytes, not %d", len(answer.Result), len(s.ciphertext))
		}
		return answer.Result, nil
	})
	if err != nil {
		return nil, fmt.Errorf("the key %s wrapped it: %w", id, err)
	}
	return plaintext, nil
}

// Current reports whether the pinned version made wrapped. A ring calls it
// before it keeps a data key.
func (w *wrapper) Current(wrapped []byte) bool {
	s, err := parseSealed(wrapped)
	return err == nil && s.version == w.id.version
}

// Format shows the identifier of the version that encrypts.
func (w *wrapper) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "azurekeys.Wrapper(%s)", w.id) }

// sealed is the result of Wrap: the byte 1, the version's name, the iv, the tag
// and the ciphertext. The tag does not cover the version's name, but another
// version has another key.
type sealed struct {
	version             string
	iv, tag, ciphertext []byte
}

const (
	sealedFormat = 1
	ivSize       = 12
	tagSize      = 16
	sealedHead   = 1 + versionSize + ivSize + tagSize
	maxWrapped   = 1 << 10
)

func (s sealed) append(b []byte) []byte {
	b = append(b, sealedFormat)
	b = append(b, s.version...)
	b = append(b, s.iv...)
	b = append(b, s.tag...)
	return append(b, s.ciphertext...)
}

var errSealed = errors.New("a Wrapper of azurekeys did not make it: use the Wrapper that did, or restore the stored document from a backup")

func parseSealed(b []byte) (sealed, error) {
	if len(b) <= sealedHead || len(b) > sealedHead+maxWrapped || b[0] != sealedFormat {
		return sealed{}, errSealed
	}
	version, b := string(b[1:1+versionSize]), b[1+versionSize:]
	if !isName(version) {
		return sealed{}, errSealed
	}
	return sealed{version, b[:ivSize], b[ivSize : ivSize+tagSize], b[ivSize+tagSize:]}, nil
}
