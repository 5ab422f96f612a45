package vaulttransit_test

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/vaulttransit"
)

func FuzzParseVersioned(f *testing.F) {
	for _, s := range []string{"", "vault:v1:AAAA", "vault:v12:AAA=", "vault:v0:AAAA", "vault:v01:AAAA", "vault:v1:", "vault:v1:AA\nAA", "vault:v1:AAB=", "vault:v1:vault:v2:AAAA"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		version, raw, err := vaulttransit.ParseVersioned(s)
		if err != nil {
			return
		}
		// An accepted signature has one spelling only.
		if again := versionPrefix(version) + base64.StdEncoding.EncodeToString(raw); version < 1 || again != s {
			t.Errorf("%q was read as version %d and %x", s, version, raw)
		}
	})
}

func FuzzParsePublicKey(f *testing.F) {
	for _, kind := range []string{"rsa-2048", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519"} {
		key := must(newTransitKey(kind))
		f.Add(kind, publicText(key.versions[0].(crypto.Signer).Public()))
		f.Add(kind, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
	}
	f.Fuzz(func(t *testing.T, kind, text string) {
		public, err := vaulttransit.ParsePublicKey(kind, text)
		if err != nil {
			return
		}
		// An accepted key has the type, and an issuer accepts it.
		if _, err := oidctoken.NewIssuer(oidctoken.Config{
			URL: "https://issuer.example.com", Keys: oidctoken.StaticKeys{{Signer: publicOnly{public: public}}},
		}); err != nil {
			t.Errorf("%s %q was accepted: %v", kind, text, err)
		}
	})
}

// publicOnly is a Signer that is not asked to sign.
type publicOnly struct {
	oidctoken.Signer
	public crypto.PublicKey
}

func (s publicOnly) Public() crypto.PublicKey { return s.public }

// FuzzAnswer answers every call with any text: the call fails with a
// *signer.Error, or returns a result of the requested form.
func FuzzAnswer(f *testing.F) {
	key := must(newTransitKey("ecdsa-p256"))
	document := string(must(json.Marshal(map[string]any{"data": key.document("ci")})))
	f.Add(200, "application/json", document)
	f.Add(200, "application/json", `{"data":{"signature":"vault:v1:MAYCAQECAQE=","key_version":1}}`)
	f.Add(200, "application/json", `{"data":{"ciphertext":"vault:v1:AAAA"}}`)
	f.Add(200, "application/json", `{"data":{"plaintext":"AAAA"}}`)
	f.Add(200, "application/json", `{"data":{"keys":["a","ring-es256-aaaaaaaaaaaaaaaaaaaaaaaaaa"]}}`)
	f.Add(404, "application/json", `{"errors":[]}`)
	f.Add(500, "application/json", `{"errors":["1 error occurred:\n\t* no such key version\n\n"]}`)
	f.Add(307, "text/html", "<html>")
	f.Add(204, "", "")
	f.Fuzz(func(t *testing.T, status int, contentType, body string) {
		fuzzed := func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(body))}, nil
		}
		var answer roundTripper
		client := must(vaulttransit.NewClient(vaulttransit.Config{
			Address: "https://vault.example.com", Token: staticToken(vaultToken),
			Transport: roundTripper(func(r *http.Request) (*http.Response, error) { return answer(r) }),
		}))
		known := func(kind string) {
			k := must(newTransitKey(kind))
			text := string(must(json.Marshal(map[string]any{"data": k.document("ci")})))
			answer = func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(text))}, nil
			}
		}
		known("ecdsa-p256")
		s := must(vaulttransit.New(t.Context(), client, "ci", 1, nil))
		known("aes256-gcm96")
		w := must(vaulttransit.NewWrapper(t.Context(), client, "ci", nil))
		p := must(vaulttransit.NewProvisioner(client, "ring", nil))
		answer = fuzzed
		sig, err := signOnce(t.Context(), s)
		checkFailure(t, err, len(sig) > 0)
		made, err := vaulttransit.New(t.Context(), client, "ci", 1, nil)
		checkFailure(t, err, made != nil)
		wrapped, err := w.Wrap(t.Context(), make([]byte, 32), nil)
		checkFailure(t, err, len(wrapped) > 0)
		_, err = w.Unwrap(t.Context(), []byte("vault:v1:AAAA"), nil)
		checkFailure(t, err, true)
		_, err = p.Versions(t.Context())
		checkFailure(t, err, true)
		checkFailure(t, p.Retire(t.Context(), "ring-es256-aaaaaaaaaaaaaaaaaaaaaaaaaa"), true)
	})
}

func checkFailure(t *testing.T, err error, hasResult bool) {
	t.Helper()
	var failure *signer.Error
	switch {
	case err == nil && !hasResult:
		t.Error("neither a result nor an error")
	case err != nil && !errors.As(err, &failure):
		t.Errorf("the error is no *signer.Error: %v", err)
	case err != nil && (strings.Contains(err.Error(), "secret-token") || len(err.Error()) > 1200):
		t.Errorf("the error repeats the token, or is long: %v", err)
	}
}
