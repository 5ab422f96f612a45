package pkcs11_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/pkcs11"
)

func aesKey() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return key
}

const aesID = "0a0b0c"

func newWrapper(t *testing.T, token *pkcs11.Token, id string, old ...string) keyring.Wrapper {
	t.Helper()
	w, err := pkcs11.NewWrapper(token, id, nil, old...)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWrapper(t *testing.T) {
	f := newFixture(t, nil)
	f.on.AddKey(bytesOf(aesID), aesKey())
	testWrapper(t, newWrapper(t, f.token, aesID))
	f.Do(func() { f.Answer = nil })
	testRing(t, keyring.Config{Wrapper: newWrapper(t, f.token, aesID)})
}

// testWrapper is for every kind of library.
func testWrapper(t *testing.T, w keyring.Wrapper) {
	plaintext, name := aesKey(), []byte("ring acme")
	wrapped, err := w.Wrap(t.Context(), plaintext, name)
	if err != nil {
		t.Fatalf("Wrap: %v", err)
	}
	got, err := w.Unwrap(t.Context(), wrapped, name)
	if err != nil || !bytes.Equal(got, plaintext) {
		t.Fatalf("Unwrap returned something else, %v", err)
	}
	if again, err := w.Wrap(t.Context(), plaintext, name); err != nil || bytes.Equal(again, wrapped) {
		t.Errorf("Wrap returned the same again, %v", err)
	}
	if bytes.Contains(wrapped, plaintext) {
		t.Error("what is wrapped has the plaintext in it")
	}
	refused := func(what string, wrapped, name []byte) {
		t.Helper()
		got, err := w.Unwrap(t.Context(), wrapped, name)
		if got != nil {
			t.Errorf("%s: Unwrap returned a plaintext", what)
		}
		fails(t, err, signer.Refused, "")
	}
	refused("another context", wrapped, []byte("ring acmf"))
	refused("no context", wrapped, nil)
	for _, i := range []int{0, 1, 2, len(wrapped) - 49, len(wrapped) - 20, len(wrapped) - 1} {
		changed := bytes.Clone(wrapped)
		changed[i] ^= 1
		refused("a bit flipped", changed, name)
	}
	for _, n := range []int{0, 1, 2, 5, 20, len(wrapped) - 48, len(wrapped) - 16, len(wrapped) - 1} {
		refused("cut off", wrapped[:n], name)
	}
	refused("with a tail", append(bytes.Clone(wrapped), 0), name)
	refused("oversized", append(bytes.Clone(wrapped), make([]byte, 1<<20)...), name)
	if got, err := w.Unwrap(t.Context(), wrapped, name); err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("Unwrap after refusals: %v", err)
	}
}

// A refusal names the key that wrapped, and what to do.
func TestUnwrapSays(t *testing.T) {
	f := newFixture(t, nil)
	f.on.AddKey("\x01", aesKey())
	f.on.AddKey("\x02", aesKey())
	wrapped := must(newWrapper(t, f.token, "01").Wrap(t.Context(), []byte("data key"), nil))
	for _, tt := range []struct {
		id      string
		wrapped []byte
		want    string
	}{
		{"01", wrapped, "the key of CKA_ID 01 wrapped it: "},
		{"02", wrapped, "the key of CKA_ID 01 wrapped it: give that key to NewWrapper, as an old key if another replaces it; this Wrapper has [02]"},
		{"01", wrapped[:5], "restore the stored document"},
		{"01", []byte("other"), "a Wrapper of pkcs11 did not make it"},
	} {
		if _, err := newWrapper(t, f.token, tt.id).Unwrap(t.Context(), tt.wrapped, []byte("another ring")); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Unwrap: %v, want %q", err, tt.want)
		}
	}
}

// The key changes: the new one is current, and the old one decrypts.
func TestWrapperRotates(t *testing.T) {
	type current interface{ Current(wrapped []byte) bool }
	f := newFixture(t, nil)
	f.on.AddKey("\x01", aesKey())
	f.on.AddKey("\x02", aesKey())
	first, both, second := newWrapper(t, f.token, "01"), newWrapper(t, f.token, "02", "01"), newWrapper(t, f.token, "02")
	wrapped := must(first.Wrap(t.Context(), []byte("data key"), nil))
	if !first.(current).Current(wrapped) || both.(current).Current(wrapped) {
		t.Error("Current is wrong about what the first key has wrapped")
	}
	if got, err := both.Unwrap(t.Context(), wrapped, nil); err != nil || string(got) != "data key" {
		t.Errorf("Unwrap with the old key: %v", err)
	}
	_, err := second.Unwrap(t.Context(), wrapped, nil)
	fails(t, err, signer.Refused, "")
	if !both.(current).Current(must(both.Wrap(t.Context(), []byte("x"), nil))) {
		t.Error("Current is wrong about what the current key has wrapped")
	}
}

func TestNewWrapperRefuses(t *testing.T) {
	f := newFixture(t, nil)
	if _, err := pkcs11.NewWrapper(nil, aesID, nil); err == nil {
		t.Error("NewWrapper takes no Token")
	}
	if _, err := pkcs11.NewWrapper(f.token, "xyz", nil); err == nil {
		t.Error("NewWrapper accepts an invalid ID")
	}
	if _, err := pkcs11.NewWrapper(f.token, aesID, nil, ""); err == nil {
		t.Error("NewWrapper accepts an invalid old ID")
	}
}

