package azurekeys_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/azurekeys"
)

// answering returns a fault that answers with a status and a text.
func answering(status int, header, value, text string) func(string, http.ResponseWriter, *http.Request) bool {
	return func(_ string, w http.ResponseWriter, _ *http.Request) bool {
		if header != "" {
			w.Header().Set(header, value)
		}
		w.WriteHeader(status)
		io.WriteString(w, text)
		return true
	}
}

func failing(status int, code, inner string) func(string, http.ResponseWriter, *http.Request) bool {
	return func(_ string, w http.ResponseWriter, _ *http.Request) bool {
		fail(w, status, code, inner)
		return true
	}
}

// Each failure of the service has a kind and causes one request: the SDK does
// not retry. T07
func TestErrors(t *testing.T) {
	throttled := func(_ string, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "7")
		fail(w, http.StatusTooManyRequests, "Throttled", "")
		return true
	}
	hangUp := func(string, http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
	half := func(_ string, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, `{"kid":`)
		panic(http.ErrAbortHandler)
	}
	for _, tt := range []struct {
		name  string
		fault func(string, http.ResponseWriter, *http.Request) bool
		want  signer.Error
	}{
		{"throttled", throttled, signer.Error{Kind: signer.Unavailable, Code: "Throttled", RetryAfter: 7 * time.Second}},
		{"internal error", failing(500, "InternalServerError", ""), signer.Error{Kind: signer.Unavailable, Code: "InternalServerError"}},
		{"bad gateway", answering(502, "", "", "<html>"), signer.Error{Kind: signer.Unavailable}},
		{"unavailable", answering(503, "Retry-After", "-1", ""), signer.Error{Kind: signer.Unavailable}},
		{"request timeout", answering(408, "", "", ""), signer.Error{Kind: signer.Unavailable}},
		{"hung up", hangUp, signer.Error{Kind: signer.Unavailable}},
		{"cut off", half, signer.Error{Kind: signer.Unavailable}},
		{"no right", failing(403, "Forbidden", "ForbiddenByRbac"), signer.Error{Kind: signer.Refused, Code: "ForbiddenByRbac"}},
		{"no access policy", failing(403, "Forbidden", "AccessDenied"), signer.Error{Kind: signer.Refused, Code: "AccessDenied"}},
		{"forbidden by policy", failing(403, "ForbiddenByPolicy", ""), signer.Error{Kind: signer.Refused, Code: "ForbiddenByPolicy"}},
		{"bad parameter", failing(400, "BadParameter", ""), signer.Error{Kind: signer.Refused, Code: "BadParameter"}},
		{"a proxy's refusal", answering(403, "", "", "<html>"), signer.Error{Kind: signer.Refused}},
		{"token not taken", answering(401, "", "", ""), signer.Error{Kind: signer.Refused}},
		{"key disabled", failing(403, "Forbidden", "KeyDisabled"), signer.Error{Kind: signer.Gone, Code: "KeyDisabled"}},
		{"key disabled, by parameter", failing(400, "BadParameter", "KeyDisabled"), signer.Error{Kind: signer.Gone, Code: "KeyDisabled"}},
		{"key gone", failing(404, "KeyNotFound", ""), signer.Error{Kind: signer.Gone, Code: "KeyNotFound"}},
		{"a proxy's not found", answering(404, "", "", "<html>not found</html>"), signer.Error{Kind: signer.Malformed}},
		{"a code of unprintable characters", answering(404, "", "", `{"error":{"code":"<b>\u0000"}}`), signer.Error{Kind: signer.Malformed}},
		{"another page", answering(200, "Content-Type", "text/html", "<html>"), signer.Error{Kind: signer.Malformed}},
		{"nothing", answering(200, "", "", ""), signer.Error{Kind: signer.Malformed}},
		{"null", answering(200, "", "", "null"), signer.Error{Kind: signer.Malformed}},
		{"a list", answering(200, "", "", "[]"), signer.Error{Kind: signer.Malformed}},
		{"half of an object", answering(200, "", "", `{"kid":`), signer.Error{Kind: signer.Malformed}},
		{"no content", answering(204, "", "", ""), signer.Error{Kind: signer.Malformed}},
		{"accepted", answering(202, "", "", "{}"), signer.Error{Kind: signer.Malformed}},
		{"a redirect", answering(307, "Location", "https://eve.vault.azure.net/", ""), signer.Error{Kind: signer.Malformed}},
		{"an answer too long", answering(200, "", "", strings.Repeat(" ", azurekeys.MaxAnswer+1)), signer.Error{Kind: signer.Malformed}},
		{"a bomb", bomb(), signer.Error{Kind: signer.Malformed}},
		{"not gzip", answering(200, "Content-Encoding", "gzip", "{}.........."), signer.Error{Kind: signer.Malformed}},
		{"a challenge without tenant", challenge(`Bearer authorization="https://login.microsoftonline.com", resource="https://vault.azure.net"`), signer.Error{Kind: signer.Malformed}},
		{"a challenge for another resource", challenge(`Bearer authorization="https://login.microsoftonline.com/t", resource="https://eve.example.com"`), signer.Error{Kind: signer.Refused}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			remote := newSigner(t, s, s.add(vaultURL, "tokens", "EC", "P-256", "sign"))
			s.fault = tt.fault
			tt.want.Service, tt.want.Op = "azurekeys", "Sign"
			got, err := remote.Sign(t.Context(), make([]byte, 32), crypto.SHA256)
			if diff := cmp.Diff(tt.want, parts(t, err)); diff != "" || got != nil {
				t.Errorf("Sign: %v (-want +got):\n%s", err, diff)
			}
			if n := s.count("Sign"); n != 1 {
				t.Errorf("the service was asked %d times", n)
			}
			if text := err.Error(); strings.ContainsAny(text, "\n\x00<") {
				t.Errorf("the error shows what the service wrote: %s", text)
			}
		})
	}
}

