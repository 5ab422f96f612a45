package awskms_test

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/awskms"
)

// sdkClient returns the SDK's default client, without its idle connections.
func sdkClient(testing.TB) kms.HTTPClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.DisableKeepAlives = true })
}

// verified mints a token at the time of now, and verifies it with the JWK Set.
// It returns the kid.
func verified(t *testing.T, ring *keyring.Ring, alg string, now func() time.Time) string {
	t.Helper()
	issuer := must(oidctoken.NewIssuer(oidctoken.Config{URL: "https://ci.example.com", Keys: ring, Now: now}))
	token, err := issuer.Mint(t.Context(), oidctoken.Scope{
		Audience: "https://example.com", Account: oidctoken.Entity{ID: "acme"}, Profile: &oidctoken.Profile{Algorithms: []string{alg}},
	})
	if err != nil {
		t.Fatal(err)
	}
	set := must(jose.ParseSet(must(issuer.JWKSet(t.Context()))))
	if _, err := set.Verify(token.JWT(), alg); err != nil {
		t.Fatalf("the published keys do not verify a token: %v", err)
	}
	return token.KeyID()
}

// One operation of KMS per process, and none per token: minting goes on while
// KMS is unavailable, and another replica opens the document of the first one.
func TestRingWithWrapper(t *testing.T) {
	s := newStandin(t)
	wrapper := must(awskms.NewWrapper(s.client(t), s.symmetricKey().arn, nil))
	store := new(keyring.MemoryStore)
	config := keyring.Config{Store: store, Wrapper: wrapper, Algorithms: []string{"ES256"}}
	first := must(keyring.New(t.Context(), config))
	defer first.Close()
	second := must(keyring.New(t.Context(), config))
	defer second.Close()
	s.answer = answers(http.StatusServiceUnavailable, "")
	if a, b := verified(t, first, "ES256", nil), verified(t, second, "ES256", nil); a != b {
		t.Errorf("the replicas sign with %s and %s", a, b)
	}
	if e, d := s.count("Encrypt"), s.count("Decrypt"); e != 1 || d != 1 {
		t.Errorf("%d times Encrypt and %d Decrypt, want once each", e, d)
	}
	_, err := keyring.New(t.Context(), config)
	if !errors.Is(err, keyring.ErrWrapper) {
		t.Errorf("New while KMS is away: %v, want %v", err, keyring.ErrWrapper)
	}
	wantError(t, err, "Decrypt", signer.Unavailable, "")
}

// When the key is changed, the ciphertext of the old key is decrypted once, and
// the new document no longer holds it.
func TestRingRewraps(t *testing.T) {
	s := newStandin(t)
	client, old, current := s.client(t), s.symmetricKey(), s.symmetricKey()
	config := keyring.Config{Store: new(keyring.MemoryStore), Algorithms: []string{"ES256"}}
	config.Wrapper = must(awskms.NewWrapper(client, old.arn, nil))
	ring := must(keyring.New(t.Context(), config))
	ring.Close()
	kid := verified(t, ring, "ES256", nil)

	config.Wrapper = must(awskms.NewWrapper(client, current.arn, nil, old.arn))
	ring = must(keyring.New(t.Context(), config))
	ring.Close()

	s.with(func() { old.state = "Disabled" })
	config.Wrapper = must(awskms.NewWrapper(client, current.arn, nil))
	ring = must(keyring.New(t.Context(), config))
	defer ring.Close()
	if got := verified(t, ring, "ES256", nil); got != kid {
		t.Errorf("the ring signs with %s, want %s", got, kid)
	}
}

func TestNewWrapperRefuses(t *testing.T) {
	s := newStandin(t)
	client, arn := s.client(t), s.symmetricKey().arn
	const form = "is not the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID"
	for _, tt := range []struct {
		name    string
		client  *kms.Client
		current string
		old     []string
		want    oidctoken.ConfigError
	}{
		{"no client", nil, arn, nil, oidctoken.ConfigError{Package: "awskms", Field: "client", Reason: "is required"}},
		{"empty", client, "", nil, oidctoken.ConfigError{Package: "awskms", Field: "current", Reason: form}},
		{"an ID", client, "1234abcd-12ab-34cd-56ef-1234567890ab", nil, oidctoken.ConfigError{Package: "awskms", Field: "current", Reason: form}},
		{"an alias", client, "arn:aws:kms:eu-west-1:111122223333:alias/ci", nil, oidctoken.ConfigError{Package: "awskms", Field: "current", Reason: form}},
		{"an old alias", client, arn, []string{arn, "alias/ci"}, oidctoken.ConfigError{Package: "awskms", Field: "old[1]", Reason: form}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := awskms.NewWrapper(tt.client, tt.current, nil, tt.old...)
			var got *oidctoken.ConfigError
			if !errors.As(err, &got) {
				t.Fatalf("NewWrapper: %v, want a *ConfigError", err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("NewWrapper (-want +got):\n%s", diff)
			}
		})
	}
}

