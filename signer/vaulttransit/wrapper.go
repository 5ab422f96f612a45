package vaulttransit

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
)

type wrapper struct {
	client *Client
	key    string
	guard  *signer.Guard
	latest atomic.Int64 // version in use, as far as is known
}

// NewWrapper returns a Wrapper that encrypts with a key of type aes256-gcm96,
// aes128-gcm96, chacha20-poly1305 or xchacha20-poly1305, which must not be
// derived. The wrapped key is Vault's "vault:vN:..." text.
//
// It encrypts with the key's latest version and decrypts with the version that
// the text names, so the key may be rotated, by hand or by auto_rotate_period:
// a process that starts afterwards has the ring's data key wrapped anew (the
// Wrapper has the method Current). Do not raise min_decryption_version before
// every replica has been started again.
//
// nil guard means one of the Wrapper's own, with default limits. NewWrapper
// fails with a [*oidctoken.ConfigError], or with a *signer.Error when Vault does not have
// such a key. It asks for the key first since Vault, where it may, makes one on
// encryption that is not there, and then nothing older could be decrypted; so
// give the host the capability "update" on encrypt/KEY, and not "create".
func NewWrapper(ctx context.Context, client *Client, key string, guard *signer.Guard) (keyring.Wrapper, error) {
	if err := checkArguments(client, "key", key); err != nil {
		return nil, err
	}
	if guard == nil {
		guard = signer.NewGuard(signer.Limits{})
	}
	k, err := client.readKey(ctx, guard, key)
	if err != nil {
		return nil, err
	}
	r := readRequest(key)
	switch k.Type {
	case "aes256-gcm96", "aes128-gcm96", "chacha20-poly1305", "xchacha20-poly1305":
	default: // every caller can encrypt with an RSA key, so the ciphertext would prove nothing
		return nil, r.fail(signer.Refused, "", fmt.Sprintf("a key of type %s does not authenticate its ciphertext", tokenhttp.Printable(k.Type, 40)))
	}
	if k.Derived {
		return nil, r.fail(signer.Refused, "", "the key is derived")
	}
	w := &wrapper{client: client, key: key, guard: guard}
	w.latest.Store(int64(k.LatestVersion))
	return w, nil
}

// cipherInput is the body of "encrypt data" and "decrypt data".
type cipherInput struct {
	Plaintext      string `json:"plaintext,omitempty"`
	Ciphertext     string `json:"ciphertext,omitempty"`
	AssociatedData string `json:"associated_data,omitempty"`
}

// sealed returns the plaintext for Vault. It includes its context, because
// Vault before 1.13 silently ignores associated_data.
func sealed(plaintext, context []byte) []byte {
	sum := sha256.Sum256(context)
	return append(sum[:], plaintext...)
}

func (w *wrapper) Wrap(ctx context.Context, plaintext, context []byte) ([]byte, error) {
	in := cipherInput{
		Plaintext:      base64.StdEncoding.EncodeToString(sealed(plaintext, context)),
		AssociatedData: base64.StdEncoding.EncodeToString(context),
	}
	r := request{op: "encrypt data", method: http.MethodPost, path: "encrypt/" + w.key, body: in, secret: in.Plaintext}
	var answer struct {
		Ciphertext string `json:"ciphertext"`
	}
	if err := w.client.do(ctx, w.guard.ForKey(), r, &answer); err != nil {
		return nil, err
	}
	version, _, err := parseVersioned(answer.Ciphertext)
	if err != nil {
		return nil, r.malformed("ciphertext: " + err.Error())
	}
	// The new ciphertext is current, even if the node that made it lags behind:
	// otherwise the ring would rewrap forever.
	w.latest.Store(int64(version))
	return []byte(answer.Ciphertext), nil
}

func (w *wrapper) Unwrap(ctx context.Context, wrapped, context []byte) ([]byte, error) {
	in := cipherInput{Ciphertext: string(wrapped), AssociatedData: base64.StdEncoding.EncodeToString(context)}
	r := request{op: "decrypt data", method: http.MethodPost, path: "decrypt/" + w.key, body: in}
	version, _, err := parseVersioned(in.Ciphertext)
	if err != nil {
		return nil, r.fail(signer.Refused, "", "the wrapped key was not made by Vault: "+err.Error()+": use the Wrapper that made it, or restore the stored document from a backup")
	}
	var answer struct {
		Plaintext string `json:"plaintext"`
	}
	if err := w.client.do(ctx, w.guard.ForKey(), r, &answer); err != nil {
		return nil, fmt.Errorf("version %d of the key %s/%s wrapped it, or of a key that another Wrapper has: %w", version, w.client.mount, w.key, err)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(answer.Plaintext)
	if err != nil || len(raw) < sha256.Size {
		return nil, r.malformed("plaintext: it differs from the encrypted one")
	}
	plaintext := raw[sha256.Size:]
	if subtle.ConstantTimeCompare(raw, sealed(plaintext, context)) != 1 {
		return nil, r.fail(signer.Refused, "", "the wrapped key belongs to another ring: correct the ring's Store or Name")
	}
	return plaintext, nil
}

// Current reports whether wrapped was made with the latest version that this
// process has seen, or a later one.
func (w *wrapper) Current(wrapped []byte) bool {
	version, _, err := parseVersioned(string(wrapped))
	return err == nil && int64(version) >= w.latest.Load()
}

// Format names the key, for any verb.
func (w *wrapper) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "vaulttransit.Wrapper(%s/%s)", w.client.mount, w.key)
}
