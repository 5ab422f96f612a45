package aws

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// The variables that the AWS CLI and the SDKs read.
const (
	envAccessKeyID   = "AWS_ACCESS_KEY_ID"
	envSecret        = "AWS_SECRET_ACCESS_KEY" // #nosec G101 -- a name
	envToken         = "AWS_SESSION_TOKEN"     // #nosec G101 -- a name
	envAccountID     = "AWS_ACCOUNT_ID"
	envRegion        = "AWS_REGION"
	envDefaultRegion = "AWS_DEFAULT_REGION"
)

// Exchanger exchanges JWTs for sessions of one role. It implements
// [exchange.Exchanger] and [exchange.FileSourced], keeps no credential, and is
// safe for concurrent use.
type Exchanger struct {
	config Config
	role   arn
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
	role, _ := parseRole(c.RoleARN) // it was checked
	return &Exchanger{
		config: c,
		role:   role,
		client: tokenhttp.Client{Transport: c.Transport, Timeout: c.Timeout},
	}, nil
}

// Audience returns the "aud" of the JWT.
func (e *Exchanger) Audience() string { return e.config.Audience }

// Cloud is "aws": a step can be given one connector of a cloud.
func (e *Exchanger) Cloud() string { return "aws" }

// Exchange gets a session of the role for a JWT (AssumeRoleWithWebIdentity of
// the STS API, version 2011-06-15). The credential's variables are
// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, and, for the
// tools, AWS_ACCOUNT_ID, AWS_REGION and AWS_DEFAULT_REGION, which are not
// secret. The credential expires at the time that AWS returned, and at most
// Config.Lifetime from now.
//
// r.SessionName is required: [SessionName] makes one. r.Scopes must be empty,
// because AWS has no scopes.
//
// A network error, the statuses 408, 429, 500, 502, 503 and 504, throttling,
// IDPCommunicationError, and InvalidIdentityToken because AWS could not get the
// issuer's keys are retried until Config.Budget has passed, each time with a new
// JWT from r.Subject. Other words of InvalidIdentityToken are retried for 17 s,
// since a key may be too new for AWS, unless they name an error of the
// configuration or of a clock. ExpiredTokenException is retried once.
//
// Exchange fails with a [*oidctoken.ConfigError] when AWS would refuse r or the
// JWT that r.Subject returned, with the error of r.Subject unchanged, with an
// error that wraps the error of ctx, or with an [*exchange.Error].
func (e *Exchanger) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	switch {
	case r.Subject == nil:
		return nil, configError("Request.Subject", "is required")
	case r.SessionName == "":
		return nil, configError("Request.SessionName", "is required: make one for the execution, as SessionName does")
	case !isName(r.SessionName):
		return nil, configError("Request.SessionName", "is not of 2 to 64 letters, digits and _+=,.@-")
	case len(r.Scopes) > 0:
		return nil, configError("Request.Scopes", "is not empty, and AWS has no OAuth scopes: use Config.SessionPolicy")
	}
	var s session
	call := e.client.Call()
	err := tokenhttp.Retry(ctx, e.config.Budget, func(ctx context.Context) (err error) {
		s, err = e.assume(ctx, call, r)
		return err
	}, again())
	if err != nil {
		return nil, err
	}
	return exchange.NewCredential(s.expires, map[string]string{
		envAccessKeyID:   s.accessKeyID,
		envSecret:        s.secret,
		envToken:         s.token,
		envAccountID:     e.role.account,
		envRegion:        e.config.Region,
		envDefaultRegion: e.config.Region,
	}, envAccountID, envRegion, envDefaultRegion), nil
}

// assume gets a JWT and exchanges it, once.
func (e *Exchanger) assume(ctx context.Context, call *tokenhttp.Call, r exchange.Request) (session, error) {
	text, err := r.Subject(ctx, e.config.Audience)
	if err != nil {
		return session{}, err
	}
	// A JWT that AWS would refuse is not sent: the host gets the reason at once.
	j, reason := e.checkJWT(text)
	if reason != "" {
		return session{}, configError("Request.Subject", reason)
	}
	call.Hide(text)
	asked := e.config.Now()
	answer, err := e.post(ctx, call, e.form(r.SessionName, text), &j)
	if err != nil {
		return session{}, err
	}
	return parseSession(answer, asked, e.config.Lifetime)
}

func (e *Exchanger) form(sessionName, jwt string) url.Values {
	form := url.Values{
		"Action":           {"AssumeRoleWithWebIdentity"},
		"Version":          {"2011-06-15"},
		"RoleArn":          {e.config.RoleARN},
		"RoleSessionName":  {sessionName},
		"WebIdentityToken": {jwt},
		"DurationSeconds":  {strconv.Itoa(int(e.config.Lifetime / time.Second))},
	}
	if e.config.SessionPolicy != "" {
		form.Set("Policy", e.config.SessionPolicy)
	}
	for i, policy := range e.config.PolicyARNs {
		form.Set("PolicyArns.member."+strconv.Itoa(i+1)+".arn", policy)
	}
	return form
}
