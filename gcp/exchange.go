package gcp

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

const (
	grantType       = "urn:ietf:params:oauth:grant-type:token-exchange"
	tokenTypeAccess = "urn:ietf:params:oauth:token-type:access_token"
	tokenTypeJWT    = "urn:ietf:params:oauth:token-type:jwt"
	tokenTypeID     = "urn:ietf:params:oauth:token-type:id_token"

	maxSubject = 127 // bytes of google.subject

	opToken       = "sts:token"
	opAccessToken = "iamcredentials:generateAccessToken"
	opIDToken     = "iamcredentials:generateIdToken"
)

// Exchanger exchanges JWTs for access tokens of one identity in Google Cloud. It
// implements [exchange.Exchanger] and [exchange.FileSourced], keeps no token,
// and is safe for concurrent use.
type Exchanger struct {
	config Config
	client tokenhttp.Client
}

var (
	_ exchange.Exchanger   = (*Exchanger)(nil)
	_ exchange.FileSourced = (*Exchanger)(nil)
)

// New returns an Exchanger for a copy of c. It makes no request. It fails with
// a [*oidctoken.ConfigError].
func New(c Config) (*Exchanger, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	return &Exchanger{
		config: c,
		client: tokenhttp.Client{Transport: c.Transport, Timeout: c.Timeout},
	}, nil
}

// Config returns the settings with every default filled in, except that a
// Lifetime of zero stays zero. The caller owns it.
func (e *Exchanger) Config() Config { return e.config.clone() }

// Profile describes the JWT that Google takes: signed with ES256 or RS256, and
// with a "sub" of at most 127 bytes, the limit of google.subject.
//
// Without ServiceAccount the JWT lives for Config.Lifetime, 1 hour by default,
// because Google's access token never outlives it. An issuer whose MaxLifetime is
// shorter shortens it. With ServiceAccount, the JWT has the issuer's default
// lifetime.
func (e *Exchanger) Profile() oidctoken.Profile {
	p := oidctoken.Profile{
		Subject:    e.config.Subject,
		MaxSubject: maxSubject,
		Algorithms: []string{"ES256", "RS256"}, // ES256 first: it is signed many times faster
	}
	if e.config.ServiceAccount == "" {
		p.Lifetime, p.ShortenLifetime = cmp.Or(e.config.Lifetime, defaultLifetime), true
	}
	return p
}

// Audience returns the "aud" of the JWT. The "audience" of the token request is
// another one: it is the provider's name.
func (e *Exchanger) Audience() string { return e.config.Audience }

// Cloud is "gcp". A broker knows by it which functions a connector is for.
func (e *Exchanger) Cloud() string { return "gcp" }

// resource names the provider as the STS and credential files want it.
func (e *Exchanger) resource() string { return "//iam.googleapis.com/" + e.config.Provider }

// Exchange exchanges a JWT for an access token, of the service account if there
// is one (RFC 8693; projects.serviceAccounts.generateAccessToken of the IAM
// Credentials API). The credential's variables are CLOUDSDK_AUTH_ACCESS_TOKEN,
// which gcloud reads, and GOOGLE_OAUTH_ACCESS_TOKEN, which Terraform's google
// provider reads; their value is the same. With Config.Project and
// Config.QuotaProject it has their variables too, which are not secret. Its expiry
// is what Google said.
//
// A network error, the statuses 408, 429, 500, 502, 503 and 504, and the refusal
// because Google could not read the issuer's keys are retried until Config.Budget
// has passed, each time with a new JWT from r.Subject. r.SessionName is not used.
//
// Exchange fails with a [*oidctoken.ConfigError] when Google would refuse r or
// the JWT that r.Subject returned, with the error of r.Subject unchanged, with
// an error that wraps the error of ctx, or with an [*exchange.Error].
func (e *Exchanger) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	t, err := e.accessToken(ctx, r)
	if err != nil {
		return nil, err
	}
	env := e.config.projectEnv()
	plain := slices.Collect(maps.Keys(env))
	env[envAccessToken], env[envTerraformAccessToken] = t.value, t.value
	return exchange.NewCredential(t.expires, env, plain...), nil
}

