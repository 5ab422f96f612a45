package vaulttransit_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/vaulttransit"
)

// signOnce has a new digest signed.
func signOnce(ctx context.Context, s *vaulttransit.Signer) ([]byte, error) {
	digest := sha256.Sum256([]byte("x"))
	return s.Sign(ctx, digest[:], crypto.SHA256)
}

func errorsBody(texts ...string) string {
	if texts == nil {
		texts = []string{} // not null
	}
	return string(must(json.Marshal(map[string][]string{"errors": texts})))
}

// Each of Vault's refusals has its kind.
func TestRefusals(t *testing.T) {
	kind := func(kind signer.Kind, code string) failure { return failure{Op: "sign data", Code: code, Kind: kind} }
	later := kind(signer.Unavailable, "429")
	later.RetryAfter = 7 * time.Second
	overloaded := kind(signer.Unavailable, "503")
	overloaded.RetryAfter = 2 * time.Second
	for _, tt := range []struct {
		name   string
		status int
		header http.Header
		body   string
		want   failure
		words  string
	}{
		{"quota", 429, http.Header{"Retry-After": {"7"}}, errorsBody("request path \"transit/sign/ci\": rate limit quota exceeded"), later, "rate limit quota exceeded"},
		{"overloaded", 503, http.Header{"Retry-After": {"2"}}, errorsBody("5 requests under way"), overloaded, "5 requests"},
		{"sealed", 503, nil, errorsBody("Vault is sealed"), kind(signer.Unavailable, "503"), "Vault is sealed"},
		{"internal error", 500, nil, errorsBody("internal error"), kind(signer.Unavailable, "500"), "internal error"},
		{"no upstream", 502, http.Header{"Content-Type": {"text/html"}}, "<html>bad gateway", kind(signer.Unavailable, "502"), "the answer does not come from Vault"},
		{"timeout of a proxy", 504, nil, "", kind(signer.Unavailable, "504"), "does not come from Vault"},
		{"lags behind", 412, nil, errorsBody("required index state not present"), kind(signer.Unavailable, "412"), "required index state"},
		{"standby", 472, nil, errorsBody(), kind(signer.Unavailable, "472"), "without a reason"},
		{"standby for reads", 473, nil, errorsBody(), kind(signer.Unavailable, "473"), "without a reason"},
		{"too slow", 408, nil, "", kind(signer.Unavailable, "408"), "does not come from Vault"},
		{"no right", 403, nil, errorsBody("1 error occurred:\n\t* permission denied\n\n"), kind(signer.Refused, "403"), "1 error occurred: * permission denied"},
		{"not found by a proxy", 404, http.Header{"Content-Type": {"text/html"}}, "<html>", kind(signer.Refused, "404"), "does not come from Vault"},
		{"no mount", 404, nil, errorsBody("no handler for route \"transit/sign/ci\""), kind(signer.Refused, "404"), "no handler for route"},
		{"nothing there", 404, nil, errorsBody(), kind(signer.Gone, "404"), "without a reason"},
		{"no such key", 400, nil, errorsBody("signing key not found"), kind(signer.Gone, "400"), "signing key not found"},
		{"version, as it should be", 400, nil, errorsBody("requested version for signing is higher than the latest key version"), kind(signer.Gone, "400"), "higher than"},
		{"those words of a proxy", 500, http.Header{"Content-Type": {"text/plain"}}, errorsBody("signing key not found"), kind(signer.Unavailable, "500"), "does not come from Vault"},
		{"bad request", 400, nil, errorsBody("invalid marshaling type"), kind(signer.Refused, "400"), "invalid marshaling"},
		{"method", 405, nil, errorsBody("unsupported operation"), kind(signer.Refused, "405"), "unsupported operation"},
		{"errors of another shape", 400, nil, `{"errors":"signing key not found"}`, kind(signer.Refused, "400"), "does not come from Vault"},
		{"errors twice", 400, nil, `{"errors":[],"errors":["signing key not found"]}`, kind(signer.Refused, "400"), "does not come from Vault"},
		{"a very long error", 403, nil, errorsBody(strings.Repeat("x", 1<<20)), kind(signer.Refused, "403"), "does not come from Vault"},
		{"status out of range", 999, nil, "", kind(signer.Malformed, "999"), "not that of a final answer"},
		{"permanent redirect", 301, http.Header{"Location": {"https://example.com"}}, "", kind(signer.Refused, "301"), "never followed"},
		{"negative Retry-After", 429, http.Header{"Retry-After": {"-7"}}, errorsBody("x"), kind(signer.Unavailable, "429"), "x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := startVault(t)
			v.addKey("ci", "ecdsa-p256")
			s := newSigner(t, v, "ci", 1)
			v.answerWith("sign/", tt.status, tt.header, tt.body)
			_, err := signOnce(t.Context(), s)
			if diff := diffFailure(tt.want, tt.words, err); diff != "" {
				t.Errorf("Sign (-want +got):\n%s", diff)
			}
			if text := err.Error(); len(text) > 1024 || strings.ContainsAny(text, "\n\t") {
				t.Errorf("the error has %d bytes, or several lines: %q", len(text), text)
			}
			if n := v.count("POST", "sign/"); n != 1 {
				t.Errorf("%d requests, want 1: the guard and the issuer decide on others", n)
			}
		})
	}
}

