package vaulttransit_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/vaulttransit"
)

// wrapper has the methods of NewWrapper's result.
type wrapper interface {
	keyring.Wrapper
	Current(wrapped []byte) bool
}

func newWrapper(t *testing.T, v *vault) wrapper {
	t.Helper()
	w, err := vaulttransit.NewWrapper(t.Context(), v.client(), "wrap", nil)
	if err != nil {
		t.Fatal(err)
	}
	current, ok := w.(wrapper)
	if !ok {
		t.Fatal("a ring cannot ask whether the key has been rotated")
	}
	return current
}

func wrapOnce(t *testing.T, w keyring.Wrapper, plaintext, context []byte) []byte {
	t.Helper()
	wrapped, err := w.Wrap(t.Context(), plaintext, context)
	if err != nil {
		t.Fatal(err)
	}
	return wrapped
}

// A wrapped key comes back with its context alone, also from a Vault that
// ignores associated_data.
func TestWrapper(t *testing.T) {
	for name, old := range map[string]bool{"new": false, "old": true} {
		t.Run(name, func(t *testing.T) {
			v := startVault(t)
			v.old = old
			v.addKey("wrap", "aes256-gcm96")
			w := newWrapper(t, v)
			key := bytes.Repeat([]byte{7}, 32)
			for _, context := range [][]byte{[]byte("ring a"), nil, {}} {
				wrapped := wrapOnce(t, w, key, context)
				got, err := newWrapper(t, v).Unwrap(t.Context(), wrapped, context)
				if err != nil || !bytes.Equal(got, key) {
					t.Errorf("Unwrap = %x, %v; want %x", got, err, key)
				}
				got, err = w.Unwrap(t.Context(), wrapped, []byte("ring b"))
				want := failure{Op: "decrypt data", Code: "400", Kind: signer.Refused}
				words := "authentication failed"
				if old {
					want.Code, words = "", "belongs to another ring"
				}
				if diff := diffFailure(want, words, err); diff != "" || got != nil {
					t.Errorf("Unwrap with another context = %x (-want +got):\n%s", got, diff)
				}
			}
		})
	}
}

// A stored value may have been changed, or may not be a wrapped key at all.
func TestUnwrapRefuses(t *testing.T) {
	v := startVault(t)
	v.addKey("wrap", "aes256-gcm96")
	w := newWrapper(t, v)
	wrapped := string(wrapOnce(t, w, make([]byte, 32), []byte("ring")))
	asked := v.count("POST", "decrypt/")
	for name, text := range map[string]string{"nothing": "", "a local wrapper's": "\x01\x02\x03", "no version": "vault:v:AAAA", "not base64": "vault:v1:*"} {
		_, err := w.Unwrap(t.Context(), []byte(text), []byte("ring"))
		if diff := diffFailure(failure{Op: "decrypt data", Kind: signer.Refused}, "was not made by Vault", err); diff != "" {
			t.Errorf("Unwrap of %s (-want +got):\n%s", name, diff)
		}
	}
	if n := v.count("POST", "decrypt/") - asked; n != 0 {
		t.Errorf("Vault was asked %d times for what it did not make", n)
	}
	if _, err := w.Unwrap(t.Context(), []byte(wrapped), []byte("another ring")); err == nil || !strings.Contains(err.Error(), "version 1 of the key transit/wrap wrapped it") {
		t.Errorf("Unwrap in another context does not name the key: %v", err)
	}
	if _, err := w.Unwrap(t.Context(), []byte("other"), []byte("ring")); err == nil || !strings.Contains(err.Error(), "use the Wrapper that made it") {
		t.Errorf("Unwrap of what another Wrapper made does not say what to do: %v", err)
	}
	raw := must(base64.StdEncoding.DecodeString(strings.TrimPrefix(wrapped, "vault:v1:")))
	raw[len(raw)-1] ^= 1
	for name, text := range map[string]string{
		"changed":         "vault:v1:" + base64.StdEncoding.EncodeToString(raw),
		"another version": "vault:v2:" + strings.TrimPrefix(wrapped, "vault:v1:"),
	} {
		_, err := w.Unwrap(t.Context(), []byte(text), []byte("ring"))
		if diff := diffFailure(failure{Op: "decrypt data", Code: "400", Kind: signer.Refused}, "", err); diff != "" {
			t.Errorf("Unwrap of what was %s (-want +got):\n%s", name, diff)
		}
	}
}

// A rotated key still decrypts. A process that starts after the rotation tells
// the ring about it.
func TestCurrent(t *testing.T) {
	v := startVault(t)
	v.addKey("wrap", "aes256-gcm96")
	before := newWrapper(t, v)
	first := wrapOnce(t, before, make([]byte, 32), nil)
	v.rotate(t, "wrap")
	after := newWrapper(t, v)
	second := wrapOnce(t, after, make([]byte, 32), nil)
	for _, tt := range []struct {
		name    string
		w       wrapper
		wrapped []byte
		want    bool
	}{
		{"first before", before, first, true},
		{"second before", before, second, true},
		{"first after", after, first, false},
		{"second after", after, second, true},
		{"nothing", after, nil, false},
	} {
		if got := tt.w.Current(tt.wrapped); got != tt.want {
			t.Errorf("%s: Current = %v, want %v", tt.name, got, tt.want)
		}
	}
	if _, err := after.Unwrap(t.Context(), first, nil); err != nil {
		t.Errorf("Unwrap of the first: %v", err)
	}
	wrapOnce(t, before, make([]byte, 32), nil)
	if before.Current(first) {
		t.Error("Current after Wrap with a version that was not known")
	}
	v.with(func(keys map[string]*transitKey) { keys["wrap"].minDecryption = 2 })
	_, err := after.Unwrap(t.Context(), first, nil)
	if diff := diffFailure(failure{Op: "decrypt data", Code: "400", Kind: signer.Gone}, "too old", err); diff != "" {
		t.Errorf("Unwrap below min_decryption_version (-want +got):\n%s", diff)
	}
}

