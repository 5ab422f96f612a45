// Package azcred hands what package azure gets to clients of the Azure SDK for
// Go.
//
// The SDK's own package azidentity also exchanges JWTs. It follows redirects
// with the JWT, and its errors show the servers' answers.
package azcred

import (
	"context"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/azure"
	"github.com/oidctoken/oidctoken/exchange"
)

// New returns a credential whose access tokens e gets for r, with a JWT from
// r.Subject for each. r.Scopes must be nil: each client of the SDK names its
// own scope, one RESOURCE/.default. Nothing is cached, since the SDK's clients
// keep their tokens until shortly before they expire.
//
// GetToken fails as [azure.Exchanger.Exchange] does, and with an
// [*oidctoken.ConfigError] for a claims challenge or for another tenant than
// e's. It never requests a token for continuous access evaluation, although the
// SDK always offers to take one: a claims challenge could revoke such a token.
// An [azcore.AccessToken] prints with its secret.
func New(e *azure.Exchanger, r exchange.Request) azcore.TokenCredential { return credential{e, r} }

type credential struct {
	exchanger *azure.Exchanger
	request   exchange.Request
}

func (c credential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	tenant := c.exchanger.Config().TenantID
	switch {
	case c.request.Scopes != nil:
		return refuse("Request.Scopes", "is not nil: each client of the SDK names its own")
	case len(o.Scopes) == 0:
		return refuse("TokenRequestOptions.Scopes", "is required")
	case o.Claims != "":
		return refuse("TokenRequestOptions.Claims", "holds a claims challenge, which this credential does not answer:"+
			" look for a conditional access policy or a revocation that concerns the application")
	case o.TenantID != "" && !strings.EqualFold(o.TenantID, tenant):
		return refuse("TokenRequestOptions.TenantID", "differs from the Exchanger's: make another Exchanger for it")
	}
	r := c.request
	r.Scopes = o.Scopes
	granted, err := c.exchanger.Exchange(ctx, r)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return azcore.AccessToken{Token: granted.Value("AZURE_ACCESS_TOKEN"), ExpiresOn: granted.Expires()}, nil
}

func refuse(field, reason string) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, &oidctoken.ConfigError{Package: "azure", Field: field, Reason: reason}
}