// T07: malformed answers.
func TestMalformed(t *testing.T) {
	der := base64.StdEncoding.EncodeToString(append([]byte{0x30}, make([]byte, 70)...))
	data := func(signature string) string {
		return fmt.Sprintf(`{"data":{"signature":%q,"key_version":1}}`, signature)
	}
	const version, form = "the signature is one of another version", "the signature has"
	for _, tt := range []struct{ name, body, words string }{
		{"nothing", "", "the answer is not JSON"},
		{"HTML", "<html>", "the answer is not JSON"},
		{"half", `{"data":{"signature":"vault:v1:`, "the answer is not JSON"},
		{"a list", "[]", "the answer is not a JSON object"},
		{"no data", "{}", "signature: it is not"},
		{"data null", `{"data":null}`, "signature: it is not"},
		{"data of text", `{"data":"vault:v1:AAAA"}`, "type"},
		{"no signature", `{"data":{"key_version":1}}`, "signature: it is not"},
		{"signature twice", `{"data":{"signature":"a","Signature":"b"}}`, "a member twice"},
		{"a batch", `{"data":{"batch_results":[{"signature":"vault:v1:AAAA"}]}}`, "signature: it is not"},
		{"empty", data(""), "signature: it is not"},
		{"no prefix", data(der), "signature: it is not"},
		{"no version", data("vault:v:" + der), "version is not a number"},
		{"version 01", data("vault:v01:" + der), "version is not a number"},
		{"version -1", data("vault:v-1:" + der), "version is not a number"},
		{"version 0", data("vault:v0:" + der), "version is not a number"},
		{"version out of range", data("vault:v99999999999999999999:" + der), "version is not a number"},
		{"no text", data("vault:v1:"), "not in base64"},
		{"URL alphabet", data("vault:v1:MEQ-_w"), "not in base64"},
		{"line in base64", data("vault:v1:" + der[:8] + "\n" + der[8:]), "not in base64"},
		{"latest version", data("vault:v2:" + der), version},
		{"two versions", `{"data":{"signature":"vault:v1:` + der + `","key_version":2}}`, version},
		{"version of text", `{"data":{"signature":"vault:v1:` + der + `","key_version":"1"}}`, "type"},
		{"short", data("vault:v1:MAA="), form},
		{"r || s", data("vault:v1:" + base64.StdEncoding.EncodeToString(make([]byte, 64))), form},
		{"long", data("vault:v1:" + base64.StdEncoding.EncodeToString(append([]byte{0x30}, make([]byte, 80)...))), form},
		{"256 KiB", `{"data":{"signature":"` + strings.Repeat("x", 256<<10) + `"}}`, "longer than 256 KiB"},
		{"deep", `{"data":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, "nested too deeply"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := startVault(t)
			v.addKey("ci", "ecdsa-p256")
			s := newSigner(t, v, "ci", 1)
			v.answerWith("sign/", 200, nil, tt.body)
			sig, err := signOnce(t.Context(), s)
			if diff := diffFailure(failure{Op: "sign data", Kind: signer.Malformed}, tt.words, err); diff != "" {
				t.Errorf("Sign (-want +got):\n%s", diff)
			}
			if sig != nil {
				t.Errorf("Sign returned %d bytes with an error", len(sig))
			}
		})
	}
	for name, want := range map[string]struct {
		status int
		header http.Header
		words  string
	}{
		"not JSON":   {200, http.Header{"Content-Type": {"text/html"}}, "not application/json"},
		"no content": {204, nil, "no content"},
		"compressed": {200, http.Header{"Content-Encoding": {"gzip"}}, "compressed"},
	} {
		t.Run(name, func(t *testing.T) {
			v := startVault(t)
			v.addKey("ci", "ecdsa-p256")
			s := newSigner(t, v, "ci", 1)
			var body bytes.Buffer
			if name == "compressed" {
				w := gzip.NewWriter(&body)
				io.WriteString(w, data("vault:v1:"+der))
				w.Close()
			}
			v.answerWith("sign/", want.status, want.header, body.String())
			_, err := signOnce(t.Context(), s)
			got := failure{Op: "sign data", Kind: signer.Malformed}
			if name == "compressed" {
				got.Code = "200"
			}
			if diff := diffFailure(got, want.words, err); diff != "" {
				t.Errorf("Sign (-want +got):\n%s", diff)
			}
		})
	}
}

// T07: the description of a key is checked as well.
func TestMalformedKey(t *testing.T) {
	ec := must(newTransitKey("ecdsa-p256")).document("ci")
	rsa := must(newTransitKey("rsa-2048")).document("ci")
	ed := must(newTransitKey("ed25519")).document("ci")
	with := func(document map[string]any, name string, value any) map[string]any {
		changed := map[string]any{}
		for k, v := range document {
			changed[k] = v
		}
		changed[name] = value
		return changed
	}
	version := func(text any) map[string]any {
		return map[string]any{"1": map[string]any{"public_key": text}}
	}
	for _, tt := range []struct {
		name     string
		document any
		words    string
	}{
		{"no data", nil, "another key"},
		{"another key", with(ec, "name", "other"), "another key"},
		{"no latest version", with(ec, "latest_version", 0), "latest_version"},
		{"keys of another type", with(ec, "keys", "x"), "keys"},
		{"version of another type", with(ec, "keys", map[string]any{"1": 1442851412}), "version: the answer is not a JSON object"},
		{"no public key", with(ec, "keys", version("")), "public_key: it is not PEM"},
		{"public key null", with(ec, "keys", version(nil)), "public_key: it is not PEM"},
		{"another type's key", with(rsa, "keys", ec["keys"]), "public_key: it is not of the key's type rsa-2048"},
		{"another size", with(rsa, "type", "rsa-4096"), "public_key: it is not of the key's type rsa-4096"},
		{"another curve", with(ec, "type", "ecdsa-p384"), "public_key: it is not of the key's type ecdsa-p384"},
		{"PEM of something else", with(ec, "keys", version("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")), "public_key: signer: public key"},
		{"PEM of nothing", with(ec, "keys", version("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")), "public_key: signer: public key"},
		{"Ed25519 in PEM", with(ed, "keys", ec["keys"]), "public_key: it is not 32 bytes in base64"},
		{"31 bytes of Ed25519", with(ed, "keys", version(base64.StdEncoding.EncodeToString(make([]byte, 31)))), "public_key: it is not 32 bytes in base64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := startVault(t)
			v.answerWith("keys/", 200, nil, string(must(json.Marshal(map[string]any{"data": tt.document}))))
			_, err := vaulttransit.New(t.Context(), v.client(), "ci", 1, nil)
			if diff := diffFailure(failure{Op: "read key", Kind: signer.Malformed}, tt.words, err); diff != "" {
				t.Errorf("New (-want +got):\n%s", diff)
			}
		})
	}
}

// X05: a standby's redirect is not followed, and the token reaches no second
// host; nor does it by a transport that follows on its own.
func TestRedirect(t *testing.T) {
	v := startVault(t)
	v.addKey("ci", "ecdsa-p256")
	s := newSigner(t, v, "ci", 1)
	second := newVault()
	defer second.Close()
	v.answerWith("sign/", http.StatusTemporaryRedirect, http.Header{"Location": {second.URL + "/v1/transit/sign/ci/sha2-256"}}, "")
	_, err := signOnce(t.Context(), s)
	if diff := diffFailure(failure{Op: "sign data", Code: "307", Kind: signer.Unavailable}, "Address must reach the active node", err); diff != "" {
		t.Errorf("Sign (-want +got):\n%s", diff)
	}
	if n := second.count("POST", ""); n != 0 {
		t.Errorf("%d requests reached the second host", n)
	}
	config := v.config()
	config.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		first := &http.Response{StatusCode: 307, Request: r}
		followed := r.Clone(r.Context())
		followed.Response = first
		return &http.Response{StatusCode: 200, Request: followed, Body: http.NoBody}, nil
	})
	_, err = vaulttransit.New(t.Context(), must(vaulttransit.NewClient(config)), "ci", 1, nil)
	if diff := diffFailure(failure{Op: "read key", Kind: signer.Refused}, "followed a redirect", err); diff != "" {
		t.Errorf("New (-want +got):\n%s", diff)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// X07: a call ends with the caller's ctx, and at the guard's limit, even if the
// server hangs.
func TestDeadline(t *testing.T) {
	v := startVault(t)
	v.addKey("ci", "ecdsa-p256")
	patient := newSigner(t, v, "ci", 1)
	hasty, err := vaulttransit.New(t.Context(), v.client(), "ci", 1, signer.NewGuard(signer.Limits{Timeout: 2 * time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	started, release := make(chan struct{}, 2), make(chan struct{})
	defer close(release)
	v.answer(func(w http.ResponseWriter, r received) bool {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"data":`) // and then nothing
		w.(http.Flusher).Flush()
		started <- struct{}{}
		<-release
		return true
	})
	_, err = signOnce(t.Context(), hasty)
	if diff := diffFailure(failure{Op: "sign data", Kind: signer.Unavailable}, "", err); diff != "" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Sign = %v (-want +got):\n%s", err, diff)
	}
	<-started
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-started
		cancel()
	}()
	if _, err := signOnce(ctx, patient); !errors.Is(err, context.Canceled) {
		t.Errorf("Sign = %v, want %v", err, context.Canceled)
	}
}

