package gcpkms_test

import (
	"context"
	"crypto"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/httptransport"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/gcpkms"
)

const versionOf = ringOf + "/cryptoKeys/k/cryptoKeyVersions/1"

// says returns a handler that answers with this status and body.
func says(code int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

// faulty answers as the service does, with details if there are any.
func faulty(code int, status, message string, details ...any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { (&fault{code, status, message, details}).write(w) }
}

func violation(kind string) map[string]any {
	return map[string]any{"@type": "type.googleapis.com/google.rpc.PreconditionFailure", "violations": []any{map[string]any{"type": kind, "subject": versionOf}}}
}

// Every way to fail has its kind, and one call is made, not more: neither the
// client nor the adapter tries again.
//
// T07
func TestSignFails(t *testing.T) {
	const unavailable, refused, gone, malformed = signer.Unavailable, signer.Refused, signer.Gone, signer.Malformed
	for _, tt := range []struct {
		name       string
		answer     http.HandlerFunc
		kind       signer.Kind
		code       string
		retryAfter time.Duration
		message    string
	}{
		{"throttled", faulty(429, "RESOURCE_EXHAUSTED", "Quota exceeded."), unavailable, "RESOURCE_EXHAUSTED", 0, "AsymmetricSign"},
		{"throttled with RetryInfo", faulty(429, "RESOURCE_EXHAUSTED", "", map[string]any{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.5s"}),
			unavailable, "RESOURCE_EXHAUSTED", 3500 * time.Millisecond, ""},
		{"throttled with Retry-After", says(429, `{"error":{"status":"RESOURCE_EXHAUSTED"}}`, "Retry-After", "17"), unavailable, "RESOURCE_EXHAUSTED", 17 * time.Second, ""},
		{"throttled by another", says(429, "slow down", "Retry-After", "2"), unavailable, "429", 2 * time.Second, ""},
		{"unavailable", faulty(503, "UNAVAILABLE", "Try later."), unavailable, "UNAVAILABLE", 0, "HTTP status 503"},
		{"internal", faulty(500, "INTERNAL", ""), unavailable, "INTERNAL", 0, ""},
		{"bad gateway", says(502, "<html>bad gateway</html>"), unavailable, "502", 0, ""},
		{"late", faulty(504, "DEADLINE_EXCEEDED", ""), unavailable, "DEADLINE_EXCEEDED", 0, ""},
		{"request timeout", says(408, ""), unavailable, "408", 0, ""},
		{"aborted", faulty(409, "ABORTED", ""), unavailable, "ABORTED", 0, ""},
		{"no credentials", faulty(401, "UNAUTHENTICATED", ""), refused, "UNAUTHENTICATED", 0, ""},
		{"denied", faulty(403, "PERMISSION_DENIED", "Permission 'cloudkms.cryptoKeyVersions.useToSign' denied."), refused, "PERMISSION_DENIED", 0, "HTTP status 403"},
		{"API is off", faulty(403, "PERMISSION_DENIED", "", map[string]any{"reason": "SERVICE_DISABLED"}), refused, "PERMISSION_DENIED", 0, "(SERVICE_DISABLED)"},
		{"bad request", faulty(400, "INVALID_ARGUMENT", ""), refused, "INVALID_ARGUMENT", 0, ""},
		{"another purpose", faulty(400, "FAILED_PRECONDITION", ""), refused, "FAILED_PRECONDITION", 0, ""},
		{"disabled", faulty(400, "FAILED_PRECONDITION", "", violation("KEY_DISABLED")), gone, "FAILED_PRECONDITION", 0, "(KEY_DISABLED)"},
		{"destroyed", faulty(400, "FAILED_PRECONDITION", "", violation("KEY_DESTROYED")), gone, "FAILED_PRECONDITION", 0, ""},
		{"scheduled", faulty(400, "FAILED_PRECONDITION", "", violation("KEY_DESTROY_SCHEDULED")), gone, "FAILED_PRECONDITION", 0, ""},
		{"not generated", faulty(400, "FAILED_PRECONDITION", "", violation("KEY_PENDING_GENERATION")), unavailable, "FAILED_PRECONDITION", 0, ""},
		{"another's precondition", faulty(400, "FAILED_PRECONDITION", "", violation("TOS")), refused, "FAILED_PRECONDITION", 0, ""},
		{"not there", faulty(404, "NOT_FOUND", ""), gone, "NOT_FOUND", 0, ""},
		{"not known to another", says(404, "404 page not found"), refused, "404", 0, ""},
		{"teapot", says(418, `[{"error":{"status":"no constant"}}]`), refused, "418", 0, ""},
		{"redirect", says(307, "", "Location", "/elsewhere"), malformed, "307", 0, ""},
		{"not modified", says(304, ""), malformed, "304", 0, ""},
		{"no content", says(204, ""), malformed, "", 0, "it is of"},
		{"empty", says(200, ""), malformed, "", 0, "not the JSON"},
		{"null", says(200, "null"), malformed, "", 0, "null"},
		{"an array", says(200, "[]"), malformed, "", 0, "not the JSON"},
		{"HTML", says(200, "<html></html>"), malformed, "", 0, "not the JSON"},
		{"half", says(200, `{"name":`), malformed, "", 0, "not the JSON"},
		{"nothing", says(200, "{}"), malformed, "", 0, "it is of"},
		{"oversized", says(200, `{"name":"`+strings.Repeat("x", gcpkms.MaxAnswer)+`"}`), malformed, "", 0, "more than 1048576 bytes"},
		{"oversized error", says(403, strings.Repeat("x", 2*gcpkms.MaxAnswer)), refused, "403", 0, ""},
		{"cut off", says(200, `{"name":`, "Content-Length", "1000"), unavailable, "", 0, "cut off"},
		{"hung up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, unavailable, "", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStandin()
			kms := newSigner(t, serve(t, s), s.add("k", "EC_SIGN_P256_SHA256").name, nil)
			s.set(func() {
				s.fault = func(op string, w http.ResponseWriter, r *http.Request) bool { tt.answer(w, r); return true }
			})
			sig, err := kms.Sign(t.Context(), digest(crypto.SHA256, "m"), crypto.SHA256)
			if diff := cmp.Diff(failed{"AsymmetricSign", tt.kind, tt.code}, failureOf(err)); diff != "" || sig != nil {
				t.Fatalf("Sign: %x, %v (-want +got):\n%s", sig, err, diff)
			}
			var e *signer.Error
			if errors.As(err, &e); e.RetryAfter != tt.retryAfter || e.Temporary() != (tt.kind == signer.Unavailable) {
				t.Errorf("RetryAfter = %v, want %v; Temporary = %v", e.RetryAfter, tt.retryAfter, e.Temporary())
			}
			if text := err.Error(); !strings.Contains(text, tt.message) || len(text) > 1024 || strings.ContainsAny(text, "\r\n") {
				t.Errorf("the error is %.2000q, want one line with %q", text, tt.message)
			}
			if n := s.total(); n != 2 { // with the one of New
				t.Errorf("%d calls were made, want 2", n)
			}
		})
	}
}

// T07 X07
func TestSignUnanswered(t *testing.T) {
	refusing := httptest.NewServer(http.NotFoundHandler())
	refusing.Close() // the port has no listener now
	tokens := func(code int) http.RoundTripper {
		return &oauth2.Transport{Source: tokenSource{&oauth2.RetrieveError{Response: &http.Response{StatusCode: code}, Body: []byte("the assertion")}}}
	}
	adc := func(err error) http.RoundTripper {
		client, e := httptransport.NewClient(&httptransport.Options{Credentials: auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: tokenProvider{err}}), DisableTelemetry: true})
		if e != nil {
			t.Fatal(e)
		}
		return client.Transport
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	for _, tt := range []struct {
		name    string
		url     string
		base    http.RoundTripper
		kind    signer.Kind
		message string
	}{
		{"nobody listens", refusing.URL, http.DefaultTransport, signer.Unavailable, "refused"},
		{"another's certificate", secure.URL, http.DefaultTransport, signer.Refused, "certificate"},
		{"no such host", "http://cloudkms.invalid", resolving(&net.DNSError{Err: "no such host", Name: "cloudkms.invalid"}), signer.Unavailable, "no such host"},
		{"tokens refused, oauth2", refusing.URL, tokens(400), signer.Refused, "status 400"},
		{"tokens unavailable, oauth2", refusing.URL, tokens(503), signer.Unavailable, "status 503"},
		{"tokens throttled, oauth2", refusing.URL, tokens(429), signer.Unavailable, "status 429"},
		{"tokens refused, auth", refusing.URL, adc(&auth.Error{Response: &http.Response{StatusCode: 401}, Body: []byte("the assertion")}), signer.Refused, "status 401"},
		{"tokens unavailable, auth", refusing.URL, adc(&auth.Error{Err: errors.New("the assertion")}), signer.Unavailable, "no access token"},
		{"tokens fail in another way", refusing.URL, adc(errors.New("the assertion")), signer.Unavailable, "not answered"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			service, err := gcpkms.NewService(t.Context(), &http.Client{Transport: tt.base})
			if err != nil {
				t.Fatal(err)
			}
			service.BasePath = tt.url + "/"
			_, err = gcpkms.New(t.Context(), service, versionOf, nil)
			if diff := cmp.Diff(failed{"GetPublicKey", tt.kind, ""}, failureOf(err)); diff != "" {
				t.Fatalf("New: %v (-want +got):\n%s", err, diff)
			}
			if text := err.Error(); !strings.Contains(text, tt.message) || strings.Contains(text, "the assertion") {
				t.Errorf("the error is %q, want %q in it, and no more", text, tt.message)
			}
		})
	}
	service := connect(t, refusing.URL, http.DefaultTransport)
	if _, err := gcpkms.New(t.Context(), service, versionOf, nil); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("New: %v, want %v in it", err, syscall.ECONNREFUSED)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

type tokenSource struct{ err error }

func (s tokenSource) Token() (*oauth2.Token, error) { return nil, s.err }

type tokenProvider struct{ err error }

func (p tokenProvider) Token(context.Context) (*auth.Token, error) { return nil, p.err }

// resolving fails as a resolver does.
func resolving(err error) http.RoundTripper { return roundTripper{err} }

type roundTripper struct{ err error }

func (r roundTripper) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: r.err}
}

