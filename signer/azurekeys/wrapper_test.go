package azurekeys_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/azurekeys"
)

func newWrapper(t *testing.T, s *standIn, v *version) keyring.Wrapper {
	t.Helper()
	w, err := azurekeys.NewWrapper(t.Context(), s.client(v.vault, s), v.kid(), nil)
	if err != nil {
		t.Fatalf("NewWrapper: %v", err)
	}
	return w
}

func addAES(s *standIn) *version {
	return s.add(hsmURL, "ring", "oct-HSM", "256", "encrypt", "decrypt", "wrapKey", "unwrapKey")
}

// A wrapped key is unwrapped in its context alone, and not after a byte has
// changed.
func TestWrapper(t *testing.T) {
	s := start(t)
	w := newWrapper(t, s, addAES(s))
	secret, context := random(32), []byte("ring 1")
	wrapped, err := w.Wrap(t.Context(), secret, context)
	if err != nil {
		t.Fatalf("Wrap: %v", err)
	}
	if bytes.Contains(wrapped, secret[:8]) {
		t.Fatal("what is wrapped shows the secret")
	}
	if again := must(w.Wrap(t.Context(), secret, context)); bytes.Equal(again, wrapped) {
		t.Error("the same iv was used twice")
	}
	got, err := w.Unwrap(t.Context(), wrapped, context)
	if err != nil || !bytes.Equal(got, secret) {
		t.Errorf("Unwrap: %v, or another secret", err)
	}
	for _, other := range []string{"", "ring 2", "ring 1 "} {
		if got, err := w.Unwrap(t.Context(), wrapped, []byte(other)); parts(t, err).Kind != signer.Refused || got != nil {
			t.Errorf("Unwrap in the context %q: %v, want %v", other, err, signer.Refused)
		}
	}
	for i := range wrapped {
		changed := bytes.Clone(wrapped)
		changed[i] ^= 1
		got, err := w.Unwrap(t.Context(), changed, context)
		if kind := parts(t, err).Kind; got != nil || kind != signer.Refused && kind != signer.Gone {
			t.Fatalf("Unwrap with byte %d changed: %v", i, err)
		}
	}
	for _, short := range [][]byte{nil, wrapped[:1], wrapped[:61], append(bytes.Clone(wrapped), make([]byte, 1024)...), wrapped[:len(wrapped)-1]} {
		if got, err := w.Unwrap(t.Context(), short, context); parts(t, err).Kind != signer.Refused || got != nil {
			t.Errorf("Unwrap of %d bytes: %v", len(short), err)
		}
	}
	for _, n := range []int{0, 1025} {
		if _, err := w.Wrap(t.Context(), make([]byte, n), context); parts(t, err).Kind != signer.Refused {
			t.Errorf("Wrap of %d bytes: %v", n, err)
		}
	}
}

// A refusal names the key that wrapped, and what to do.
func TestUnwrapSays(t *testing.T) {
	s := start(t)
	v := addAES(s)
	w := newWrapper(t, s, v)
	wrapped := must(w.Wrap(t.Context(), random(32), []byte("ring")))
	for _, tt := range []struct {
		wrapped []byte
		want    string
	}{
		{wrapped, "the key " + v.kid() + " wrapped it: azurekeys: Decrypt: refused"},
		{wrapped[:20], "a Wrapper of azurekeys did not make it: use the Wrapper that did"},
	} {
		if _, err := w.Unwrap(t.Context(), tt.wrapped, []byte("another ring")); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Unwrap: %v, want %q", err, tt.want)
		}
	}
}

// A ring signs in memory and needs the HSM once; another replica opens its
// document; a new version of the wrapping key is taken into use, after which the
// old one is needed no more.
func TestRingOverWrapper(t *testing.T) {
	s := start(t)
	store := new(keyring.MemoryStore)
	old := addAES(s)
	open := func(v *version) (*keyring.Ring, error) {
		return keyring.New(t.Context(), keyring.Config{Store: store, Wrapper: newWrapper(t, s, v), Algorithms: []string{"RS256", "ES256"}})
	}
	check := func(v *version) {
		t.Helper()
		ring, err := open(v)
		if err != nil {
			t.Fatalf("New: %v", err)
		}
		defer ring.Close()
		issuer := must(oidctoken.NewIssuer(oidctoken.Config{URL: "https://ci.example.com", Keys: ring}))
		for range 3 {
			verified(t, issuer, "ES256")
			verified(t, issuer, "RS256")
		}
	}
	check(old)
	check(old)
	if n, m := s.count("Encrypt"), s.count("Decrypt"); n != 1 || m != 1 {
		t.Errorf("the HSM encrypted %d times and decrypted %d, want 1 for the ring and 1 for its second replica", n, m)
	}
	current := addAES(s)
	check(current)
	if n := s.count("Encrypt"); n != 2 {
		t.Errorf("the HSM encrypted %d times, want once more with the new version", n)
	}
	old.enabled = false
	check(current)
	current.enabled = false
	s.edit = func(op string, answer map[string]any) {
		if op == "GetKey" { // so that the wrapper can be made
			answer["attributes"].(map[string]any)["enabled"] = true
		}
	}
	if _, err := open(current); !errors.Is(err, keyring.ErrWrapper) || parts(t, err).Code != "KeyDisabled" {
		t.Errorf("New with a disabled key: %v, want %v", err, keyring.ErrWrapper)
	}
}