// Vault would make a key that is not there; the Wrapper does not let it.
func TestNewWrapperRefuses(t *testing.T) {
	v := startVault(t)
	v.addKey("rsa", "rsa-2048")
	v.addKey("derived", "aes256-gcm96")
	v.with(func(keys map[string]*transitKey) { keys["derived"].derived = true })
	for name, want := range map[string]struct {
		failure failure
		words   string
	}{
		"wrap":    {failure{Op: "read key", Code: "404", Kind: signer.Gone}, "without a reason"},
		"rsa":     {failure{Op: "read key", Kind: signer.Refused}, "a key of type rsa-2048 does not authenticate"},
		"derived": {failure{Op: "read key", Kind: signer.Refused}, "the key is derived"},
	} {
		_, err := vaulttransit.NewWrapper(t.Context(), v.client(), name, nil)
		if diff := diffFailure(want.failure, want.words, err); diff != "" {
			t.Errorf("NewWrapper of %s (-want +got):\n%s", name, diff)
		}
	}
	if names := v.names(); len(names) != 2 {
		t.Errorf("Vault has %s", names)
	}
}

// Malformed answers.
func TestWrapperMalformed(t *testing.T) {
	short := base64.StdEncoding.EncodeToString(make([]byte, 31))
	for _, tt := range []struct{ op, data, words string }{
		{"encrypt data", `{}`, "ciphertext: it is not"},
		{"encrypt data", `{"ciphertext":""}`, "ciphertext: it is not"},
		{"encrypt data", `{"ciphertext":"vault:v0:AAAA"}`, "ciphertext: its version"},
		{"encrypt data", `{"ciphertext":"vault:v1:"}`, "ciphertext: it is not in base64"},
		{"decrypt data", `{}`, "plaintext: it differs from the encrypted one"},
		{"decrypt data", `{"plaintext":"*"}`, "plaintext: it differs from the encrypted one"},
		{"decrypt data", `{"plaintext":"` + short + `"}`, "plaintext: it differs from the encrypted one"},
	} {
		v := startVault(t)
		v.addKey("wrap", "aes256-gcm96")
		w := newWrapper(t, v)
		wrapped := wrapOnce(t, w, make([]byte, 32), nil)
		v.answerWith(strings.TrimSuffix(tt.op, " data")+"/", 200, nil, `{"data":`+tt.data+`}`)
		_, err := w.Wrap(t.Context(), make([]byte, 32), nil)
		if tt.op == "decrypt data" {
			_, err = w.Unwrap(t.Context(), wrapped, nil)
		}
		if diff := diffFailure(failure{Op: tt.op, Kind: signer.Malformed}, tt.words, err); diff != "" {
			t.Errorf("%s answered with %s (-want +got):\n%s", tt.op, tt.data, diff)
		}
	}
	// The ciphertext of another context belongs to another ring.
	v := startVault(t)
	v.addKey("wrap", "aes256-gcm96")
	w := newWrapper(t, v)
	wrapped := wrapOnce(t, w, make([]byte, 32), nil)
	v.answerWith("decrypt/", 200, nil, fmt.Sprintf(`{"data":{"plaintext":%q}}`, base64.StdEncoding.EncodeToString(make([]byte, 64))))
	_, err := w.Unwrap(t.Context(), wrapped, nil)
	if diff := diffFailure(failure{Op: "decrypt data", Kind: signer.Refused}, "another ring", err); diff != "" {
		t.Errorf("Unwrap (-want +got):\n%s", diff)
	}
}

// Vault wraps a ring's data key. It is called once, and again after the key was
// rotated. Tokens are minted while Vault is unavailable.
func TestRingOverWrapper(t *testing.T) {
	v := startVault(t)
	v.addKey("wrap", "aes256-gcm96")
	store := new(keyring.MemoryStore)
	start := func() *keyring.Ring {
		ring, err := keyring.New(t.Context(), keyring.Config{Store: store, Wrapper: newWrapper(t, v), Algorithms: []string{"ES256"}})
		if err != nil {
			t.Fatal(err)
		}
		return ring
	}
	counts := func() string {
		return fmt.Sprintf("%d encrypted, %d decrypted", v.count("POST", "encrypt/"), v.count("POST", "decrypt/"))
	}
	ring := start()
	defer ring.Close()
	if got, want := counts(), "1 encrypted, 0 decrypted"; got != want {
		t.Errorf("a new ring: %s, want %s", got, want)
	}
	v.rotate(t, "wrap")
	second := start()
	defer second.Close()
	if got, want := counts(), "2 encrypted, 1 decrypted"; got != want {
		t.Errorf("a replica after a rotation: %s, want %s", got, want)
	}
	v.answer(func(w http.ResponseWriter, r received) bool {
		refuse(w, 503, "Vault is sealed")
		return true
	})
	for range 3 {
		if err := mint(context.Background(), ring, "ES256"); err != nil {
			t.Errorf("Mint while Vault is sealed: %v", err)
		}
	}
}
