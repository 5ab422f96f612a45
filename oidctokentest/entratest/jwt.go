package entratest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/internal/standin"
)

const maxStoredKeys = 100 // of an issuer's JWK Set

var errEntraJWT = badEntra("invalid_request", 50027, "JWT token is invalid or malformed.")

// assertion is a decoded JWT that is not verified yet, with the values that a
// federated credential is compared to.
type assertion struct {
	standin.JWT
	compact, issuer, subject, audience string
}

// authenticate verifies that the JWT authenticates as the application, and
// returns its grant.
func (e *Server) authenticate(ctx context.Context, a *entraApplication, compact string) (Identity, *entraError) {
	j, refused := decodeAssertion(compact)
	if refused != nil {
		return Identity{}, refused
	}
	// The credential is checked first: no keys are fetched for a JWT of an
	// untrusted issuer.
	if refused := e.match(a, j); refused != nil {
		return Identity{}, refused
	}
	if refused := j.checkSignature(ctx, a.issuers[j.issuer], e.config.Now); refused != nil {
		return Identity{}, refused
	}
	if refused := j.checkEntraTimes(e.config.Now()); refused != nil {
		return Identity{}, refused
	}
	return Identity{TenantID: e.config.TenantID, ClientID: a.ClientID, Issuer: j.issuer, Subject: j.subject}, nil
}

func decodeAssertion(compact string) (assertion, *entraError) {
	j, ok := standin.DecodeJWT(compact)
	if !ok {
		return assertion{}, errEntraJWT
	}
	if typ := typeOf(compact); typ != nil && *typ != "JWT" && *typ != "http://openid.net/specs/jwt/1.0" {
		return assertion{}, badEntra("invalid_request", 5002727, "Invalid JWT header type specified, must be 'JWT' or 'http://openid.net/specs/jwt/1.0'.")
	}
	if j.Algorithm != "RS256" {
		return assertion{}, badClient(5002738, "Invalid JWT token. '"+quoted(j.Algorithm)+
			"' is not a supported signature algorithm. Supported signing algorithms are: 'RS256'")
	}
	a := assertion{JWT: j, compact: compact}
	for _, claim := range []struct {
		name  string
		value *string
	}{{"iss", &a.issuer}, {"sub", &a.subject}, {"aud", &a.audience}} {
		raw := j.Claims[claim.name]
		if !standin.IsString(raw) || json.Unmarshal(raw, claim.value) != nil || !isFederatedValue(*claim.value) {
			return assertion{}, errEntraJWT
		}
	}
	return a, nil
}

// typeOf returns the "typ" of a JWT that decodeJWT accepted, or nil if it has
// no "typ" that is a string.
func typeOf(compact string) *string {
	var header struct {
		Type *string `json:"typ"`
	}
	first, _, _ := strings.Cut(compact, ".")
	raw, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil || json.Unmarshal(raw, &header) != nil {
		return new(string) // never accepted
	}
	return header.Type
}

// match looks for a visible federated credential that equals the JWT. Its error
// names the part in which all credentials differ.
func (e *Server) match(a *entraApplication, j assertion) *entraError {
	visible := e.visible(a, j)
	narrow := func(differs func(FederatedCredential) bool) bool {
		visible = slices.DeleteFunc(visible, differs)
		return len(visible) > 0
	}
	const noMatch = "No matching federated identity record found for presented assertion"
	switch {
	case len(visible) == 0:
		return badEntra("invalid_request", 70021, fmt.Sprintf(noMatch+". Assertion Issuer: '%s'. Assertion Subject: '%s'. Assertion Audience: '%s'.",
			quoted(j.issuer), quoted(j.subject), quoted(j.audience))+learnFederation)
	case !narrow(func(f FederatedCredential) bool { return f.Issuer != j.issuer }):
		return badClient(700211, noMatch+" issuer '"+quoted(j.issuer)+"'."+learnFederation)
	case !narrow(func(f FederatedCredential) bool { return f.Audience != j.audience }):
		return badClient(700212, noMatch+" audience '"+quoted(j.audience)+"'."+learnFederation)
	case slices.ContainsFunc(visible, func(f FederatedCredential) bool { return f.Subject == j.subject }):
		return nil
	case slices.ContainsFunc(visible, func(f FederatedCredential) bool { return strings.EqualFold(f.Subject, j.subject) }):
		return badClient(7002138, noMatch+" subject '"+quoted(j.subject)+
			"'. The subject matches with case-insensitive comparison, but not with case-sensitive comparison."+learnFederation)
	}
	return badClient(700213, noMatch+" subject '"+quoted(j.subject)+"'."+learnFederation)
}

// visible returns the application's credentials without those that do not show yet.
func (e *Server) visible(a *entraApplication, j assertion) []FederatedCredential {
	e.mu.Lock()
	defer e.mu.Unlock()
	var visible []FederatedCredential
	for i, f := range a.FederatedCredentials {
		if a.hidden[i] == 0 {
			visible = append(visible, f)
		} else if f.Issuer == j.issuer && f.Subject == j.subject && f.Audience == j.audience {
			a.hidden[i]--
		}
	}
	return visible
}

func (j assertion) checkSignature(ctx context.Context, keys *standin.IssuerKeys, now func() time.Time) *entraError {
	set, err := keys.Find(ctx, j.KeyID, now)
	if err != nil {
		return badEntra("invalid_request", 501661, "Request to External OIDC endpoint failed.")
	}
	if key, ok := standin.KeyNamed(set, j.KeyID); !ok || !isStored(set, j.KeyID) || !standin.Fits(key, "RS256") {
		return badClient(7000272, "The certificate with identifier '"+quoted(j.KeyID)+
			"' used to sign the federated credential could not be found in the metadata of identity provider '"+quoted(j.issuer)+
			"'. Please validate that your Identity Provider's metadata exposes the key used to sign the incoming token.")
	}
	if _, err := set.Verify(j.compact, "RS256"); err != nil {
		return badClient(700027, "Client assertion failed signature validation.")
	}
	return nil
}

// isStored reports whether the key with that kid is among those that Entra
// keeps of a JWK Set, its first ones.
func isStored(set *jose.Set, kid string) bool {
	keys := set.Keys()
	return slices.ContainsFunc(keys[:min(len(keys), maxStoredKeys)], func(k jose.Key) bool { return k.ID == kid })
}

// checkEntraTimes requires integers (RFC 7519, section 2, would allow
// fractions).
func (j assertion) checkEntraTimes(now time.Time) *entraError {
	var times [3]time.Time
	for i, name := range []string{"iat", "exp", "nbf"} {
		raw, present := j.Claims[name]
		if !present && name == "nbf" {
			continue
		}
		seconds, err := strconv.ParseUint(string(raw), 10, 36)
		if err != nil {
			return errEntraJWT
		}
		times[i] = time.Unix(int64(seconds), 0).UTC() // #nosec G115 -- of 36 bits
	}
	issued, expires, notBefore := times[0], times[1], times[2]
	if notBefore.IsZero() {
		notBefore = issued
	}
	latest := now.Add(standin.AllowedSkew)
	if expires.After(now) && expires.After(issued) && !notBefore.After(latest) && !issued.After(latest) {
		return nil
	}
	const layout = "2006-01-02T15:04:05.0000000Z"
	return badClient(700024, fmt.Sprintf("Client assertion is not within its valid time range."+
		" Current time: %s, assertion valid from %s, expiry time of assertion %s."+
		" Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
		now.UTC().Format(layout), notBefore.Format(layout), expires.Format(layout)))
}