// bomb answers with 8 MiB in 8 KiB. X08
func bomb() func(string, http.ResponseWriter, *http.Request) bool {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(make([]byte, 8<<20))
	z.Close()
	return answering(200, "Content-Encoding", "gzip", b.String())
}

func challenge(text string) func(string, http.ResponseWriter, *http.Request) bool {
	return answering(http.StatusUnauthorized, "WWW-Authenticate", text, "")
}

// A service that cannot be reached is unavailable. A service with a foreign
// certificate is refused.
func TestConnection(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(s *standIn, rt *http.Transport)
		want   signer.Kind
	}{
		{"refused", func(s *standIn, _ *http.Transport) { s.server.Close() }, signer.Unavailable},
		{"not trusted", func(_ *standIn, rt *http.Transport) { _, rt.TLSClientConfig.RootCAs = newCertificate("a") }, signer.Refused},
		{"another name", func(_ *standIn, rt *http.Transport) { rt.TLSClientConfig.ServerName = "vault.example.com" }, signer.Refused},
		{"an old TLS", func(s *standIn, rt *http.Transport) {
			s.server.TLS.MaxVersion = tls.VersionTLS12
			rt.TLSClientConfig.MinVersion = tls.VersionTLS13
		}, signer.Unavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			v := s.add(vaultURL, "tokens", "EC", "P-256", "sign")
			rt := s.transport()
			tt.change(s, rt)
			client := must(azkeys.NewClient(vaultURL, s, &azkeys.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: azurekeys.HTTPClient(rt)}}))
			_, err := azurekeys.New(t.Context(), client, v.kid(), nil)
			want := signer.Error{Service: "azurekeys", Op: "GetKey", Kind: tt.want}
			if diff := cmp.Diff(want, parts(t, err)); diff != "" {
				t.Errorf("New: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// Without HTTPClient, the service's answers have the same meaning, except for
// those that are too long.
func TestOtherTransport(t *testing.T) {
	s := start(t)
	v := s.add(vaultURL, "tokens", "EC", "P-256", "sign")
	plain := &http.Client{Transport: s.transport()}
	t.Cleanup(plain.CloseIdleConnections)
	client := must(azkeys.NewClient(vaultURL, s, &azkeys.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: plain}}))
	remote := must(azurekeys.New(t.Context(), client, v.kid(), nil))
	mint(t, remote)
	s.fault = failing(403, "Forbidden", "KeyDisabled")
	_, err := remote.Sign(t.Context(), make([]byte, 32), crypto.SHA256)
	want := signer.Error{Service: "azurekeys", Op: "Sign", Kind: signer.Gone, Code: "KeyDisabled"}
	if diff := cmp.Diff(want, parts(t, err)); diff != "" {
		t.Errorf("Sign (-want +got):\n%s", diff)
	}
}

