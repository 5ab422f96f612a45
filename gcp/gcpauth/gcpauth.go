// Package gcpauth hands what package gcp gets to clients that are built on
// cloud.google.com/go/auth, such as the Go client libraries of Google Cloud.
//
// Prefer [Credentials]. With [Options], cloud.google.com/go/auth exchanges the
// JWTs by itself: it does not retry, and its errors repeat the servers'
// answers.
package gcpauth

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials/externalaccount"
	supplier "golang.org/x/oauth2/google/externalaccount"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
)

// leastLifetime is the time that cloud.google.com/go/auth subtracts from a
// token's life. For it, a token with less has expired, and every call would
// exchange again.
const leastLifetime = 225 * time.Second

// Credentials returns credentials whose access tokens e gets for r. They are
// cached, refreshed 225 seconds before their expiry, and are an
// [auth.TokenProvider], too. A refresh in the background does not end with the
// ctx of a call. The project, the quota project and the universe domain come
// from e's configuration.
//
// Token fails as [gcp.Exchanger.Exchange] does, and with an [*exchange.Error]
// when Google gives a token that lives for 225 seconds or less.
func Credentials(e *gcp.Exchanger, r exchange.Request) *auth.Credentials {
	c := e.Config()
	return auth.NewCredentials(&auth.CredentialsOptions{
		TokenProvider:          auth.NewCachedTokenProvider(provider{e, r}, nil),
		ProjectIDProvider:      always(c.Project),
		QuotaProjectIDProvider: always(c.QuotaProject),
		UniverseDomainProvider: always(c.UniverseDomain),
	})
}

// always provides the same value to each caller.
func always(value string) auth.CredentialsPropertyProvider {
	return auth.CredentialsPropertyFunc(func(context.Context) (string, error) { return value, nil })
}

type provider struct {
	e *gcp.Exchanger
	r exchange.Request
}

func (p provider) Token(ctx context.Context) (*auth.Token, error) {
	c, err := p.e.Exchange(ctx, p.r)
	if err != nil {
		return nil, err
	}
	if left := c.Expires().Sub(p.e.Config().Now()); left <= leastLifetime {
		return nil, &exchange.Error{
			Provider: "gcp", Op: "sts:token",
			Err:  fmt.Errorf("the token lives for %s, which is too short for cloud.google.com/go/auth", left.Round(time.Second)),
			Hint: "raise the JWT's lifetime (oidctoken.Profile.Lifetime), or impersonate a service account",
		}
	}
	return &auth.Token{Value: c.Value("CLOUDSDK_AUTH_ACCESS_TOKEN"), Type: "Bearer", Expiry: c.Expires()}, nil
}

// SubjectTokenProvider adapts [gcp.Exchanger.SubjectTokenSupplier] to
// cloud.google.com/go/auth, with the same errors.
func SubjectTokenProvider(e *gcp.Exchanger, subject exchange.SubjectToken) externalaccount.SubjectTokenProvider {
	return subjectTokenProvider{e.SubjectTokenSupplier(subject)}
}

type subjectTokenProvider struct{ supplier supplier.SubjectTokenSupplier }

func (p subjectTokenProvider) SubjectToken(ctx context.Context, o *externalaccount.RequestOptions) (string, error) {
	if o == nil {
		o = &externalaccount.RequestOptions{} // refused, as it names no provider
	}
	return p.supplier.SubjectToken(ctx, supplier.SupplierOptions{Audience: o.Audience, SubjectTokenType: o.SubjectTokenType})
}

// Options returns the options for [externalaccount.NewCredentials] that do
// what e does, with JWTs from subject. The Client follows no redirect, which
// would carry the JWT to another host, and the Logger discards: without one,
// GOOGLE_SDK_GO_LOGGING_LEVEL=debug prints every token. Both must be kept.
//
// It fails with a [*oidctoken.ConfigError] if e has Delegates, which Options cannot
// name.
func Options(e *gcp.Exchanger, subject exchange.SubjectToken) (*externalaccount.Options, error) {
	c := e.Config()
	if len(c.Delegates) > 0 {
		return nil, &oidctoken.ConfigError{Package: "gcp", Field: "Delegates", Reason: "cannot be named in externalaccount.Options"}
	}
	o := &externalaccount.Options{
		Audience:             "//iam.googleapis.com/" + c.Provider,
		SubjectTokenType:     "urn:ietf:params:oauth:token-type:jwt",
		TokenURL:             c.TokenURL,
		Scopes:               c.Scopes,
		QuotaProjectID:       c.QuotaProject,
		UniverseDomain:       c.UniverseDomain,
		SubjectTokenProvider: SubjectTokenProvider(e, subject),
		Client:               client(c),
		Logger:               slog.New(slog.DiscardHandler),
	}
	if c.ServiceAccount == "" {
		o.TokenInfoURL = c.TokenInfoURL
	} else {
		o.ServiceAccountImpersonationURL = c.ImpersonationURL + "/v1/projects/-/serviceAccounts/" + c.ServiceAccount + ":generateAccessToken"
		o.ServiceAccountImpersonationLifetimeSeconds = int(c.Lifetime / time.Second)
	}
	return o, nil
}

func client(c gcp.Config) *http.Client {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	return &http.Client{
		Transport:     c.Transport, // nil is http.DefaultTransport, which demands TLS 1.2
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