// A port without a listener, a server without HTTP, and an untrusted
// certificate.
func TestNetwork(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	untrusted := httptest.NewUnstartedServer(nil)
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	for _, tt := range []struct {
		name, address string
		want          signer.Kind
		words         string
	}{
		{"closed", closed.URL, signer.Unavailable, "connection refused"},
		{"untrusted", untrusted.URL, signer.Refused, "certificate"},
	} {
		client := must(vaulttransit.NewClient(vaulttransit.Config{Address: tt.address, Token: staticToken(vaultToken)}))
		_, err := vaulttransit.New(t.Context(), client, "ci", 1, nil)
		if diff := diffFailure(failure{Op: "read key", Kind: tt.want}, tt.words, err); diff != "" {
			t.Errorf("%s: New (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TLS before 1.2 is refused before the token is sent, and an answer that came
// over it in spite of that is not used.
func TestTLS(t *testing.T) {
	v := newVault()
	v.Server.Close()
	v.Server = httptest.NewUnstartedServer(v)
	v.Server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	v.Server.Config.ErrorLog = log.New(io.Discard, "", 0)
	v.StartTLS()
	defer v.Close()
	_, err := vaulttransit.New(t.Context(), v.client(), "ci", 1, nil)
	if diff := diffFailure(failure{Op: "read key", Kind: signer.Refused}, "protocol version", err); diff != "" {
		t.Errorf("New (-want +got):\n%s", diff)
	}
	config := v.config()
	config.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, TLS: &tls.ConnectionState{Version: tls.VersionTLS11}, Body: http.NoBody}, nil
	})
	_, err = vaulttransit.New(t.Context(), must(vaulttransit.NewClient(config)), "ci", 1, nil)
	if diff := diffFailure(failure{Op: "read key", Kind: signer.Refused}, "a TLS version before 1.2", err); diff != "" {
		t.Errorf("New (-want +got):\n%s", diff)
	}
	if n := v.count("GET", ""); n != 0 {
		t.Errorf("%d requests were sent over TLS 1.1", n)
	}
}