// A key that would prove nothing is refused, and the reason given.
func TestNewWrapperRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, vault, kty, kind string
		ops                    []string
		want                   signer.Error
		text                   string
	}{
		{"RSA", vaultURL, "RSA", "2048", []string{"encrypt", "decrypt"}, signer.Error{Op: "NewWrapper"}, "every reader of the public key can encrypt"},
		{"RSA of an HSM", hsmURL, "RSA-HSM", "2048", []string{"encrypt", "decrypt"}, signer.Error{Op: "NewWrapper"}, "every reader of the public key can encrypt"},
		{"EC", hsmURL, "EC-HSM", "P-256", []string{"encrypt", "decrypt"}, signer.Error{Op: "NewWrapper"}, "not oct-HSM"},
		{"AES that cannot encrypt", hsmURL, "oct-HSM", "256", []string{"decrypt"}, signer.Error{Op: "GetKey"}, "key_ops"},
		{"AES that cannot decrypt", hsmURL, "oct-HSM", "256", []string{"encrypt"}, signer.Error{Op: "GetKey"}, "key_ops"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			v := s.add(tt.vault, "ring", tt.kty, tt.kind, tt.ops...)
			_, err := azurekeys.NewWrapper(t.Context(), s.client(tt.vault, s), v.kid(), nil)
			tt.want.Service, tt.want.Kind = "azurekeys", signer.Refused
			if diff := cmp.Diff(tt.want, parts(t, err)); diff != "" || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("NewWrapper: %v (-want +got):\n%s", err, diff)
			}
		})
	}
	s := start(t)
	for _, id := range []string{"", hsmURL + "/keys/ring"} {
		if _, err := azurekeys.NewWrapper(t.Context(), s.client(hsmURL, s), id, nil); parts(t, err).Op != "NewWrapper" {
			t.Errorf("NewWrapper(%q): %v", id, err)
		}
	}
	if _, err := azurekeys.NewWrapper(t.Context(), nil, hsmURL+"/keys/ring/"+strings.Repeat("b", 32), nil); parts(t, err).Op != "NewWrapper" {
		t.Errorf("NewWrapper without a client: %v", err)
	}
	short := s.add(hsmURL, "short", "oct-HSM", "128", "encrypt", "decrypt")
	if _, err := newWrapper(t, s, short).Wrap(t.Context(), random(32), nil); parts(t, err).Kind != signer.Refused {
		t.Errorf("Wrap with a key of 128 bits: %v", err)
	}
}

// The HSM's answers and refusals are checked. T07
func TestWrapperChecksAnswers(t *testing.T) {
	cut := func(member string) func(map[string]any) {
		return func(a map[string]any) { a[member] = a[member].(binary)[1:] }
	}
	another := func(a map[string]any) { a["kid"] = hsmURL + "/keys/ring/" + strings.Repeat("b", 32) }
	for _, tt := range []struct {
		name, op string
		edit     func(answer map[string]any)
	}{
		{"a short iv", "Encrypt", cut("iv")},
		{"a short tag", "Encrypt", cut("tag")},
		{"a short ciphertext", "Encrypt", cut("value")},
		{"no iv", "Encrypt", func(a map[string]any) { delete(a, "iv") }},
		{"nothing", "Encrypt", func(a map[string]any) { clear(a) }},
		{"encrypted by another version", "Encrypt", another},
		{"a short plaintext", "Decrypt", cut("value")},
		{"no plaintext", "Decrypt", func(a map[string]any) { delete(a, "value") }},
		{"decrypted by another version", "Decrypt", another},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			w := newWrapper(t, s, addAES(s))
			s.edit = func(op string, answer map[string]any) {
				if op == tt.op {
					tt.edit(answer)
				}
			}
			got, err := w.Wrap(t.Context(), random(32), []byte("ring"))
			if tt.op == "Decrypt" {
				got, err = w.Unwrap(t.Context(), must(got, err), []byte("ring"))
			}
			want := signer.Error{Service: "azurekeys", Op: tt.op, Kind: signer.Malformed}
			if diff := cmp.Diff(want, parts(t, err)); diff != "" || got != nil {
				t.Errorf("error %v (-want +got):\n%s", err, diff)
			}
		})
	}
	t.Run("throttled", func(t *testing.T) {
		s := start(t)
		w := newWrapper(t, s, addAES(s))
		s.fault = func(_ string, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", "2")
			fail(w, http.StatusTooManyRequests, "Throttled", "")
			return true
		}
		_, err := w.Wrap(t.Context(), random(32), nil)
		if got := parts(t, err); got.Kind != signer.Unavailable || got.RetryAfter.Seconds() != 2 {
			t.Errorf("Wrap: %v", err)
		}
	})
}

// Neither the wrapper nor its errors show the secret. D08
func TestWrapperHoldsNoSecret(t *testing.T) {
	s := start(t)
	v := addAES(s)
	w := newWrapper(t, s, v)
	if got, want := fmt.Sprintf("%#v", w), "azurekeys.Wrapper("+v.kid()+")"; got != want {
		t.Errorf("%%#v: %s, want %s", got, want)
	}
	secret := []byte("a data key of thirty-two bytes..")
	encoded := string(must(binary(secret).MarshalJSON()))
	s.fault = answering(400, "", "", `{"error":{"code":"BadParameter","message":`+encoded+`}}`)
	_, err := w.Wrap(t.Context(), secret, nil)
	if text := fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err)); parts(t, err).Code != "BadParameter" || strings.Contains(text, encoded[1:20]) {
		t.Errorf("the error shows the secret: %s", text)
	}
}
