package oidctokentest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// tokenHash stands for an access token: the tokens themselves are not kept.
type tokenHash [sha256.Size]byte

const maxGrants = 4096

// Lookup returns the grant behind an access token, and false if this stand-in
// did not issue it or it has expired. APIs call it. The caller owns the grant.
func (g *Google) Lookup(accessToken string) (GoogleGrant, bool) {
	g.mu.Lock()
	grant, ok := g.grants[sha256.Sum256([]byte(accessToken))]
	g.mu.Unlock()
	if !ok || !g.config.Now().Before(grant.Expires) {
		return GoogleGrant{}, false
	}
	grant.Attributes = maps.Clone(grant.Attributes)
	grant.Scopes = slices.Clone(grant.Scopes)
	return grant, true
}

// issue makes an access token for grant.
func (g *Google) issue(grant GoogleGrant) (accessToken string) {
	var random [32]byte
	rand.Read(random[:]) // never fails: the program ends without entropy
	accessToken = "ya29." + base64.RawURLEncoding.EncodeToString(random[:])
	now := g.config.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.grants) >= maxGrants {
		g.forget(now)
	}
	g.grants[sha256.Sum256([]byte(accessToken))] = grant
	return accessToken
}

// forget drops the grants that have ended, or else the one that ends first.
func (g *Google) forget(now time.Time) {
	var first tokenHash
	var end time.Time
	for hash, grant := range g.grants {
		if !now.Before(grant.Expires) {
			delete(g.grants, hash)
		} else if end.IsZero() || grant.Expires.Before(end) {
			first, end = hash, grant.Expires
		}
	}
	if len(g.grants) >= maxGrants {
		delete(g.grants, first)
	}
}

// Require returns a handler that calls next for requests that carry a live
// access token of this stand-in, in the Authorization header (RFC 6750, section
// 2.1), and answers all others with 401 as Google's APIs do. It is for stand-ins
// of further APIs, and before emulators that accept any bearer.
func (g *Google) Require(next func(http.ResponseWriter, *http.Request, GoogleGrant)) http.Handler {
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

// writeJSON writes an answer. Its value is one of ours, which can be encoded.
func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // who went away needs no error
}

// writeStatus writes an error as Google's APIs do.
func writeStatus(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{
		"error": map[string]any{"code": status, "message": message, "status": code},
	})
}
