package azure

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

const (
	provider = "azure"
	op       = "entra:token"

	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523, section 2.2

	// envAccessToken is for scripts and for the step's own requests: neither
	// the Azure CLI nor Terraform takes an access token from a variable.
	envAccessToken = "AZURE_ACCESS_TOKEN"

	// lifetime is the lifetime of the JWT. The Azure SDKs keep the text of a JWT
	// file for 10 minutes, even if the file changes.
	lifetime   = 30 * time.Minute
	maxSubject = 255 // bytes: OpenID Connect Core 1.0, section 2; Entra would take 600

	// propagating is the wait before another try while Entra may not know a
	// new federated credential everywhere.
	propagating = 5 * time.Second
)

// Exchanger exchanges JWTs for access tokens of one application in Microsoft
// Entra. It implements [exchange.Exchanger] and [exchange.FileSourced], keeps no
// token, and is safe for concurrent use.
type Exchanger struct {
	config  Config
	client  tokenhttp.Client
	trusted atomic.Bool // Entra has matched a federated credential once
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

// Config returns the settings with every default filled in. The caller owns it.
func (e *Exchanger) Config() Config { return e.config.clone() }

// Profile describes the JWT for Entra: signed with RS256, the only algorithm
// that Entra accepts. It lives for 30 minutes, because the Azure SDKs use the
// text of a file for 10 minutes after they read it. The issuer's MaxLifetime
// must allow that.
func (e *Exchanger) Profile() oidctoken.Profile {
	return oidctoken.Profile{
		Subject:    e.config.Subject,
		MaxSubject: maxSubject,
		Lifetime:   lifetime,
		Algorithms: []string{"RS256"},
	}
}

// Audience returns the "aud" of the JWT.
func (e *Exchanger) Audience() string { return e.config.Audience }

// Cloud is "azure". A broker knows by it which functions a connector is for.
func (e *Exchanger) Cloud() string { return "azure" }

// Exchange exchanges a JWT for an access token: the client credentials grant with
// the JWT as client assertion (RFC 6749, section 4.4; RFC 7523, section 2.2).
// The credential's one variable is AZURE_ACCESS_TOKEN. Its expiry is what Entra
// said.
//
// A network error, the statuses 408, 429, 500, 502, 503 and 504, and refusals
// because Entra could not read the issuer's keys or does not know the JWT's key
// yet are retried until Config.Budget has passed, each time with a new JWT from
// r.Subject. That no federated credential matches is retried for 17 seconds, 5
// seconds apart, until the Exchanger has succeeded once: Entra takes minutes to
// know a new one everywhere. Until then the error is temporary, too. That the JWT
// has expired is retried once.
//
// r.Scopes, if not nil, is one RESOURCE/.default. r.SessionName is not used.
//
// Exchange fails with a [*oidctoken.ConfigError] when Entra would refuse r or
// the JWT that r.Subject returned, with the error of r.Subject unchanged, with
// an error that wraps the error of ctx, or with an [*exchange.Error].
func (e *Exchanger) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	scopes := r.Scopes
	switch {
	case r.Subject == nil:
		return nil, configError("Request.Subject", "is required")
	case scopes == nil:
		scopes = e.config.Scopes
	case len(scopes) == 0:
		return nil, configError("Request.Scopes", "is empty, but not nil")
	}
	if err := checkScopes("Request.Scopes", scopes); err != nil {
		return nil, err
	}
	var t token
	call := e.client.Call()
	err := tokenhttp.Retry(ctx, e.config.Budget, func(ctx context.Context) (err error) {
		t, err = e.token(ctx, call, r.Subject, scopes[0])
		return err
	}, again())
	if err != nil {
		return nil, err
	}
	return exchange.NewCredential(t.expires, map[string]string{envAccessToken: t.value}), nil
}

// token is a secret with its expiry. It never leaves this package.
type token struct {
	value   string
	expires time.Time
}

// token gets a JWT and exchanges it, once.
func (e *Exchanger) token(ctx context.Context, call *tokenhttp.Call, subject exchange.SubjectToken, scope string) (token, error) {
	text, err := subject(ctx, e.config.Audience)
	if err != nil {
		return token{}, err
	}
	// A JWT that Entra would refuse is not sent: the host gets the reason at once.
	j, ok := decodeJWT(text)
	if !ok {
		return token{}, configError("Request.Subject", "did not return a compact JWT with a string for iss, sub and aud and an integer for iat and exp")
	}
	if reason := j.check(e.config.Audience); reason != "" {
		return token{}, configError("Request.Subject", reason)
	}
	call.Hide(text)
	asked := e.config.Now()
	answer, err := e.post(ctx, call, url.Values{
		"grant_type":            {"client_credentials"},
		"client_id":             {e.config.ClientID},
		"scope":                 {scope},
		"client_assertion_type": {assertionType},
		"client_assertion":      {text},
	}, &j)
	if err != nil {
		return token{}, err
	}
	t, err := parseToken(answer, asked)
	if err != nil {
		return token{}, malformed(err)
	}
	e.trusted.Store(true)
	return t, nil
}

// parseToken reads the answer of RFC 6749, section 5.1. The expiry counts from
// when the request began, so that it is never late. Entra's version 1, which is
// not asked, wrote expires_in as a string; version 2 writes a number.
func parseToken(body []byte, asked time.Time) (token, error) {
	var a struct {
		AccessToken string          `json:"access_token"`
		TokenType   string          `json:"token_type"`
		ExpiresIn   json.RawMessage `json:"expires_in"`
	}
	if err := tokenhttp.DecodeJSON(body, &a); err != nil {
		return token{}, err
	}
	if err := tokenhttp.CheckToken(a.AccessToken); err != nil {
		return token{}, err
	}
	if !strings.EqualFold(a.TokenType, "Bearer") { // RFC 6749, section 5.1
		return token{}, errTokenType
	}
	left, err := tokenhttp.ExpiresIn(a.ExpiresIn)
	if err != nil {
		return token{}, err
	}
	return token{value: a.AccessToken, expires: asked.Add(left)}, nil
}
