package gcpkms_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/gcpkms"
)

// oneKey returns the key of a version.
func oneKey(v keyring.Version) oidctoken.KeySource {
	return oidctoken.StaticKeys{{Signer: v.Signer, Algorithm: v.Algorithm}}
}

func newWrapper(t testing.TB, s *standin, key string) *gcpkms.Wrapper {
	t.Helper()
	w, err := gcpkms.NewWrapper(connect(t, "https://cloudkms.example.com", inProcess{s}), key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// A wrapped key is unwrapped with the same context, and with no other.
func TestWrapper(t *testing.T) {
	s := newStandin()
	key := s.add("wrapping", "GOOGLE_SYMMETRIC_ENCRYPTION").key
	w := newWrapper(t, s, key.name)
	plaintext, bound := secret(), []byte("ring a")
	wrapped, err := w.Wrap(t.Context(), plaintext, bound)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(wrapped, plaintext) {
		t.Error("what is wrapped has the plaintext in it")
	}
	got, err := newWrapper(t, s, key.name).Unwrap(t.Context(), wrapped, bound)
	if err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("Unwrap = %x, %v; want %x", got, err, plaintext)
	}
	other := s.add("other", "GOOGLE_SYMMETRIC_ENCRYPTION").key
	changed := bytes.Clone(wrapped)
	changed[len(changed)-1] ^= 1
	_, ciphertext, _ := bytes.Cut(wrapped, []byte("\n"))
	for _, tt := range []struct {
		name           string
		wrapper        *gcpkms.Wrapper
		wrapped, bound []byte
		code           string
	}{
		{"another ring", w, wrapped, []byte("ring b"), "INVALID_ARGUMENT"},
		{"no ring", w, wrapped, nil, "INVALID_ARGUMENT"},
		{"changed", w, changed, bound, "INVALID_ARGUMENT"},
		{"another key", newWrapper(t, s, other.name), wrapped, bound, ""},
		{"renamed to another key", newWrapper(t, s, other.name), bytes.Replace(wrapped, []byte("wrapping"), []byte("other"), 1), bound, "INVALID_ARGUMENT"},
		{"without the version", w, ciphertext, bound, ""},
		{"without the ciphertext", w, wrapped[:len(wrapped)-len(ciphertext)], bound, "INVALID_ARGUMENT"},
		{"empty", w, nil, bound, ""},
	} {
		got, err := tt.wrapper.Unwrap(t.Context(), tt.wrapped, tt.bound)
		if diff := cmp.Diff(failed{"Decrypt", signer.Refused, tt.code}, failureOf(err)); diff != "" || got != nil {
			t.Errorf("%s: Unwrap = %x, %v (-want +got):\n%s", tt.name, got, err, diff)
		}
	}
}

// A refusal names the key that wrapped, and what to do.
func TestUnwrapSays(t *testing.T) {
	s := newStandin()
	one, other := s.add("one", "GOOGLE_SYMMETRIC_ENCRYPTION").key, s.add("other", "GOOGLE_SYMMETRIC_ENCRYPTION").key
	w := newWrapper(t, s, one.name)
	wrapped := must(w.Wrap(t.Context(), secret(), []byte("ring")))
	for _, tt := range []struct {
		w       keyring.Wrapper
		wrapped []byte
		want    string
	}{
		{w, wrapped, "the key " + one.name + "/cryptoKeyVersions/1 wrapped it: gcpkms: Decrypt: refused"},
		{newWrapper(t, s, other.name), wrapped, "the key " + one.name + "/cryptoKeyVersions/1 wrapped it, and this Wrapper has " + other.name + ": give NewWrapper the key"},
		{w, []byte("other"), "a gcpkms.Wrapper did not make it"},
	} {
		if _, err := tt.w.Unwrap(t.Context(), tt.wrapped, []byte("another ring")); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Unwrap: %v, want %q", err, tt.want)
		}
	}
}

// Checksums of 0 are sent: those of an empty context and an empty plaintext.
func TestWrapperChecksumZero(t *testing.T) {
	s := newStandin()
	w := newWrapper(t, s, s.add("wrapping", "GOOGLE_SYMMETRIC_ENCRYPTION").key.name)
	for _, plaintext := range [][]byte{nil, secret()} {
		wrapped, err := w.Wrap(t.Context(), plaintext, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := w.Unwrap(t.Context(), wrapped, nil); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("Unwrap = %x, %v; want %x", got, err, plaintext)
		}
		for _, op := range []string{"Encrypt", "Decrypt"} {
			if body := string(s.bodies[op]); !strings.Contains(body, `"additionalAuthenticatedDataCrc32c":"0"`) {
				t.Errorf("%s was sent without the checksum: %s", op, body)
			}
		}
	}
}

