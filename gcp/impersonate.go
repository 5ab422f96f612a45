package gcp

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// IDTokenRequest has the input of an ID token that is not in the Exchanger's
// configuration.
type IDTokenRequest struct {
	// Subject mints the JWT. Required.
	Subject exchange.SubjectToken
	// Audience is the "aud" of the ID token, such as the address of a Cloud Run
	// service. Required, of printable ASCII without spaces.
	Audience string
	// IncludeEmail adds "email" and "email_verified" of the service account.
	// Optional; without them IAM-protected services still know the account by
	// its "sub".
	IncludeEmail bool
}

// IDToken exchanges a JWT for an ID token of the service account, which Google
// signs (projects.serviceAccounts.generateIdToken of the IAM Credentials API).
// The credential's one variable is GOOGLE_ID_TOKEN; no tool of Google reads
// one of that name. Its expiry is the ID token's "exp". It retries and fails as
// [Exchanger.Exchange] does, and with a [*oidctoken.ConfigError] if there is no
// Config.ServiceAccount.
func (e *Exchanger) IDToken(ctx context.Context, r IDTokenRequest) (*exchange.Credential, error) {
	switch {
	case e.config.ServiceAccount == "":
		return nil, configError("ServiceAccount", "is required for an ID token")
	case r.Subject == nil:
		return nil, configError("IDTokenRequest.Subject", "is required")
	case r.Audience == "" || !consists(r.Audience, visible):
		return nil, configError("IDTokenRequest.Audience", "is required, in printable ASCII without spaces")
	}
	t := &exchangeCall{Exchanger: e, subject: r.Subject, call: e.client.Call()}
	id, err := t.impersonate(ctx, func(ctx context.Context, federated token) (token, error) {
		return t.generateIDToken(ctx, federated, r.Audience, r.IncludeEmail)
	})
	if err != nil {
		return nil, err
	}
	return exchange.NewCredential(id.expires, map[string]string{"GOOGLE_ID_TOKEN": id.value}), nil
}

// impersonate gets a federated token and calls generate with it, both within
// Config.Budget. A retry after generate's failure uses the same
// federated token while it lives: no JWT was at fault.
func (t *exchangeCall) impersonate(ctx context.Context, generate func(context.Context, token) (token, error)) (token, error) {
	var federated, result token
	err := tokenhttp.Retry(ctx, t.config.Budget, func(ctx context.Context) (err error) {
		if !t.config.Now().Before(federated.expires) {
			// The IAM Credentials API requires this scope, for any scopes of the final
			// token.
			if federated, err = t.federate(ctx, []string{cloudPlatform}); err != nil {
				return err
			}
		}
		result, err = generate(ctx, federated)
		return err
	}, again)
	return result, err
}

func (t *exchangeCall) generateAccessToken(ctx context.Context, federated token, scopes []string) (token, error) {
	lifetime := t.config.Lifetime
	if lifetime == 0 {
		lifetime = time.Hour
	}
	asked := t.config.Now()
	answer, err := t.postIAM(ctx, opAccessToken, federated, map[string]any{
		"scope":    scopes,
		"lifetime": fmt.Sprintf("%ds", int(lifetime/time.Second)),
	})
	if err != nil {
		return token{}, err
	}
	return parseAccessToken(answer, asked, lifetime)
}

func (t *exchangeCall) generateIDToken(ctx context.Context, federated token, audience string, includeEmail bool) (token, error) {
	asked := t.config.Now()
	answer, err := t.postIAM(ctx, opIDToken, federated, map[string]any{
		"audience":     audience,
		"includeEmail": includeEmail,
	})
	if err != nil {
		return token{}, err
	}
	return parseIDToken(answer, asked, audience)
}

// postIAM calls a method of the service account; delegates are added.
func (t *exchangeCall) postIAM(ctx context.Context, op string, federated token, request map[string]any) ([]byte, error) {
	if len(t.config.Delegates) > 0 {
		names := make([]string, len(t.config.Delegates))
		for i, d := range t.config.Delegates {
			names[i] = "projects/-/serviceAccounts/" + d
		}
		request["delegates"] = names
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("gcp: %s: %w", op, err)
	}
	return t.post(ctx, op, tokenhttp.Request{
		URL:         t.methodURL(op),
		ContentType: "application/json",
		Body:        body,
		Bearer:      federated.value,
		Accept:      "application/json",
	})
}

// methodURL returns the address of a method of the service account.
func (e *Exchanger) methodURL(op string) string {
	method := "generateAccessToken"
	if op == opIDToken {
		method = "generateIdToken"
	}
	return e.config.ImpersonationURL + "/v1/projects/-/serviceAccounts/" + e.config.ServiceAccount + ":" + method
}

// clockSkew is how far Google's clock may seem to be ahead of ours. A JWT of a
// host whose clock is further off would not have got here.
const clockSkew = 15 * time.Minute

func parseAccessToken(body []byte, asked time.Time, lifetime time.Duration) (token, error) {
	var a struct {
		AccessToken string `json:"accessToken"`
		ExpireTime  string `json:"expireTime"`
	}
	if err := tokenhttp.DecodeJSON(body, &a); err != nil {
		return token{}, malformed(opAccessToken, err)
	}
	if err := tokenhttp.CheckToken(a.AccessToken); err != nil {
		return token{}, malformed(opAccessToken, err)
	}
	expires, err := time.Parse(time.RFC3339, a.ExpireTime)
	if err != nil {
		return token{}, malformed(opAccessToken, errExpireTime) // not err: it repeats the value
	}
	return bounded(opAccessToken, token{value: a.AccessToken, expires: expires}, asked, lifetime)
}

// maxIDTokenLifetime bounds what Google gives, which is one hour.
const maxIDTokenLifetime = 12 * time.Hour

// parseIDToken reads the claims without verifying the signature: the token came
// from Google over TLS, and its audience verifies it.
func parseIDToken(body []byte, asked time.Time, audience string) (token, error) {
	var a struct {
		Token string `json:"token"`
	}
	if err := tokenhttp.DecodeJSON(body, &a); err != nil {
		return token{}, malformed(opIDToken, err)
	}
	if err := tokenhttp.CheckToken(a.Token); err != nil {
		return token{}, malformed(opIDToken, err)
	}
	j, ok := decodeJWT(a.Token)
	if !ok || j.claims.Aud != audience {
		return token{}, malformed(opIDToken, errIDToken)
	}
	return bounded(opIDToken, token{value: a.Token, expires: time.Unix(j.claims.Exp, 0)}, asked, maxIDTokenLifetime)
}

// bounded refuses an expired token, and a token with a longer lifetime than
// possible. The expiry is at most asked + lifetime: a later one means that our
// clock is behind.
func bounded(op string, t token, asked time.Time, lifetime time.Duration) (token, error) {
	end := asked.Add(lifetime)
	switch {
	case !t.expires.After(asked):
		return token{}, malformed(op, errExpired)
	case t.expires.After(end.Add(clockSkew)):
		return token{}, malformed(op, errTooLong)
	case t.expires.After(end):
		t.expires = end
	}
	return t, nil
}
