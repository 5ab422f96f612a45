package keyring_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken/keyring"
)

func TestWrapper(t *testing.T) {
	one, two := newWrappingKey(), newWrappingKey()
	plaintext, bound := []byte("a data key of 32 bytes, or so..."), []byte("ring")
	wrapped := must(must(keyring.NewWrapper(one)).Wrap(t.Context(), plaintext, bound))
	if bytes.Contains(wrapped, plaintext[:8]) {
		t.Error("what is wrapped shows the plaintext")
	}
	changed := slices.Clone(wrapped)
	changed[len(changed)-1] ^= 1
	for _, tt := range []struct {
		name           string
		wrapper        keyring.Wrapper
		wrapped, bound []byte
		want           bool
	}{
		{"the same key", must(keyring.NewWrapper(one)), wrapped, bound, true},
		{"the key is an old one", must(keyring.NewWrapper(two, one)), wrapped, bound, true},
		{"another key", must(keyring.NewWrapper(two)), wrapped, bound, false},
		{"another context", must(keyring.NewWrapper(one)), wrapped, []byte("other"), false},
		{"a bit is changed", must(keyring.NewWrapper(one)), changed, bound, false},
		{"a byte is missing", must(keyring.NewWrapper(one)), wrapped[:len(wrapped)-1], bound, false},
		{"nothing but the key's name", must(keyring.NewWrapper(one)), wrapped[:8], bound, false},
		{"nothing", must(keyring.NewWrapper(one)), nil, bound, false},
	} {
		got, err := tt.wrapper.Unwrap(t.Context(), tt.wrapped, tt.bound)
		if (err == nil) != tt.want || tt.want != bytes.Equal(got, plaintext) {
			t.Errorf("%s: %d bytes, %v", tt.name, len(got), err)
		}
	}
	if w, err := keyring.NewWrapper(one, keyring.WrappingKey{}); w != nil || err == nil {
		t.Errorf("NewWrapper with a zero key: %v, %v", w, err)
	}
}

