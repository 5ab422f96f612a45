package googletest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/standin"
)

// Lookup returns the grant behind an access token, and false if this stand-in
// did not issue it or it has expired. APIs call it. The caller owns the grant.
func (g *Server) Lookup(accessToken string) (Identity, bool) {
	g.mu.Lock()
	grant, ok := g.grants[sha256.Sum256([]byte(accessToken))]
	g.mu.Unlock()
	if !ok || !g.config.Now().Before(grant.Expires) {
		return Identity{}, false
	}
	grant.Attributes = maps.Clone(grant.Attributes)
	grant.Scopes = slices.Clone(grant.Scopes)
	return grant, true
}

// issue makes an access token for grant.
func (g *Server) issue(grant Identity) (accessToken string) {
	var random [32]byte
	rand.Read(random[:]) // never fails: the program ends without entropy
	accessToken = "ya29." + base64.RawURLEncoding.EncodeToString(random[:])
	now := g.config.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.grants) >= standin.MaxGrants {
		g.forget(now)
	}
	g.grants[sha256.Sum256([]byte(accessToken))] = grant
	return accessToken
}

// forget drops the expired grants, or if there are none, the one that expires
// first.
func (g *Server) forget(now time.Time) {
	var first standin.TokenHash
	var end time.Time
	for hash, grant := range g.grants {
		if !now.Before(grant.Expires) {
			delete(g.grants, hash)
		} else if end.IsZero() || grant.Expires.Before(end) {
			first, end = hash, grant.Expires
		}
	}
	if len(g.grants) >= standin.MaxGrants {
		delete(g.grants, first)
	}
}

// Require returns a handler that calls next for requests that carry a live
// access token of this stand-in, in the Authorization header (RFC 6750, section
// 2.1), and answers all others with 401 as Google's APIs do. It is for stand-ins
// of further APIs, and before emulators that accept any bearer.
func (g *Server) Require(next func(http.ResponseWriter, *http.Request, Identity)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		message := "Request had invalid authentication credentials."
		header := r.Header["Authorization"]
		if len(header) == 0 {
			message = "Request is missing required authentication credential."
		}
		if len(header) == 1 {
			scheme, token, _ := strings.Cut(header[0], " ")
			if grant, ok := g.Lookup(token); ok && strings.EqualFold(scheme, "Bearer") {
				next(w, r, grant)
				return
			}
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/"`)
		writeStatus(w, http.StatusUnauthorized, "UNAUTHENTICATED", message+
			" Expected OAuth 2 access token, login cookie or other valid authentication credential."+
			" See https://developers.google.com/identity/sign-in/web/devconsole-project.")
	})
}

// writeStatus writes an error as Google's APIs do.
func writeStatus(w http.ResponseWriter, status int, code, message string) {
	standin.WriteJSON(w, status, map[string]any{
		"error": map[string]any{"code": status, "message": message, "status": code},
	})
}