// A ciphertext that was changed, or bound to another context, is not unwrapped.
// A key that the process does not have is never used.
func TestUnwrapRefuses(t *testing.T) {
	s := newStandin(t)
	client, one, other := s.client(t), s.symmetricKey(), s.symmetricKey()
	wrapper := must(awskms.NewWrapper(client, one.arn, nil, other.arn))
	foreign := must(awskms.NewWrapper(client, s.symmetricKey().arn, nil))
	plaintext, bound := bytes.Repeat([]byte{7}, 32), []byte("ring")
	wrapped := must(wrapper.Wrap(t.Context(), plaintext, bound))
	ciphertext := bytes.TrimPrefix(wrapped, []byte(one.arn+"\n"))
	if got, err := wrapper.Unwrap(t.Context(), wrapped, bound); err != nil || !bytes.Equal(got, plaintext) {
		t.Fatalf("Unwrap: %d bytes, %v", len(got), err)
	}
	flipped := bytes.Clone(wrapped)
	flipped[len(flipped)-6] ^= 2 // in the base64 of the ciphertext
	for _, tt := range []struct {
		name           string
		wrapped, bound []byte
		code           string
	}{
		{"another context", wrapped, []byte("other"), "InvalidCiphertextException"},
		{"no context", wrapped, nil, "InvalidCiphertextException"},
		{"changed", flipped, bound, "InvalidCiphertextException"},
		{"under another key's name", append([]byte(other.arn+"\n"), ciphertext...), bound, "IncorrectKeyException"},
		{"by a key that is not here", must(foreign.Wrap(t.Context(), plaintext, bound)), bound, ""},
		{"no ciphertext", []byte(one.arn + "\n"), bound, ""},
		{"too long", append(bytes.Clone(wrapped), make([]byte, 6145)...), bound, ""},
		{"nothing", nil, bound, ""},
		{"no name", ciphertext, bound, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := s.count("Decrypt")
			_, err := wrapper.Unwrap(t.Context(), tt.wrapped, tt.bound)
			wantError(t, err, "Decrypt", signer.Refused, tt.code)
			if n := s.count("Decrypt") - before; (n == 1) != (tt.code != "") {
				t.Errorf("%d requests", n)
			}
		})
	}
	// A refusal names the key, and what to do.
	for _, tt := range []struct {
		wrapped []byte
		want    []string
	}{
		{wrapped, []string{"the key " + one.arn + " wrapped it: awskms: Decrypt: refused"}},
		{must(foreign.Wrap(t.Context(), plaintext, bound)), []string{"the key arn:aws:kms:", " wrapped it: give that key to NewWrapper", "this Wrapper has " + one.arn + ", " + other.arn}},
		{ciphertext, []string{"a Wrapper of awskms did not make it", "restore"}},
	} {
		_, err := wrapper.Unwrap(t.Context(), tt.wrapped, []byte("another ring"))
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Unwrap: %v, want %q", err, want)
			}
		}
	}
	for name, size := range map[string]int{"nothing": 0, "too long": 4097} {
		_, err := wrapper.Wrap(t.Context(), make([]byte, size), bound)
		wantError(t, err, "Encrypt", signer.Refused, "")
		if t.Failed() {
			t.Log(name)
		}
	}
}

// T07: answers about another key, and answers without the requested value.
func TestWrapperAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		op     string
		change func(out map[string]any)
	}{
		{"another key's ciphertext", "Encrypt", func(out map[string]any) { out["KeyId"] = "arn:aws:kms:eu-west-1:111122223333:key/other" }},
		{"no ciphertext", "Encrypt", func(out map[string]any) { delete(out, "CiphertextBlob") }},
		{"too long a ciphertext", "Encrypt", func(out map[string]any) { out["CiphertextBlob"] = make([]byte, 6145) }},
		{"another key's plaintext", "Decrypt", func(out map[string]any) { out["KeyId"] = "arn:aws:kms:eu-west-1:111122223333:key/other" }},
		{"no plaintext", "Decrypt", func(out map[string]any) { delete(out, "Plaintext") }},
		{"too long a plaintext", "Decrypt", func(out map[string]any) { out["Plaintext"] = make([]byte, 4097) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStandin(t)
			wrapper := must(awskms.NewWrapper(s.client(t), s.symmetricKey().arn, nil))
			s.change = func(op string, out map[string]any) {
				if op == tt.op {
					tt.change(out)
				}
			}
			wrapped, err := wrapper.Wrap(t.Context(), []byte("the data key"), nil)
			if tt.op == "Decrypt" {
				if err != nil {
					t.Fatal(err)
				}
				wrapped, err = wrapper.Unwrap(t.Context(), wrapped, nil)
			}
			wantError(t, err, tt.op, signer.Malformed, "")
			if wrapped != nil {
				t.Errorf("%d bytes were returned", len(wrapped))
			}
		})
	}
}

// Every plaintext is unwrapped with the same context only.
func TestWrapperProperty(t *testing.T) {
	s := newStandin(t)
	wrapper := must(awskms.NewWrapper(s.client(t), s.symmetricKey().arn, signer.NewGuard(signer.Limits{Timeout: time.Minute})))
	rapid.Check(t, func(rt *rapid.T) {
		plaintext := rapid.SliceOfN(rapid.Byte(), 1, 64).Draw(rt, "plaintext")
		bound := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(rt, "bound")
		other := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(rt, "other")
		wrapped, err := wrapper.Wrap(t.Context(), bytes.Clone(plaintext), bound)
		if err != nil {
			rt.Fatal(err)
		}
		if got, err := wrapper.Unwrap(t.Context(), wrapped, bound); err != nil || !bytes.Equal(got, plaintext) {
			rt.Fatalf("Unwrap: %x, %v; want %x", got, err, plaintext)
		}
		if _, err := wrapper.Unwrap(t.Context(), wrapped, other); (err == nil) != bytes.Equal(bound, other) {
			rt.Fatalf("Unwrap with the context %x of what is bound to %x: %v", other, bound, err)
		}
	})
}