// Current follows the service's answers.
func TestWrapperCurrent(t *testing.T) {
	s := newStandin()
	key := s.add("wrapping", "GOOGLE_SYMMETRIC_ENCRYPTION").key
	w := newWrapper(t, s, key.name)
	one := must(w.Wrap(t.Context(), secret(), nil))
	if !w.Current(one) {
		t.Error("what was just wrapped is not current")
	}
	s.set(func() { key.add(0) })
	if !w.Current(one) {
		t.Error("the wrapper knows of another primary version that nobody told it of")
	}
	third := newWrapper(t, s, key.name)
	if must(third.Wrap(t.Context(), secret(), nil)); third.Current(one) {
		t.Error("what was wrapped with another version than the last one is current")
	}
	next := newWrapper(t, s, key.name)
	if !next.Current(one) {
		t.Error("what nobody has said anything of is not current")
	}
	for _, wrapper := range []*gcpkms.Wrapper{w, next} {
		if _, err := wrapper.Unwrap(t.Context(), one, nil); err != nil {
			t.Fatal(err)
		}
		if wrapper.Current(one) {
			t.Error("what was wrapped with an old version is current")
		}
	}
	two := must(next.Wrap(t.Context(), secret(), nil))
	if !w.Current(two) {
		t.Error("what another replica wrapped with a version that nobody has said anything of is not current")
	}
	if !next.Current(two) || next.Current(one) {
		t.Errorf("Current = %v for the new one, %v for the old one", next.Current(two), next.Current(one))
	}
	// The primary is set back to the first version.
	s.set(func() { key.primary = key.versions[0] })
	if _, err := next.Unwrap(t.Context(), one, nil); err != nil {
		t.Fatal(err)
	}
	if next.Current(two) || !next.Current(one) {
		t.Errorf("set back: Current = %v for the second, %v for the first", next.Current(two), next.Current(one))
	}
	for _, other := range [][]byte{nil, []byte("x"), []byte("x\ny"), bytes.Replace(one, []byte("wrapping"), []byte("other"), 1)} {
		if next.Current(other) {
			t.Errorf("%.20q is current", other)
		}
	}
}

func TestWrapperChecksAnswer(t *testing.T) {
	for _, tt := range []struct {
		op     string
		tamper func(answer map[string]any)
	}{
		{"Encrypt", func(a map[string]any) { a["name"] = ringOf + "/cryptoKeys/other/cryptoKeyVersions/1" }},
		{"Encrypt", func(a map[string]any) { a["name"] = ringOf + "/cryptoKeys/wrapping" }},
		{"Encrypt", func(a map[string]any) { delete(a, "name") }},
		{"Encrypt", func(a map[string]any) { a["verifiedPlaintextCrc32c"] = false }},
		{"Encrypt", func(a map[string]any) { delete(a, "verifiedAdditionalAuthenticatedDataCrc32c") }},
		{"Encrypt", func(a map[string]any) { a["ciphertextCrc32c"] = "1" }},
		{"Encrypt", func(a map[string]any) { delete(a, "ciphertextCrc32c") }},
		{"Encrypt", func(a map[string]any) { a["ciphertext"], a["ciphertextCrc32c"] = "", "0" }},
		{"Encrypt", func(a map[string]any) { a["ciphertext"] = "!" }},
		{"Decrypt", func(a map[string]any) { a["plaintextCrc32c"] = "1" }},
		{"Decrypt", func(a map[string]any) { delete(a, "plaintextCrc32c") }},
		{"Decrypt", func(a map[string]any) { a["plaintext"] = "!" }},
		{"Decrypt", func(a map[string]any) { a["plaintext"] = []byte("another data key") }},
	} {
		s := newStandin()
		w := newWrapper(t, s, s.add("wrapping", "GOOGLE_SYMMETRIC_ENCRYPTION").key.name)
		wrapped := must(w.Wrap(t.Context(), secret(), nil))
		s.tamper = func(_ string, answer map[string]any) { tt.tamper(answer) }
		var got []byte
		var err error
		if tt.op == "Encrypt" {
			got, err = w.Wrap(t.Context(), secret(), nil)
		} else {
			got, err = w.Unwrap(t.Context(), wrapped, nil)
		}
		if diff := cmp.Diff(failed{tt.op, signer.Malformed, ""}, failureOf(err)); diff != "" || got != nil {
			t.Errorf("%x, %v (-want +got):\n%s", got, err, diff)
		}
	}
}

// A key with another purpose cannot wrap, and neither can a key whose version
// is gone.
func TestWrapperState(t *testing.T) {
	s := newStandin()
	v := s.add("wrapping", "GOOGLE_SYMMETRIC_ENCRYPTION")
	w := newWrapper(t, s, v.key.name)
	wrapped := must(w.Wrap(t.Context(), secret(), nil))
	v.state = "DISABLED"
	_, err := w.Wrap(t.Context(), secret(), nil)
	if diff := cmp.Diff(failed{"Encrypt", signer.Gone, "FAILED_PRECONDITION"}, failureOf(err)); diff != "" {
		t.Errorf("Wrap: %v (-want +got):\n%s", err, diff)
	}
	_, err = w.Unwrap(t.Context(), wrapped, nil)
	if diff := cmp.Diff(failed{"Decrypt", signer.Gone, "FAILED_PRECONDITION"}, failureOf(err)); diff != "" {
		t.Errorf("Unwrap: %v (-want +got):\n%s", err, diff)
	}
	_, err = newWrapper(t, s, s.add("signing", "EC_SIGN_P256_SHA256").key.name).Wrap(t.Context(), secret(), nil)
	if diff := cmp.Diff(failed{"Encrypt", signer.Refused, "FAILED_PRECONDITION"}, failureOf(err)); diff != "" {
		t.Errorf("Wrap with a key that signs: %v (-want +got):\n%s", err, diff)
	}
	for _, name := range []string{"", ringOf, v.name, ringOf + "/cryptoKeys/"} {
		if _, err := gcpkms.NewWrapper(connect(t, "https://cloudkms.example.com", inProcess{s}), name, nil); failureOf(err).Kind != signer.Refused {
			t.Errorf("NewWrapper(%q): %v", name, err)
		}
	}
	if _, err := gcpkms.NewWrapper(nil, v.key.name, nil); failureOf(err).Kind != signer.Refused {
		t.Errorf("NewWrapper without a service: %v", err)
	}
}