const (
	envAccessToken          = "CLOUDSDK_AUTH_ACCESS_TOKEN"
	envTerraformAccessToken = "GOOGLE_OAUTH_ACCESS_TOKEN"
)

// exchangeCall is one call of an Exchanger.
type exchangeCall struct {
	*Exchanger
	subject exchange.SubjectToken
	call    *tokenhttp.Call
	sent    jwt // the last one
}

// token is a secret with its expiry. It never leaves this package.
type token struct {
	value   string
	expires time.Time
}

func (e *Exchanger) accessToken(ctx context.Context, r exchange.Request) (t token, err error) {
	if r.Subject == nil {
		return token{}, configError("Request.Subject", "is required")
	}
	scopes := r.Scopes
	switch {
	case scopes == nil:
		scopes = e.config.Scopes
	case len(scopes) == 0:
		return token{}, configError("Request.Scopes", "is empty, but not nil")
	}
	if err := checkScopes("Request.Scopes", scopes); err != nil {
		return token{}, err
	}
	tr := &exchangeCall{Exchanger: e, subject: r.Subject, call: e.client.Call()}
	if e.config.ServiceAccount != "" {
		return tr.impersonate(ctx, func(ctx context.Context, federated token) (token, error) {
			return tr.generateAccessToken(ctx, federated, scopes)
		})
	}
	err = tokenhttp.Retry(ctx, e.config.Budget, func(ctx context.Context) error {
		t, err = tr.federate(ctx, scopes)
		return err
	}, again)
	return t, err
}

// federate gets a JWT and exchanges it, once.
func (t *exchangeCall) federate(ctx context.Context, scopes []string) (token, error) {
	jwt, j, err := t.subjectToken(ctx, t.subject)
	if err != nil {
		return token{}, err
	}
	t.call.Hide(jwt)
	t.sent = j
	form := url.Values{
		"grant_type":           {grantType},
		"audience":             {t.resource()},
		"scope":                {strings.Join(scopes, " ")},
		"requested_token_type": {tokenTypeAccess},
		"subject_token":        {jwt},
		"subject_token_type":   {tokenTypeJWT},
	}
	asked := t.config.Now()
	answer, err := t.post(ctx, opToken, tokenhttp.Request{
		URL:         t.config.TokenURL,
		ContentType: "application/x-www-form-urlencoded",
		Body:        []byte(form.Encode()),
		Accept:      "application/json",
	})
	if err != nil {
		return token{}, err
	}
	federated, err := parseFederated(answer, asked)
	t.call.Hide(federated.value)
	return federated, err
}

// subjectToken gets a JWT from the host and checks it. A JWT that Google would
// refuse is not sent: the host gets the reason at once.
func (e *Exchanger) subjectToken(ctx context.Context, subject exchange.SubjectToken) (string, jwt, error) {
	text, err := subject(ctx, e.config.Audience)
	if err != nil {
		return "", jwt{}, err
	}
	j, reason := checkJWT(text, e.config.Audience)
	if reason != "" {
		return "", jwt{}, configError("SubjectToken", reason)
	}
	return text, j, nil
}

// parseFederated reads the answer of RFC 8693, section 2.2.1. The expiry
// counts from when the request began, so that it is never late.
func parseFederated(body []byte, asked time.Time) (token, error) {
	var a struct {
		AccessToken     string          `json:"access_token"`
		IssuedTokenType string          `json:"issued_token_type"`
		TokenType       string          `json:"token_type"`
		ExpiresIn       json.RawMessage `json:"expires_in"`
	}
	if err := tokenhttp.DecodeJSON(body, &a); err != nil {
		return token{}, malformed(opToken, err)
	}
	if err := tokenhttp.CheckToken(a.AccessToken); err != nil {
		return token{}, malformed(opToken, err)
	}
	if !strings.EqualFold(a.TokenType, "Bearer") { // RFC 6749, section 5.1
		return token{}, malformed(opToken, errTokenType)
	}
	if a.IssuedTokenType != tokenTypeAccess {
		return token{}, malformed(opToken, errIssuedTokenType)
	}
	lifetime, err := tokenhttp.ExpiresIn(a.ExpiresIn)
	if err != nil {
		return token{}, malformed(opToken, err)
	}
	return token{value: a.AccessToken, expires: asked.Add(lifetime)}, nil
}
