package pkcs11

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
)

const (
	wrapVersion = 1
	ivSize      = 12
	tagSize     = 16
	maxWrapped  = 4 << 10
)

// wrapper is a keyring.Wrapper. A wrapped key has these parts: the byte 1, the
// length of the key's CKA_ID in a byte, the CKA_ID, the initialization vector,
// and the ciphertext with its tag.
type wrapper struct {
	token *Token
	guard *signer.Guard
	ids   []string // the current one first
}

// NewWrapper returns a Wrapper that encrypts a ring's data key with an AES key
// of the token (CKM_AES_GCM), which authenticates the context with it. id is the
// key's CKA_ID in hexadecimal; there must be one such secret key object. guard is
// as for [New].
//
// The initialization vector is random, and the ciphertext is decrypted as a
// check before it is returned. old are the CKA_IDs of keys for decryption only.
// To change the key, first give the new key to all replicas as an old one, then
// make it the current one. Remove the other key when no replica reports
// [keyring.Rewrapped] any more.
func NewWrapper(token *Token, id string, guard *signer.Guard, old ...string) (keyring.Wrapper, error) {
	if token == nil {
		return nil, errors.New("pkcs11: the Token is nil")
	}
	if guard == nil {
		guard = signer.NewGuard(signer.Limits{})
	}
	w := &wrapper{token: token, guard: guard}
	for _, text := range append([]string{id}, old...) {
		id, err := parseID(text)
		if err != nil {
			return nil, err
		}
		w.ids = append(w.ids, id)
	}
	return w, nil
}

// Format names the token and the current key's CKA_ID.
func (w *wrapper) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "pkcs11.Wrapper(%s %x)", w.token.config.name(), w.ids[0])
}

// Current reports whether wrapped was made with the current key.
func (w *wrapper) Current(wrapped []byte) bool {
	id, _, _, err := cutWrapped(wrapped)
	return err == nil && id == w.ids[0]
}

// Wrap encrypts plaintext.
func (w *wrapper) Wrap(ctx context.Context, plaintext, additional []byte) ([]byte, error) {
	id := w.ids[0]
	if len(plaintext) == 0 || len(plaintext) > maxWrapped-2-maxID-ivSize-tagSize {
		return nil, fmt.Errorf("pkcs11: the plaintext has %d bytes", len(plaintext))
	}
	plaintext, additional = bytes.Clone(plaintext), bytes.Clone(additional) // a call that hangs would keep them
	var wrapped []byte
	err := w.guard.ForKey().Do(ctx, service, "C_Encrypt", func(ctx context.Context) error {
		defer clear(plaintext)
		return w.token.do(ctx, func(c *conn) error {
			key, err := c.wrappingKey(id)
			if err != nil {
				return err
			}
			iv := make([]byte, ivSize)
			rand.Read(iv) // it never fails
			iv, sealed, err := c.session.encrypt(key, iv, plaintext, additional)
			if err != nil {
				return failed("C_Encrypt", err)
			}
			if len(iv) != ivSize || len(sealed) != len(plaintext)+tagSize {
				return problem("C_Encrypt", signer.Malformed, "an initialization vector of %d bytes and a ciphertext of %d, not %d and %d",
					len(iv), len(sealed), ivSize, len(plaintext)+tagSize)
			}
			opened, err := c.session.decrypt(key, iv, sealed, additional)
			if err != nil {
				return failed("C_Decrypt", err)
			}
			defer clear(opened)
			if subtle.ConstantTimeCompare(opened, plaintext) != 1 {
				return problem("C_Encrypt", signer.Malformed, "the token does not decrypt its own ciphertext")
			}
			wrapped = slices.Concat([]byte{wrapVersion, byte(len(id))}, []byte(id), iv, sealed)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return wrapped, nil
}

// Unwrap decrypts what Wrap returned.
func (w *wrapper) Unwrap(ctx context.Context, wrapped, additional []byte) ([]byte, error) {
	id, iv, sealed, err := cutWrapped(bytes.Clone(wrapped))
	if err != nil {
		return nil, problem("C_Decrypt", signer.Refused, "%w", err)
	}
	if !slices.Contains(w.ids, id) {
		return nil, problem("C_Decrypt", signer.Refused, "the key of CKA_ID %x wrapped it: give that key to NewWrapper, as an old key if another replaces it; this Wrapper has %x", id, w.ids)
	}
	additional = bytes.Clone(additional)
	var plaintext []byte
	err = w.guard.ForKey().Do(ctx, service, "C_Decrypt", func(ctx context.Context) error {
		err := w.token.do(ctx, func(c *conn) error {
			key, err := c.wrappingKey(id)
			if err != nil {
				return err
			}
			if plaintext, err = c.session.decrypt(key, iv, sealed, additional); err != nil {
				return failed("C_Decrypt", err)
			}
			return nil
		})
		return unauthentic(err)
	})
	if err != nil {
		return nil, fmt.Errorf("the key of CKA_ID %x wrapped it: %w", id, err)
	}
	if len(plaintext) != len(sealed)-tagSize {
		return nil, problem("C_Decrypt", signer.Malformed, "the plaintext has %d bytes, not %d", len(plaintext), len(sealed)-tagSize)
	}
	return plaintext, nil
}

// unauthentic turns what C_Decrypt returns for a wrong tag into a refusal. Some
// modules have no better word for it than CKR_GENERAL_ERROR; after a new
// session in which the key was found, it means no less.
func unauthentic(err error) error {
	var e *signer.Error
	if errors.As(err, &e) && e.Op == "C_Decrypt" {
		switch e.Err {
		case returned(cryptoki.CKR_GENERAL_ERROR), returned(cryptoki.CKR_FUNCTION_FAILED),
			returned(cryptoki.CKR_ENCRYPTED_DATA_INVALID), returned(cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE):
			refusal := *e
			refusal.Kind = signer.Refused
			refusal.Err = fmt.Errorf("it was changed, or belongs to another ring: %w", e.Err)
			return &refusal
		}
	}
	return err
}

// wrappingKey finds the key each time: data keys are not unwrapped often.
func (c *conn) wrappingKey(id string) (uint, error) {
	template := append(withID(cryptoki.CKO_SECRET_KEY, id), attribute{cryptoki.CKA_KEY_TYPE, uint(cryptoki.CKK_AES)})
	return c.only(fmt.Sprintf("AES key of CKA_ID %x", id), template)
}

// cutWrapped takes apart what Wrap returned. The parts are wrapped's memory.
func cutWrapped(wrapped []byte) (id string, iv, sealed []byte, err error) {
	if len(wrapped) < 2 || len(wrapped) > maxWrapped || wrapped[0] != wrapVersion {
		return "", nil, nil, errors.New("a Wrapper of pkcs11 did not make it: use the Wrapper that did, or restore the stored document from a backup")
	}
	n, rest := int(wrapped[1]), wrapped[2:]
	if n == 0 || len(rest) <= n+ivSize+tagSize {
		return "", nil, nil, errors.New("it is cut off: restore the stored document from a backup")
	}
	return string(rest[:n]), rest[n : n+ivSize], rest[n+ivSize:], nil
}
