package gcp_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
)

const (
	pool           = "projects/123/locations/global/workloadIdentityPools/ci"
	provider       = pool + "/providers/acme"
	audience       = "https://iam.googleapis.com/" + provider
	serviceAccount = "deployer@acme.iam.gserviceaccount.com"
)

// inProcess serves requests without a network, so that time in a bubble of
// testing/synctest can pass.
type inProcess struct{ handler http.Handler }

func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	answered := make(chan *http.Response, 1)
	go func() {
		recorder := httptest.NewRecorder()
		t.handler.ServeHTTP(recorder, r)
		answered <- recorder.Result()
	}()
	select {
	case resp := <-answered:
		return resp, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// call is a request that Google got.
type call struct {
	Method, URL, ContentType, Accept string
	Authorization                    []string // of the header; nil if it is missing
	Body                             string
}

// answer is Google's answer to one request.
type answer struct {
	status int // 0 is 200
	header http.Header
	body   string
	delay  time.Duration
}

// google returns the answers one after the other, repeats the last one, and
// records the requests.
type google struct {
	answers []answer

	mu    sync.Mutex
	calls []call
}

func (g *google) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	g.mu.Lock()
	a := g.answers[min(len(g.calls), len(g.answers)-1)]
	g.calls = append(g.calls, call{
		r.Method, r.URL.String(), r.Header.Get("Content-Type"), r.Header.Get("Accept"), r.Header["Authorization"], string(body),
	})
	g.mu.Unlock()
	if a.delay > 0 {
		timer := time.NewTimer(a.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	maps.Copy(w.Header(), a.header)
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	io.WriteString(w, a.body)
}

func (g *google) asked() []call {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]call(nil), g.calls...)
}

// federated returns a good answer of the STS.
func federated(token string, seconds int) answer {
	return answer{body: fmt.Sprintf(`{"access_token":%q,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token",`+
		`"token_type":"Bearer","expires_in":%d}`, token, seconds)}
}

// impersonated returns a good answer of generateAccessToken.
func impersonated(token string, expires time.Time) answer {
	return answer{body: fmt.Sprintf(`{"accessToken":%q,"expireTime":%q}`, token, expires.UTC().Format(time.RFC3339))}
}

// refused returns an answer of the STS.
func refused(status int, code, description string) answer {
	return answer{status: status, body: fmt.Sprintf(`{"error":%q,"error_description":%q}`, code, description)}
}

// refusedIAM returns an answer of the IAM Credentials API.
func refusedIAM(status int, code, message string) answer {
	return answer{status: status, body: fmt.Sprintf(`{"error":{"code":%d,"message":%q,"status":%q}}`, status, message, code)}
}

// newExchanger returns an Exchanger that talks to g in this process.
func newExchanger(t testing.TB, g http.Handler, c gcp.Config) *gcp.Exchanger {
	t.Helper()
	if c.Provider == "" {
		c.Provider = provider
	}
	c.Transport = inProcess{g}
	e, err := gcp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// minter mints JWTs of the right form, each with another signature.
type minter struct {
	header, claims map[string]any // replace those of a good JWT; a nil value removes one

	mu     sync.Mutex
	minted []string
}

func (m *minter) subject(_ context.Context, aud string) (string, error) {
	now := time.Now().Unix()
	jwt := compact(
		merge(map[string]any{"alg": "ES256", "kid": "k1", "typ": "JWT"}, m.header),
		merge(map[string]any{"iss": "https://ci.example.com", "sub": "account/acme", "aud": aud, "iat": now, "exp": now + 900}, m.claims),
	)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.minted = append(m.minted, jwt)
	return jwt, nil
}

func (m *minter) jwts() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.minted...)
}

func merge(base, changes map[string]any) map[string]any {
	for name, value := range changes {
		if value == nil {
			delete(base, name)
		} else {
			base[name] = value
		}
	}
	return base
}

func compact(header, claims any) string {
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signature := make([]byte, 64)
	rand.Read(signature)
	return encode(header) + "." + encode(claims) + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// exchangeOnce is an exchange that must fail.
func exchangeError(t *testing.T, e *gcp.Exchanger, r exchange.Request) error {
	t.Helper()
	c, err := e.Exchange(t.Context(), r)
	if err == nil || c != nil {
		t.Fatalf("Exchange = %v, %v; want no credential and an error", c, err)
	}
	return err
}

// noLeak fails if anything that prints v shows 12 bytes in a row of a secret.
func noLeak(t *testing.T, v any, secrets ...string) {
	t.Helper()
	texts := []string{
		fmt.Sprintf("%v", v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), fmt.Sprintf("%s", v), fmt.Sprintf("%q", v),
	}
	if b, err := json.Marshal(v); err == nil {
		texts = append(texts, string(b))
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "v", v)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "v", v)
	texts = append(texts, logged.String())
	if err, ok := v.(error); ok {
		for e := errors.Unwrap(err); e != nil; e = errors.Unwrap(e) {
			texts = append(texts, e.Error(), fmt.Sprintf("%#v", e))
		}
	}
	for _, secret := range secrets {
		for i := 0; i+12 <= len(secret); i++ {
			for _, text := range texts {
				if strings.Contains(text, secret[i:i+12]) {
					t.Fatalf("a secret shows in %q", text)
				}
			}
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// errReset is the error of a broken connection.
var errReset = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
