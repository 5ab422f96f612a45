package conformance_test

import (
	"context"
	"testing"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwk"
	jwx "github.com/lestrrat-go/jwx/v3/jwt"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	zitadel "github.com/zitadel/oidc/v3/pkg/oidc"
)

// goVerifiers are Go libraries. All of them have EdDSA.
func goVerifiers() []verifier {
	var verifiers []verifier
	for _, v := range []struct {
		module string
		verify func(context.Context, candidate) (subject string, err error)
	}{
		{"github.com/coreos/go-oidc/v3", goOIDC},
		{"github.com/zitadel/oidc/v3", zitadelOIDC},
		{"github.com/golang-jwt/jwt/v5", golangJWT},
		{"github.com/lestrrat-go/jwx/v3", lestrratJWX},
	} {
		verifiers = append(verifiers, verifier{v.module, true, func(t *testing.T, candidates []candidate) (string, []verdict) {
			verdicts := make([]verdict, len(candidates))
			for i, c := range candidates {
				subject, err := v.verify(t.Context(), c)
				verdicts[i] = verdict{Subject: subject}
				if err != nil {
					verdicts[i] = verdict{Error: err.Error()}
				}
			}
			return moduleVersion(t, v.module), verdicts
		}})
	}
	return verifiers
}

func goOIDC(ctx context.Context, c candidate) (string, error) {
	provider, err := oidc.NewProvider(ctx, c.Issuer)
	if err != nil {
		return "", err
	}
	token, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: c.Audience}).Verify(ctx, c.Token)
	if err != nil {
		return "", err
	}
	return token.Subject, nil
}

func zitadelOIDC(ctx context.Context, c candidate) (string, error) {
	party, err := rp.NewRelyingPartyOIDC(ctx, c.Issuer, c.Audience, "", "", nil, rp.WithSigningAlgsFromDiscovery())
	if err != nil {
		return "", err
	}
	claims, err := rp.VerifyIDToken[*zitadel.IDTokenClaims](ctx, c.Token, party.IDTokenVerifier())
	if err != nil {
		return "", err
	}
	return claims.Subject, nil
}

func golangJWT(ctx context.Context, c candidate) (string, error) {
	url, err := jwksURL(ctx, c.Issuer)
	if err != nil {
		return "", err
	}
	keys, err := keyfunc.NewDefaultCtx(ctx, []string{url})
	if err != nil {
		return "", err
	}
	var claims jwt.RegisteredClaims
	_, err = jwt.ParseWithClaims(c.Token, &claims, keys.Keyfunc,
		jwt.WithValidMethods([]string{"RS256", "ES256", "EdDSA"}), jwt.WithIssuer(c.Issuer), jwt.WithAudience(c.Audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	return claims.Subject, err
}

func lestrratJWX(ctx context.Context, c candidate) (string, error) {
	url, err := jwksURL(ctx, c.Issuer)
	if err != nil {
		return "", err
	}
	set, err := jwk.Fetch(ctx, url)
	if err != nil {
		return "", err
	}
	token, err := jwx.ParseString(c.Token, jwx.WithKeySet(set), jwx.WithIssuer(c.Issuer), jwx.WithAudience(c.Audience))
	if err != nil {
		return "", err
	}
	subject, _ := token.Subject()
	return subject, nil
}

// jwksURL is for libraries that leave discovery to their callers.
func jwksURL(ctx context.Context, issuer string) (string, error) {
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return "", err
	}
	var document struct {
		URL string `json:"jwks_uri"`
	}
	return document.URL, provider.Claims(&document)
}
