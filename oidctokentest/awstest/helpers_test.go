package awstest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/oidctokentest/awstest"
	"github.com/oidctoken/oidctoken/oidctokentest/internal/standintest"
)

const (
	awsAccount = "123456789012"
	awsRole    = "arn:aws:iam::123456789012:role/ci/deployer"
	awsRegion  = "eu-west-1"
	awsSession = "acme-release-42"

	awsTags   = "https://aws.amazon.com/tags"
	awsRoles  = "https://aws.amazon.com/roles"
	awsSource = "https://aws.amazon.com/source_identity"
)

// awsCloud is a stand-in, with an issuer that it trusts.
type awsCloud struct {
	*awstest.Server
	issuer *oidctokentest.Issuer
	key    oidctoken.Key // RS256, of the issuer
	kid    string
}

// newAWS returns a stand-in with one role, which may have everything.
func newAWS(t testing.TB, change ...func(*awstest.Config)) *awsCloud {
	t.Helper()
	a := &awsCloud{key: standintest.RSAKey(t)}
	a.issuer = oidctokentest.NewIssuer(t, func(c *oidctoken.Config) {
		c.Keys = append(oidctoken.StaticKeys{a.key}, oidctokentest.NewKey(t, "ES256"))
	})
	var err error
	if a.kid, err = jose.Thumbprint(a.key.Signer.Public()); err != nil {
		t.Fatal(err)
	}
	c := awsConfig(a.issuer.URL)
	for _, f := range change {
		f(&c)
	}
	if a.Server, err = awstest.New(c); err != nil {
		t.Fatal(err)
	}
	return a
}

func awsConfig(issuer string) awstest.Config {
	return awstest.Config{
		Providers: []awstest.Provider{{Account: awsAccount, Issuer: issuer, ClientIDs: []string{"other", "sts.amazonaws.com"}}},
		Roles: []awstest.Role{{
			ARN:                awsRole,
			MaxSessionDuration: 2 * time.Hour,
			Trust: []awstest.Trust{{
				Provider:     issuer,
				StringEquals: map[string][]string{"aud": {"sts.amazonaws.com"}},
				StringLike:   map[string][]string{"sub": {"account/acme", "account/acme:*"}},
				TagSession:   true, SetSourceIdentity: true,
			}},
		}},
	}
}

// awsRequest is an AssumeRoleWithWebIdentity, with what its JWT is made of.
type awsRequest struct {
	method, path, body string // body replaces form
	form               url.Values
	header             http.Header
	jose, claims       map[string]any
	jwt                func(string) string // changes the JWT
	key                oidctoken.Key
}

func (a *awsCloud) request() *awsRequest {
	now := time.Now().Unix()
	return &awsRequest{
		method: http.MethodPost, path: "/",
		form: url.Values{
			"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
			"RoleArn": {awsRole}, "RoleSessionName": {awsSession},
		},
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}},
		jose:   map[string]any{"alg": "RS256", "kid": a.kid, "typ": "JWT"},
		claims: map[string]any{"iss": a.issuer.URL, "sub": "account/acme", "aud": "sts.amazonaws.com", "iat": now, "nbf": now - 60, "exp": now + 900},
		key:    a.key,
	}
}

// send signs the JWT, sends r and returns the answer.
func (a *awsCloud) send(t testing.TB, r *awsRequest) *httptest.ResponseRecorder {
	t.Helper()
	if !r.form.Has("WebIdentityToken") {
		jwt := standintest.Sign(t, r.key, r.jose, r.claims)
		if r.jwt != nil {
			jwt = r.jwt(jwt)
		}
		r.form.Set("WebIdentityToken", jwt)
	}
	body := r.body
	if body == "" {
		body = r.form.Encode()
	}
	return standintest.Call(t, a, r.method, r.path, r.header, body)
}