// A call ends after the guard's Timeout, whether or not the service answers.
//
// X07
func TestSignTimeout(t *testing.T) {
	s := newStandin()
	service, version := serve(t, s), s.add("k", "EC_SIGN_P256_SHA256").name
	kms := newSigner(t, service, version, signer.NewGuard(signer.Limits{Timeout: 2 * time.Second}))
	s.set(func() {
		s.fault = func(op string, w http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done() // it never answers
			return true
		}
	})
	_, err := kms.Sign(t.Context(), digest(crypto.SHA256, "m"), crypto.SHA256)
	if !errors.Is(err, context.DeadlineExceeded) || failureOf(err).Kind != signer.Unavailable {
		t.Errorf("Sign after the guard's Timeout: %v", err)
	}
}

// After failures in a row the service is left alone, by all keys that share the
// guard.
func TestSignGuarded(t *testing.T) {
	s := newStandin()
	service, guard := serve(t, s), signer.NewGuard(signer.Limits{})
	one := newSigner(t, service, s.add("one", "EC_SIGN_P256_SHA256").name, guard)
	two := newSigner(t, service, s.add("two", "EC_SIGN_P256_SHA256").name, guard)
	s.set(func() {
		s.fault = func(op string, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Retry-After", "20")
			(&fault{code: 429, status: "RESOURCE_EXHAUSTED"}).write(w)
			return true
		}
	})
	for range 3 {
		for _, kms := range []*gcpkms.Signer{one, two} {
			if _, err := kms.Sign(t.Context(), digest(crypto.SHA256, "m"), crypto.SHA256); failureOf(err).Kind != signer.Unavailable {
				t.Errorf("Sign: %v", err)
			}
		}
	}
	if n := s.count("AsymmetricSign"); n != 1 {
		t.Errorf("%d calls were made of a service that asked for none for 20 s, want 1", n)
	}
}