// Wrap and Unwrap recover, and report a permanent failure.
func TestWrapperFaults(t *testing.T) {
	f := newFixture(t, nil)
	w := newWrapper(t, f.token, aesID)
	_, err := w.Wrap(t.Context(), []byte("x"), nil)
	fails(t, err, signer.Gone, "")
	f.on.AddKey(bytesOf(aesID), aesKey())
	for _, length := range []int{0, 4096} {
		if _, err := w.Wrap(t.Context(), make([]byte, length), nil); err == nil {
			t.Errorf("Wrap takes %d bytes", length)
		}
	}
	wrapped := must(w.Wrap(t.Context(), []byte("data key"), nil))
	for _, harm := range []func(){f.CloseSessions, f.on.Logout} {
		harm()
		must(w.Wrap(t.Context(), []byte("x"), nil))
		harm()
		must(w.Unwrap(t.Context(), wrapped, nil))
	}
	for _, test := range []struct {
		name, op string
		answer   func(value []byte) ([]byte, error)
		want     signer.Kind
	}{
		{"short", "C_Encrypt", func(value []byte) ([]byte, error) { return value[:8], nil }, signer.Malformed},
		{"oversized", "C_Encrypt", func(value []byte) ([]byte, error) { return append(value, 0), nil }, signer.Malformed},
		{"empty", "C_Encrypt", func([]byte) ([]byte, error) { return nil, nil }, signer.Malformed},
		{"not decrypted", "C_Decrypt", func(value []byte) ([]byte, error) { return make([]byte, len(value)), nil }, signer.Malformed},
		{"no AES-GCM", "C_Encrypt", func([]byte) ([]byte, error) { return nil, pkcs11.Returned(cryptoki.CKR_MECHANISM_INVALID) }, signer.Refused},
		{"device error", "C_Encrypt", func([]byte) ([]byte, error) { return nil, pkcs11.Returned(cryptoki.CKR_DEVICE_ERROR) }, signer.Unavailable},
	} {
		t.Run("Wrap/"+test.name, func(t *testing.T) {
			f.answer(test.op, test.answer)
			got, err := w.Wrap(t.Context(), []byte("data key"), nil)
			if got != nil {
				t.Error("Wrap returned something")
			}
			fails(t, err, test.want, "")
		})
	}
	for _, test := range []struct {
		name   string
		answer func(value []byte) ([]byte, error)
		want   signer.Kind
	}{
		{"short", func(value []byte) ([]byte, error) { return value[:4], nil }, signer.Malformed},
		{"empty", func([]byte) ([]byte, error) { return nil, nil }, signer.Malformed},
		{"oversized", func(value []byte) ([]byte, error) { return slices.Concat(value, value), nil }, signer.Malformed},
		{"SoftHSM's wrong tag", func([]byte) ([]byte, error) { return nil, pkcs11.Returned(cryptoki.CKR_GENERAL_ERROR) }, signer.Refused},
		{"device error", func([]byte) ([]byte, error) { return nil, pkcs11.Returned(cryptoki.CKR_DEVICE_ERROR) }, signer.Unavailable},
	} {
		t.Run("Unwrap/"+test.name, func(t *testing.T) {
			f.answer("C_Decrypt", test.answer)
			got, err := w.Unwrap(t.Context(), wrapped, nil)
			if got != nil {
				t.Error("Unwrap returned something")
			}
			fails(t, err, test.want, "")
		})
	}
	f.Do(func() { f.Answer = nil })
	must(w.Unwrap(t.Context(), wrapped, nil))
}

func (f *fixture) answer(of string, answer func(value []byte) ([]byte, error)) {
	f.Do(func() {
		f.Answer = func(op string, _, value []byte, err error) ([]byte, error) {
			if op == of && err == nil {
				return answer(value)
			}
			return value, err
		}
	})
}

// Wrap and Unwrap return when ctx ends, and keep nothing that they were given.
// X07
func TestWrapperHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.on.AddKey(bytesOf(aesID), aesKey())
		w := newWrapper(t, f.token, aesID)
		plaintext, name := []byte("data key"), []byte("name")
		wrapped := must(w.Wrap(t.Context(), plaintext, name))
		release := make(chan struct{})
		f.Do(func() {
			f.Wait = func(op string) {
				if op == "C_Encrypt" || op == "C_Decrypt" {
					<-release
				}
			}
		})
		for _, call := range []func(ctx context.Context) error{
			func(ctx context.Context) error { _, err := w.Wrap(ctx, plaintext, name); return err },
			func(ctx context.Context) error { _, err := w.Unwrap(ctx, wrapped, name); return err },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began := time.Now()
			err := call(ctx)
			cancel()
			if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
				t.Errorf("it returned %v after %v, want the deadline's error after 1s", err, took)
			}
		}
		clear(plaintext) // with -race: no other goroutine may be reading
		clear(name)
		clear(wrapped)
		close(release)
		synctest.Wait()
	})
}
