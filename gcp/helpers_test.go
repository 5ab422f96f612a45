package gcp_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

const (
	pool           = "projects/123/locations/global/workloadIdentityPools/ci"
	provider       = pool + "/providers/acme"
	audience       = "https://iam.googleapis.com/" + provider
	serviceAccount = "deployer@acme.iam.gserviceaccount.com"
)

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
	c.Transport = cloudtest.InProcess{Handler: g}
	e, err := gcp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// minter mints JWTs of the right form, each with another signature.
type minter struct {
	header, claims map[string]any // replace those of a good JWT; a nil value removes one

	cloudtest.JWTs
}

func (m *minter) subject(_ context.Context, aud string) (string, error) {
	now := time.Now().Unix()
	return m.Mint(map[string]any{"alg": "ES256", "kid": "k1", "typ": "JWT"}, m.header, map[string]any{"iss": "https://ci.example.com", "sub": "account/acme", "aud": aud, "iat": now, "exp": now + 900}, m.claims), nil
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
