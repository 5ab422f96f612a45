package keyring

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Wrapper encrypts a ring's data key, which encrypts its private keys and
// proves that the stored document was written by one of the ring's replicas.
// It is safe for concurrent use. A process asks it once, and again when the
// data key changes: not per token, and not per key.
//
// A Wrapper that also has the method
//
//	Current(wrapped []byte) bool
//
// has the data key replaced, and every private key encrypted anew, when that
// says that wrapped was not made with the wrapping key in use.
type Wrapper interface {
	// Wrap encrypts and authenticates plaintext, a data key of 32 bytes, and
	// authenticates context with it. It keeps neither.
	Wrap(ctx context.Context, plaintext, context []byte) ([]byte, error)
	// Unwrap undoes Wrap. It fails if wrapped or context is another.
	Unwrap(ctx context.Context, wrapped, context []byte) ([]byte, error)
}

// currentWrapper is the optional ability of a Wrapper.
type currentWrapper interface {
	Current(wrapped []byte) bool
}

const wrappingKeySize = 32

// WrappingKey is an AES-256 key. It cannot be printed.
type WrappingKey struct {
	id   [8]byte
	aead func() cipher.AEAD // in a func, so that no print verb reaches it
}

// ParseWrappingKey reads a key of 32 random bytes in base64, with or without
// padding, in either alphabet, as from an environment variable:
//
//	openssl rand -base64 32
//
// White space around it is ignored. A key of zeros is refused.
func ParseWrappingKey(text string) (WrappingKey, error) {
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(strings.TrimSpace(text), "="))
	key, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil || len(key) != wrappingKeySize { // the error would show a character of the key
		return WrappingKey{}, errors.New("keyring: wrapping key: it is not 32 bytes in base64")
	}
	if bytes.Equal(key, make([]byte, wrappingKeySize)) {
		return WrappingKey{}, errors.New("keyring: wrapping key: all of its bytes are zero: make one with openssl rand -base64 32")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return WrappingKey{}, fmt.Errorf("keyring: wrapping key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return WrappingKey{}, fmt.Errorf("keyring: wrapping key: %w", err)
	}
	sum := sha256.Sum256(append([]byte("oidctoken wrapping key\x00"), key...))
	return WrappingKey{[8]byte(sum[:8]), func() cipher.AEAD { return aead }}, nil
}

// ReadWrappingKey reads a key, in the form that ParseWrappingKey takes, from a
// file. It refuses a file that others can open: the file must belong to the user
// who runs the process and have mode 0600 or less, or belong to root and have
// mode 0640 or less. path may be a symbolic link. On Windows, access is not
// checked.
func ReadWrappingKey(path string) (WrappingKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return WrappingKey{}, fmt.Errorf("keyring: wrapping key: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return WrappingKey{}, fmt.Errorf("keyring: wrapping key: %w", err)
	}
	if reason := exposure(fi); reason != "" {
		return WrappingKey{}, fmt.Errorf("keyring: wrapping key: %s %s", path, reason)
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return WrappingKey{}, fmt.Errorf("keyring: wrapping key: %w", err)
	}
	key, err := ParseWrappingKey(string(text))
	if err != nil {
		return WrappingKey{}, fmt.Errorf("%w (%s)", err, path)
	}
	return key, nil
}

// Format prints a part of a hash that identifies the key and reveals nothing of
// it.
func (k WrappingKey) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "keyring.WrappingKey(%x)", k.id) }

// localWrapper encrypts with AES-256-GCM under keys of the process.
type localWrapper struct{ keys []WrappingKey }

// NewWrapper returns a Wrapper that encrypts under current with AES-256-GCM
// and decrypts what that or one of the old keys has encrypted.
//
// To change the key, first give the new one to all replicas as an old one,
// then make it the current one and keep the other as old; drop that when every
// replica has reported no [Rewrapped] since. A zero WrappingKey is refused.
func NewWrapper(current WrappingKey, old ...WrappingKey) (Wrapper, error) {
	keys := append([]WrappingKey{current}, old...)
	for i, k := range keys {
		if k.aead == nil {
			return nil, fmt.Errorf("keyring: wrapper: key %d is the zero WrappingKey", i)
		}
	}
	return &localWrapper{keys}, nil
}

func (w *localWrapper) Wrap(_ context.Context, plaintext, context []byte) ([]byte, error) {
	k := w.keys[0]
	return k.aead().Seal(k.id[:], nil, plaintext, context), nil
}

func (w *localWrapper) Unwrap(_ context.Context, wrapped, context []byte) ([]byte, error) {
	for _, k := range w.keys {
		if sealed, ok := bytes.CutPrefix(wrapped, k.id[:]); ok {
			plaintext, err := k.aead().Open(nil, nil, sealed, context)
			if err != nil {
				return nil, fmt.Errorf("the data key that the key %x wrapped was changed, or belongs to another ring: check Config.Store and Config.Name, or restore the stored document from a backup", k.id)
			}
			return plaintext, nil
		}
	}
	if len(wrapped) < len(WrappingKey{}.id) {
		return nil, fmt.Errorf("a Wrapper of NewWrapper did not make these %d bytes: restore the stored document from a backup", len(wrapped))
	}
	return nil, fmt.Errorf("the key %x wrapped it, and this process has %s: give that key to NewWrapper, as an old key if another replaces it", wrapped[:len(WrappingKey{}.id)], w.names())
}

// names lists the keys as Format of WrappingKey shows them.
func (w *localWrapper) names() string {
	names := make([]string, len(w.keys))
	for i, k := range w.keys {
		names[i] = fmt.Sprintf("%x", k.id)
	}
	return strings.Join(names, ", ")
}

func (w *localWrapper) Current(wrapped []byte) bool {
	return bytes.HasPrefix(wrapped, w.keys[0].id[:])
}