func TestParseWrappingKey(t *testing.T) {
	raw := bytes.Repeat([]byte{0xfb, 0xff}, 16) // has + and / in base64
	for _, text := range []string{
		base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw), "\n " + base64.URLEncoding.EncodeToString(raw) + "\r\n",
	} {
		if _, err := keyring.ParseWrappingKey(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	secret := base64.StdEncoding.EncodeToString(raw)
	for _, text := range []string{"", "=", secret[:40], secret + "AAAA", secret[:10] + "*" + secret[11:], secret[:20] + " " + secret[20:], strings.Repeat("ab", 32)} {
		_, err := keyring.ParseWrappingKey(text)
		if err == nil || len(text) > 12 && strings.Contains(err.Error(), text[:12]) {
			t.Errorf("%q: %v", text, err)
		}
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, zeros := range []string{strings.Repeat("A", 43), strings.Repeat("A", 43) + "=", " " + strings.Repeat("A", 43) + "=\n"} {
		if _, err := keyring.ParseWrappingKey(zeros); err == nil || !strings.Contains(err.Error(), "openssl rand") {
			t.Errorf("a key of zeros: %v", err)
		}
	}
	nearly := base64.StdEncoding.EncodeToString(append(make([]byte, 31), 1))
	if _, err := keyring.ParseWrappingKey(nearly); err != nil {
		t.Errorf("a key that has one bit: %v", err)
	}
	if err := os.WriteFile(path+".zero", []byte(strings.Repeat("A", 43)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.ReadWrappingKey(path + ".zero"); err == nil || !strings.Contains(err.Error(), "zero") {
		t.Errorf("a file with a key of zeros: %v", err)
	}
	read, parsed := must(keyring.ReadWrappingKey(path)), must(keyring.ParseWrappingKey(secret))
	if fmt.Sprint(read) != fmt.Sprint(parsed) || fmt.Sprint(read) == fmt.Sprint(newWrappingKey()) {
		t.Errorf("%v was read, want %v", read, parsed)
	}
	if _, err := keyring.ReadWrappingKey(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func FuzzParseWrappingKey(f *testing.F) {
	f.Add(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := keyring.ParseWrappingKey(text)
		if _, zero := keyring.NewWrapper(key); (err == nil) != (zero == nil) {
			t.Errorf("%q: %v, and the key cannot be used: %v", text, err, zero)
		}
	})
}

// K05, D08: nothing of this package prints a key.
func TestSecrecy(t *testing.T) {
	raw := make([]byte, 32)
	rand.Read(raw)
	key := must(keyring.ParseWrappingKey(base64.StdEncoding.EncodeToString(raw)))
	wrapper := must(keyring.NewWrapper(key))
	ring := newRing(t, keyring.Config{Wrapper: wrapper})
	for _, v := range []any{key, &key, []keyring.WrappingKey{key}, wrapper, ring, must(ring.Keys(t.Context())), keyring.Config{Wrapper: wrapper}} {
		var b bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			fmt.Fprintf(&b, verb, v)
		}
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
		if j, err := json.Marshal(v); err == nil {
			b.Write(j)
		}
		text := b.String()
		for i := range len(raw) - 6 {
			part := raw[i : i+6]
			for name, form := range map[string]string{
				"hex": fmt.Sprintf("%x", part), "bytes": strings.Trim(fmt.Sprint(part), "[]"), "raw": string(part),
				"base64": base64.StdEncoding.EncodeToString(part),
			} {
				if strings.Contains(text, form) {
					t.Fatalf("%T shows the key in %s: %.300s", v, name, text)
				}
			}
		}
	}
}

// The stored document shows public halves alone.
func TestPrivateHalves(t *testing.T) {
	store := new(keyring.MemoryStore)
	newRing(t, keyring.Config{Store: store, Algorithms: []string{"ES256", "RS256", "EdDSA"}})
	document := must(store.Load(t.Context()))
	for _, k := range parse(t, document).Keys {
		private := must(base64.StdEncoding.DecodeString(k.Private))
		// PKCS #8 begins with a SEQUENCE, of any key, and names its algorithm.
		for _, oid := range [][]byte{{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1}, {0x2a, 0x86, 0x48, 0xce, 0x3d}, {0x2b, 0x65, 0x70}} {
			if bytes.Contains(private, oid) {
				t.Errorf("the private half of a key for %s is not encrypted", k.Alg)
			}
		}
		if len(private) < 60 {
			t.Errorf("the private half of a key for %s has %d bytes", k.Alg, len(private))
		}
	}
}

// When the wrapping key changes, all keys are encrypted again, and the old key
// decrypts nothing of the new document.
func TestRewrap(t *testing.T) {
	store := new(history)
	one, two := newWrappingKey(), newWrappingKey()
	old := newRing(t, keyring.Config{Store: store, Wrapper: must(keyring.NewWrapper(one, two))})
	before := parse(t, must(store.Load(t.Context())))
	var events recorder
	ring := newRing(t, keyring.Config{Store: store, Wrapper: must(keyring.NewWrapper(two, one)), Audit: events.audit})
	if diff := cmp.Diff([]keyring.EventKind{keyring.Rewrapped, keyring.Activated}, events.kinds()); diff != "" {
		t.Errorf("Audit (-want +got):\n%s", diff)
	}
	after := parse(t, must(store.Load(t.Context())))
	for i := range after.Keys {
		if before.Keys[i].Private == after.Keys[i].Private || before.Keys[i].Kid != after.Keys[i].Kid {
			t.Errorf("key %d was not encrypted anew", i)
		}
	}
	if diff := cmp.Diff(kids(old), kids(ring)); diff != "" {
		t.Errorf("keys (-old +new):\n%s", diff)
	}
	newRing(t, keyring.Config{Store: store, Wrapper: must(keyring.NewWrapper(two))})
	if _, err := keyring.New(t.Context(), keyring.Config{Store: store, Wrapper: must(keyring.NewWrapper(one))}); !errors.Is(err, keyring.ErrWrapper) {
		t.Errorf("New with the old key: %v, want %v", err, keyring.ErrWrapper)
	}
	// A replica that has both keys does not wrap back by itself.
	n := len(store.all())
	if err := ring.Refresh(t.Context()); err != nil || len(store.all()) != n {
		t.Errorf("%d more documents, %v", len(store.all())-n, err)
	}
}
