package azure_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oidctoken/oidctoken/azure"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenant   = "11111111-2222-3333-4444-555555555555"
	client   = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
	issuer   = "https://ci.example.com"
	subject  = "account/acme"
	audience = "api://AzureADTokenExchange"
	armScope = "https://management.azure.com/.default"
	tokenURL = "https://login.microsoftonline.com/" + tenant + "/oauth2/v2.0/token"
)

// call is a request that Entra got.
type call struct {
	Method, URL, ContentType, Accept string
	Authorization                    []string // of the header; nil if it is missing
	Body                             string
}

// answer is Entra's answer to one request.
type answer struct {
	status int // 0 is 200
	header http.Header
	body   string
	delay  time.Duration
}

// entra returns the answers one after the other, repeats the last one, and
// records the requests.
type entra struct {
	answers []answer

	mu    sync.Mutex
	calls []call
}

func (e *entra) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	e.mu.Lock()
	a := e.answers[min(len(e.calls), len(e.answers)-1)]
	e.calls = append(e.calls, call{
		r.Method, r.URL.String(), r.Header.Get("Content-Type"), r.Header.Get("Accept"), r.Header["Authorization"], string(body),
	})
	e.mu.Unlock()
	if a.delay > 0 {
		timer := time.NewTimer(a.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	maps.Copy(w.Header(), a.header)
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	io.WriteString(w, a.body)
}

func (e *entra) asked() []call {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]call(nil), e.calls...)
}

// granted returns a good answer of the token endpoint.
func granted(token string) answer {
	return answer{body: fmt.Sprintf(`{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":%q}`, token)}
}

// refused returns an answer of the token endpoint, as Entra words it.
func refused(status int, name string, code int, words string) answer {
	body, err := json.Marshal(map[string]any{
		"error":             name,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: 0", code, words),
		"error_codes":       []int{code},
		"timestamp":         "2026-03-01 12:00:00Z",
		"trace_id":          "0",
		"correlation_id":    "1",
		"error_uri":         "https://login.microsoftonline.com/error",
	})
	if err != nil {
		panic(err) // of strings and numbers
	}
	return answer{status: status, body: string(body)}
}

// newExchanger returns an Exchanger that talks to h in this process.
func newExchanger(t testing.TB, h http.Handler, c azure.Config) *azure.Exchanger {
	t.Helper()
	if c.TenantID == "" {
		c.TenantID = tenant
	}
	c.ClientID, c.Transport = client, cloudtest.InProcess{Handler: h}
	e, err := azure.New(c)
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
	return m.Mint(map[string]any{"alg": "RS256", "kid": "k1", "typ": "JWT"}, m.header, map[string]any{"iss": issuer, "sub": subject, "aud": aud, "iat": now, "exp": now + 1800}, m.claims), nil
}

// exchangeError returns the error of an exchange that must fail.
func exchangeError(t *testing.T, e *azure.Exchanger, r exchange.Request) error {
	t.Helper()
	c, err := e.Exchange(t.Context(), r)
	if err == nil || c != nil {
		t.Fatalf("Exchange = %v, %v; want no credential and an error", c, err)
	}
	return err
}