// The guard ends a call that hangs. X07
func TestGuardTimeout(t *testing.T) {
	s := start(t)
	v := s.add(vaultURL, "tokens", "EC", "P-256", "sign")
	guard := signer.NewGuard(signer.Limits{Timeout: 2 * time.Second})
	guarded := must(azurekeys.New(t.Context(), s.client(vaultURL, s), v.kid(), guard))
	s.fault = func(_ string, _ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	}
	_, err := guarded.Sign(t.Context(), make([]byte, 32), crypto.SHA256)
	want := signer.Error{Service: "azurekeys", Op: "Sign", Kind: signer.Unavailable}
	if diff := cmp.Diff(want, parts(t, err)); diff != "" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Sign: %v (-want +got):\n%s", err, diff)
	}
}

// hostile is a credential that fails with a given error.
type hostile struct{ err error }

func (h hostile) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, h.err
}

type temporary struct{ error }

func (temporary) Temporary() bool { return true }

// A credential's failure is not the vault's: its own 404 does not end a key.
func TestCredential(t *testing.T) {
	notFound := &azcore.ResponseError{StatusCode: 404, ErrorCode: "KeyNotFound", RawResponse: &http.Response{StatusCode: 404, Body: http.NoBody}}
	for _, tt := range []struct {
		name string
		err  error
		want signer.Error
	}{
		{"plain", errors.New("no\nsecond line"), signer.Error{Kind: signer.Refused}},
		{"with a response", fmt.Errorf("identity endpoint: %w", notFound), signer.Error{Kind: signer.Refused}},
		{"temporary", temporary{errors.New("busy")}, signer.Error{Kind: signer.Unavailable}},
		{"cut off", io.ErrUnexpectedEOF, signer.Error{Kind: signer.Unavailable}},
		{"with Entra's code", errors.New("AADSTS700213: no matching credential"), signer.Error{Kind: signer.Refused, Code: "AADSTS700213"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			v := s.add(vaultURL, "tokens", "EC", "P-256", "sign")
			_, err := azurekeys.New(t.Context(), s.client(vaultURL, hostile{tt.err}), v.kid(), nil)
			tt.want.Service, tt.want.Op = "azurekeys", "GetKey"
			if diff := cmp.Diff(tt.want, parts(t, err)); diff != "" || !errors.Is(err, tt.err) || strings.Contains(err.Error(), "second") {
				t.Errorf("New: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// No error holds an access token, a digest or an answer, whatever fails. D08
func TestErrorsHoldNoSecret(t *testing.T) {
	s := start(t)
	remote := newSigner(t, s, s.add(vaultURL, "tokens", "EC", "P-256", "sign"))
	const digest = "a digest of thirty-two bytes ..."
	encoded := strings.Trim(string(must(json.Marshal(binary(digest)))), `"`)
	var token string
	for _, status := range []int{200, 204, 302, 400, 401, 403, 404, 429, 500} {
		s.fault = func(_ string, w http.ResponseWriter, r *http.Request) bool {
			token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			w.Header().Set("Location", "https://"+token+".example.com/"+encoded)
			w.Header().Set("X-Ms-Error-Code", token)
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"kid":%q,"value":%q,"error":{"code":"%s!","message":"%s %s","innererror":{"code":"%s "}}}`, "%", token, token, token, encoded, encoded)
			return true
		}
		_, err := remote.Sign(t.Context(), []byte(digest), crypto.SHA256)
		if err == nil || token == "" {
			t.Fatalf("status %d: Sign: %v after the token %q", status, err, token)
		}
		var shown strings.Builder
		for e := err; e != nil; e = errors.Unwrap(e) {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
				fmt.Fprintf(&shown, verb, e)
			}
			shown.Write(must(json.Marshal(e)))
			slog.New(slog.NewJSONHandler(&shown, nil)).Info("x", "error", e)
		}
		for _, secret := range []string{token, encoded, digest} {
			if strings.Contains(shown.String(), secret) {
				t.Errorf("status %d: an error shows %q: %s", status, secret, shown.String())
			}
		}
	}
}