// awsKeys are credentials that STS gave.
type awsKeys struct {
	AccessKeyID     string    `xml:"AssumeRoleWithWebIdentityResult>Credentials>AccessKeyId"`
	SecretAccessKey string    `xml:"AssumeRoleWithWebIdentityResult>Credentials>SecretAccessKey"`
	SessionToken    string    `xml:"AssumeRoleWithWebIdentityResult>Credentials>SessionToken"`
	Expiration      time.Time `xml:"AssumeRoleWithWebIdentityResult>Credentials>Expiration"`
}

// assume sends r and returns the credentials.
func (a *awsCloud) assume(t testing.TB, r *awsRequest) (keys awsKeys) {
	t.Helper()
	answer := a.send(t, r)
	if answer.Code != http.StatusOK || xml.Unmarshal(answer.Body.Bytes(), &keys) != nil || keys.AccessKeyID == "" {
		t.Fatalf("STS answered %d: %s", answer.Code, answer.Body)
	}
	return keys
}

// awsRefusal is an error of STS.
type awsRefusal struct {
	XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
	Type    string   `xml:"Error>Type"`
	Code    string   `xml:"Error>Code"`
	Message string   `xml:"Error>Message"`
}

func readAWSRefusal(t testing.TB, w *httptest.ResponseRecorder) (r awsRefusal) {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != "text/xml" {
		t.Errorf("Content-Type = %q, want text/xml", got)
	}
	if err := xml.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatalf("STS answered %d %s: %v", w.Code, w.Body, err)
	}
	return r
}

// awsCall is a request that is signed with Signature Version 4.
type awsCall struct {
	keys                    awsKeys
	time                    time.Time
	scope                   [4]string // date, Region, service, end
	header                  http.Header
	signed                  []string
	body                    string
	method, path            string
	authorization, sentBody func(string) string // change the request after it was signed
}

// identity returns a GetCallerIdentity of a client that got keys.
func identity(keys awsKeys) *awsCall {
	now := time.Now().UTC()
	return &awsCall{
		keys: keys, time: now, scope: [4]string{now.Format("20060102"), awsRegion, "sts", "aws4_request"},
		header: http.Header{
			"Content-Type":         {"application/x-www-form-urlencoded; charset=utf-8"},
			"X-Amz-Date":           {now.Format("20060102T150405Z")},
			"X-Amz-Security-Token": {keys.SessionToken},
		},
		signed: []string{"content-type", "host", "x-amz-date", "x-amz-security-token"},
		body:   "Action=GetCallerIdentity&Version=2011-06-15", method: http.MethodPost, path: "/",
	}
}

// call signs c by the documentation of Signature Version 4, and sends it.
func (a *awsCloud) call(t testing.TB, c *awsCall) *httptest.ResponseRecorder {
	t.Helper()
	canonical := c.method + "\n" + c.path + "\n\n"
	for _, name := range c.signed {
		value := strings.Join(c.header.Values(name), ",")
		if name == "host" {
			value = "example.com" // of httptest
		}
		canonical += name + ":" + value + "\n"
	}
	signed := strings.Join(c.signed, ";")
	canonical += "\n" + signed + "\n" + sum(c.body)
	scope := strings.Join(c.scope[:], "/")
	key := []byte("AWS4" + c.keys.SecretAccessKey)
	for _, part := range append(slices.Clone(c.scope[:]), "AWS4-HMAC-SHA256\n"+c.header.Get("X-Amz-Date")+"\n"+scope+"\n"+sum(canonical)) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	authorization := "AWS4-HMAC-SHA256 Credential=" + c.keys.AccessKeyID + "/" + scope + ", SignedHeaders=" + signed + ", Signature=" + hex.EncodeToString(key)
	if c.authorization != nil {
		authorization = c.authorization(authorization)
	}
	header := c.header.Clone()
	if authorization != "" {
		header["Authorization"] = []string{authorization}
	}
	body := c.body
	if c.sentBody != nil {
		body = c.sentBody(body)
	}
	return standintest.Call(t, a, c.method, c.path, header, body)
}

func sum(s string) string {
	digest := sha256.Sum256([]byte(s))
	return hex.EncodeToString(digest[:])
}
