package aws_test

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	roleARN     = "arn:aws:iam::123456789012:role/deployer"
	region      = "eu-west-1"
	accessKeyID = "ASIAEXAMPLEEXAMPLE12"
	secretKey   = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	sessionName = "acme-release-42"
)

// sessionToken has the length of AWS's session tokens.
var sessionToken = "FwoGZXIvYXdz" + strings.Repeat("x/+=", 80)

// call is a request that STS got.
type call struct {
	Method, URL, ContentType, Accept string
	Authorization                    []string // of the header; nil if it is missing
	Body                             string
}

// answer is STS's answer to one request.
type answer struct {
	status int // 0 is 200
	header http.Header
	body   string
}

// sts returns the answers one after the other, repeats the last one, and
// records the requests.
type sts struct {
	answers []answer

	mu    sync.Mutex
	calls []call
}

func (s *sts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	s.mu.Lock()
	a := s.answers[min(len(s.calls), len(s.answers)-1)]
	s.calls = append(s.calls, call{
		r.Method, r.URL.String(), r.Header.Get("Content-Type"), r.Header.Get("Accept"), r.Header["Authorization"], string(body),
	})
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/xml")
	maps.Copy(w.Header(), a.header)
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	io.WriteString(w, a.body)
}

func (s *sts) asked() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]call(nil), s.calls...)
}

func escape(s string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		panic(err) // a Builder takes everything
	}
	return b.String()
}

// granted returns a good answer of STS, of the members of the credentials.
func granted(id, secret, token, expiration string) answer {
	return answer{body: `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <Audience>sts.amazonaws.com</Audience>
    <AssumedRoleUser><AssumedRoleId>AROAEXAMPLE:` + sessionName + `</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/deployer/` + sessionName + `</Arn></AssumedRoleUser>
    <Provider>arn:aws:iam::123456789012:oidc-provider/ci.example.com</Provider>
    <Credentials>
      <AccessKeyId>` + escape(id) + `</AccessKeyId>
      <SecretAccessKey>` + escape(secret) + `</SecretAccessKey>
      <SessionToken>` + escape(token) + `</SessionToken>
      <Expiration>` + escape(expiration) + `</Expiration>
    </Credentials>
    <SubjectFromWebIdentityToken>account/acme</SubjectFromWebIdentityToken>
  </AssumeRoleWithWebIdentityResult>
  <ResponseMetadata><RequestId>ad4156e9-bce1-11e2-82e6-6b6efEXAMPLE</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>
`}
}

// good returns the answer for a session that ends then.
func good(expires time.Time) answer {
	return granted(accessKeyID, secretKey, sessionToken, expires.UTC().Format(time.RFC3339))
}

// refused returns an error of STS.
func refused(status int, code, message string) answer {
	return answer{status: status, body: `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>` +
		escape(code) + `</Code><Message>` + escape(message) + `</Message></Error><RequestId>ad4156e9</RequestId></ErrorResponse>`}
}

// newExchanger returns an Exchanger that talks to h in this process.
func newExchanger(t testing.TB, h http.Handler, c aws.Config) *aws.Exchanger {
	t.Helper()
	if c.RoleARN == "" {
		c.RoleARN = roleARN
	}
	if c.Region == "" {
		c.Region = region
	}
	c.Transport = cloudtest.InProcess{Handler: h}
	e, err := aws.New(c)
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
	return m.Mint(map[string]any{"alg": "ES256", "kid": "k1", "typ": "JWT"}, m.header, map[string]any{"iss": "https://ci.example.com", "sub": "account/acme", "aud": aud, "iat": now, "nbf": now - 60, "exp": now + 900,
		"https://aws.amazon.com/roles": roleARN}, m.claims), nil
}

// request returns a good one.
func (m *minter) request() exchange.Request {
	return exchange.Request{Subject: m.subject, SessionName: sessionName}
}

// exchangeError returns the error of an exchange that must fail.
func exchangeError(t *testing.T, e *aws.Exchanger, r exchange.Request) error {
	t.Helper()
	c, err := e.Exchange(t.Context(), r)
	if err == nil || c != nil {
		t.Fatalf("Exchange = %v, %v; want no credential and an error", c, err)
	}
	return err
}

// configError returns err as one, or nil.
func configError(err error) *oidctoken.ConfigError {
	var e *oidctoken.ConfigError
	errors.As(err, &e)
	return e
}
