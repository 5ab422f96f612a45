package entratest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/standin"
)

// Lookup returns the grant behind an access token, and false if this stand-in
// did not issue it or it has expired. APIs call it.
func (e *Server) Lookup(accessToken string) (Identity, bool) {
	e.mu.Lock()
	grant, ok := e.grants[sha256.Sum256([]byte(accessToken))]
	e.mu.Unlock()
	if !ok || !e.config.Now().Before(grant.Expires) {
		return Identity{}, false
	}
	return grant, true
}

// issue makes an access token for grant.
func (e *Server) issue(grant Identity) (accessToken string) {
	now := e.config.Now()
	accessToken = entraToken(grant, now)
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.grants) >= standin.MaxGrants {
		e.forget(now)
	}
	e.grants[sha256.Sum256([]byte(accessToken))] = grant
	return accessToken
}

// forget drops the expired grants, or if there are none, the one that expires
// first.
func (e *Server) forget(now time.Time) {
	var first standin.TokenHash
	var end time.Time
	for hash, grant := range e.grants {
		if !now.Before(grant.Expires) {
			delete(e.grants, hash)
		} else if end.IsZero() || grant.Expires.Before(end) {
			first, end = hash, grant.Expires
		}
	}
	if len(e.grants) >= standin.MaxGrants {
		delete(e.grants, first)
	}
}

// entraToken returns an access token of Entra's form, because some clients read
// its claims although it is not meant for them. It proves nothing: its
// signature is random, which makes it a secret.
func entraToken(grant Identity, now time.Time) string {
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err) // of strings and numbers
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	var random [32]byte
	rand.Read(random[:]) // never fails: the program ends without entropy
	return encode(map[string]string{"typ": "JWT", "alg": "RS256"}) + "." + encode(map[string]any{
		"aud": grant.Resource, "iss": "https://sts.windows.net/" + grant.TenantID + "/", "ver": "1.0",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": grant.Expires.Unix(),
		"appid": grant.ClientID, "oid": grant.ClientID, "sub": grant.ClientID, "tid": grant.TenantID, "idtyp": "app",
	}) + "." + base64.RawURLEncoding.EncodeToString(random[:])
}

// Require returns a handler that calls next for requests that carry a live
// access token of this stand-in for the resource, in the Authorization header
// (RFC 6750, section 2.1), and answers all others with 401 as the Azure Resource
// Manager does. It is for stand-ins of APIs, and before emulators that accept
// any bearer.
func (e *Server) Require(resource string, next func(http.ResponseWriter, *http.Request, Identity)) http.Handler {
	resource = strings.TrimSuffix(resource, "/")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code, message := "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
		if header := r.Header["Authorization"]; len(header) > 0 {
			scheme, token, _ := strings.Cut(header[0], " ")
			grant, live := e.Lookup(token)
			switch {
			case !live || !strings.EqualFold(scheme, "Bearer") || len(header) > 1:
				code, message = "InvalidAuthenticationToken", "The access token is invalid."
			case strings.TrimSuffix(grant.Resource, "/") != resource:
				code = "InvalidAuthenticationTokenAudience"
				message = "The access token has been obtained for wrong audience or resource '" + grant.Resource +
					"'. It should exactly match with one of the allowed audiences '" + resource + "/','" + resource + "'."
			default:
				next(w, r, grant)
				return
			}
		}
		w.Header().Set("WWW-Authenticate", `Bearer authorization_uri="`+baseOf(r)+"/"+e.config.TenantID+`", error="invalid_token"`)
		standin.WriteJSON(w, http.StatusUnauthorized, map[string]any{"error": map[string]string{"code": code, "message": message}})
	})
}
