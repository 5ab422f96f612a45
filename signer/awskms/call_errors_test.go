package awskms_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/awskms"
)

// answers writes the same answer to everything.
func answers(status int, body string, header ...string) func(string, http.ResponseWriter, *http.Request) bool {
	return func(_ string, w http.ResponseWriter, _ *http.Request) bool {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
		return true
	}
}

func errorBody(code string) string {
	return `{"__type":"` + code + `","message":"what KMS says"}`
}

// T07 X07: every answer of KMS leads to an error of a kind, after one request.
func TestSignFails(t *testing.T) {
	s := newStandin(t)
	k := s.signingKey("ECC_NIST_P256")
	signature := base64.StdEncoding.EncodeToString(must(k.private.Sign(nil, make([]byte, 32), crypto.SHA256)))
	answer := func(arn, algorithm, signature string) string {
		return `{"KeyId":"` + arn + `","SigningAlgorithm":"` + algorithm + `","Signature":"` + signature + `"}`
	}
	hangUp := func(string, http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
	cut := func(_ string, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, `{"KeyId":`)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	for _, tt := range []struct {
		name       string
		answer     func(string, http.ResponseWriter, *http.Request) bool
		want       signer.Kind
		code       string
		retryAfter time.Duration
	}{
		{"throttled", answers(400, errorBody("ThrottlingException"), "Retry-After", "7"), signer.Unavailable, "ThrottlingException", 7 * time.Second},
		{"throttled without an end", answers(400, errorBody("ThrottlingException"), "Retry-After", "99999999999"), signer.Unavailable, "ThrottlingException", 30 * time.Second},
		{"throttled until yesterday", answers(429, "", "Retry-After", "Thu, 01 Jan 1970 00:00:00 GMT"), signer.Unavailable, "", 0},
		{"throttled by another name", answers(400, errorBody("TooManyRequestsException")), signer.Unavailable, "TooManyRequestsException", 0},
		{"internal", answers(500, errorBody("KMSInternalException")), signer.Unavailable, "KMSInternalException", 0},
		{"dependency", answers(503, errorBody("com.amazonaws.kms#DependencyTimeoutException")), signer.Unavailable, "DependencyTimeoutException", 0},
		{"key unavailable", answers(500, errorBody("KeyUnavailableException")), signer.Unavailable, "KeyUnavailableException", 0},
		{"unknown of the server", answers(500, errorBody("NewException")), signer.Unavailable, "NewException", 0},
		{"a proxy's page", answers(502, "<html>Bad Gateway</html>", "Retry-After", "1"), signer.Unavailable, "", time.Second},
		{"hung up", hangUp, signer.Unavailable, "", 0},
		{"cut off", cut, signer.Unavailable, "", 0},

		{"denied", answers(400, errorBody("AccessDeniedException")), signer.Refused, "AccessDeniedException", 0},
		{"another usage", answers(400, errorBody("InvalidKeyUsageException")), signer.Refused, "InvalidKeyUsageException", 0},
		{"invalid", answers(400, errorBody("ValidationException")), signer.Refused, "ValidationException", 0},
		{"quota of keys", answers(400, errorBody("LimitExceededException")), signer.Refused, "LimitExceededException", 0},
		{"credentials ended", answers(400, errorBody("ExpiredTokenException")), signer.Refused, "ExpiredTokenException", 0},
		{"credentials unknown", answers(400, errorBody("UnrecognizedClientException")), signer.Refused, "UnrecognizedClientException", 0},
		{"unknown of the client", answers(400, errorBody("NewException")), signer.Refused, "NewException", 0},

		{"disabled", answers(400, errorBody("DisabledException")), signer.Gone, "DisabledException", 0},
		{"pending deletion", answers(400, errorBody("KMSInvalidStateException")), signer.Gone, "KMSInvalidStateException", 0},
		{"deleted", answers(400, errorBody("NotFoundException")), signer.Gone, "NotFoundException", 0},

		{"nothing", answers(200, ""), signer.Malformed, "", 0},
		{"null", answers(200, "null"), signer.Malformed, "", 0},
		{"no members", answers(200, "{}"), signer.Malformed, "", 0},
		{"no JSON", answers(200, "<html></html>"), signer.Malformed, "", 0},
		{"half of it", answers(200, `{"KeyId":"`), signer.Malformed, "", 0},
		{"other types", answers(200, `{"KeyId":7,"Signature":[],"SigningAlgorithm":{}}`), signer.Malformed, "", 0},
		{"no base64", answers(200, answer(k.arn, "ECDSA_SHA_256", "%%%")), signer.Malformed, "", 0},
		{"empty signature", answers(200, answer(k.arn, "ECDSA_SHA_256", "")), signer.Malformed, "", 0},
		{"short signature", answers(200, answer(k.arn, "ECDSA_SHA_256", "MAYCAQ==")), signer.Malformed, "", 0},
		{"long signature", answers(200, answer(k.arn, "ECDSA_SHA_256", base64.StdEncoding.EncodeToString(make([]byte, 74)))), signer.Malformed, "", 0},
		{"another key's ARN", answers(200, answer(k.arn+"0", "ECDSA_SHA_256", signature)), signer.Malformed, "", 0},
		{"an alias", answers(200, answer("arn:aws:kms:eu-west-1:111122223333:alias/ci", "ECDSA_SHA_256", signature)), signer.Malformed, "", 0},
		{"another algorithm", answers(200, answer(k.arn, "ECDSA_SHA_512", signature)), signer.Malformed, "", 0},
		{"too large", answers(200, `{"KeyId":"`+strings.Repeat("x", 2<<20)), signer.Malformed, "", 0},
		{"too large an error", answers(400, `{"__type":"`+strings.Repeat("x", 2<<20)), signer.Malformed, "", 0},
		{"refused in a way of its own", answers(403, "<html>Forbidden</html>"), signer.Malformed, "", 0},
		{"refused without a code", answers(400, "{}"), signer.Malformed, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStandin(t)
			k := s.signingKey("ECC_NIST_P256")
			signing := must(awskms.New(t.Context(), s.client(t, patient), k.arn, nil))
			s.answer = tt.answer
			digest := sha256.Sum256([]byte("message"))
			sig, err := signing.Sign(t.Context(), digest[:], crypto.SHA256)
			wantError(t, err, "Sign", tt.want, tt.code)
			var e *signer.Error
			if errors.As(err, &e); e.RetryAfter != tt.retryAfter || sig != nil {
				t.Errorf("RetryAfter %v, %d bytes; want %v and none", e.RetryAfter, len(sig), tt.retryAfter)
			}
			if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, "\n") || len(text) > 3<<10 {
				t.Errorf("the error is not one line, or too long: %q", text)
			}
			if n := s.count("Sign"); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

// patient configures a client with many retries.
func patient(o *kms.Options) {
	o.RetryMaxAttempts = 10
	o.RetryMode = aws.RetryModeAdaptive
}

// KMS's text is shown, except for the host's secrets: some implementations of
// KMS write the signed text into their messages.
func TestErrorsShow(t *testing.T) {
	s := newStandin(t)
	k := s.signingKey("ECC_NIST_P256")
	client := s.client(t)
	signing := must(awskms.New(t.Context(), client, k.arn, nil))
	s.deny = func(string, *key) bool { return true }
	digest := sha256.Sum256([]byte("message"))
	_, err := signing.Sign(t.Context(), digest[:], crypto.SHA256)
	const want = "awskms: Sign: refused: AccessDeniedException: User: arn:aws:sts::111122223333:assumed-role/ci/host is not authorized to perform: kms:Sign " +
		"on resource: arn:aws:kms:eu-west-1:111122223333:key/00000001-12ab-34cd-56ef-1234567890ab (request ID 7a1b2c3d-0000-4000-8000-000000000000)"
	if fmt.Sprint(err) != want {
		t.Errorf("error\n%v, want\n%s", err, want)
	}

	var authorization string
	s.answer = func(_ string, w http.ResponseWriter, r *http.Request) bool {
		body, _ := io.ReadAll(r.Body)
		authorization = r.Header.Get("Authorization")
		echo := fmt.Sprintf("x-amz-security-token:%s\n%s\n%s", r.Header.Get("X-Amz-Security-Token"), authorization, body)
		refuse("InvalidSignatureException", "%s", echo).write(w)
		return true
	}
	dataKey := []byte("0123456789abcdefghijklmnopqrstuv")
	wrapper := must(awskms.NewWrapper(client, k.arn, nil))
	_, signErr := signing.Sign(t.Context(), digest[:], crypto.SHA256)
	_, wrapErr := wrapper.Wrap(t.Context(), dataKey, []byte("ring"))
	for _, err := range []error{signErr, wrapErr} {
		for e := err; e != nil; e = errors.Unwrap(e) {
			for _, secret := range []string{credentials.SessionToken, authorization[len(authorization)-64:],
				base64.StdEncoding.EncodeToString(digest[:]), base64.StdEncoding.EncodeToString(dataKey)} {
				if text := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(text, secret[:16]) || strings.Contains(text, secret[len(secret)-16:]) {
					t.Errorf("the error shows %q: %s", secret, text)
				}
			}
		}
		wantError(t, err, map[error]string{signErr: "Sign", wrapErr: "Encrypt"}[err], signer.Refused, "InvalidSignatureException")
	}
}

func TestNetworkFails(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		s := newStandin(t)
		client, arn := s.client(t), s.signingKey("ECC_NIST_P256").arn
		s.Close()
		_, err := awskms.New(t.Context(), client, arn, nil)
		wantError(t, err, "GetPublicKey", signer.Unavailable, "")
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("error %v, want one that is %v", err, syscall.ECONNREFUSED)
		}
	})
	t.Run("no credentials", func(t *testing.T) {
		s := newStandin(t)
		want := errors.New("the metadata service is away")
		client := s.client(t, func(o *kms.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, want })
		})
		_, err := awskms.New(t.Context(), client, s.signingKey("ECC_NIST_P256").arn, nil)
		wantError(t, err, "GetPublicKey", signer.Unavailable, "")
		if !errors.Is(err, want) {
			t.Errorf("error %v, want %v in it", err, want)
		}
	})
}

// X05: neither the digest nor the session token goes to a second host, with any
// HTTP client of the host.
func TestRedirect(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			second := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the second host was asked") }))
			defer second.Close()
			s := newStandin(t)
			arn := s.signingKey("ECC_NIST_P256").arn
			s.answer = answers(status, "{}", "Location", second.URL)
			for name, client := range map[string]*kms.Client{
				"own":     s.client(t),
				"default": s.client(t, func(o *kms.Options) { o.HTTPClient = sdkClient(t) }),
			} {
				_, err := awskms.New(t.Context(), client, arn, nil)
				wantError(t, err, "GetPublicKey", signer.Malformed, "")
				if t.Failed() {
					t.Logf("with the client %s", name)
				}
			}
		})
	}
}
