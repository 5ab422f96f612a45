package gcp

import (
	"context"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google/externalaccount"

	"github.com/oidctoken/oidctoken/exchange"
)

// refreshEarly is the time before its expiry at which the source of TokenSource
// drops a token.
const refreshEarly = time.Minute

// TokenSource returns a source of access tokens for clients that take an
// oauth2.TokenSource. It gets them with [Exchanger.Exchange] and fails with the
// same errors. It caches the last token until a minute before its expiry,
// because gRPC requests a token for every call. While one caller renews the
// token, the others wait. Every exchange uses the given ctx, and the source
// ends with it. An [oauth2.Token] prints with its secret.
func (e *Exchanger) TokenSource(ctx context.Context, r exchange.Request) oauth2.TokenSource {
	return oauth2.ReuseTokenSourceWithExpiry(nil, tokenSource(func() (*oauth2.Token, error) {
		t, err := e.accessToken(ctx, r)
		if err != nil {
			return nil, err
		}
		return &oauth2.Token{AccessToken: t.value, TokenType: "Bearer", Expiry: t.expires}, nil
	}), refreshEarly)
}

// tokenSource lets a func be one: its interface has no ctx to pass.
type tokenSource func() (*oauth2.Token, error)

func (f tokenSource) Token() (*oauth2.Token, error) { return f() }

// SubjectTokenSupplier adapts the source of JWTs for an [externalaccount.Config],
// whose user exchanges them without this package: golang.org/x/oauth2 then follows
// redirects and repeats answers in its errors. It asks subject for a JWT with
// [Exchanger.Audience], checks it as Exchange does, and refuses with a
// [*oidctoken.ConfigError] if the configuration names another provider or another type
// than a JWT. A nil subject is refused then, too.
func (e *Exchanger) SubjectTokenSupplier(subject exchange.SubjectToken) externalaccount.SubjectTokenSupplier {
	return subjectTokenSupplier{e, subject}
}

type subjectTokenSupplier struct {
	e       *Exchanger
	subject exchange.SubjectToken
}

func (s subjectTokenSupplier) SubjectToken(ctx context.Context, o externalaccount.SupplierOptions) (string, error) {
	switch {
	case s.subject == nil:
		return "", configError("SubjectToken", "is required")
	case o.Audience != s.e.resource():
		return "", configError("SupplierOptions.Audience", "differs from the Exchanger's provider")
	case o.SubjectTokenType != tokenTypeJWT && o.SubjectTokenType != tokenTypeID:
		return "", configError("SupplierOptions.SubjectTokenType", "is not the type of a JWT")
	}
	text, _, err := s.e.subjectToken(ctx, s.subject)
	return text, err
}
