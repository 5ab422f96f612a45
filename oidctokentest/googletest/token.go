package googletest

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/standin"
)

const (
	grantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	tokenTypeAccess    = "urn:ietf:params:oauth:token-type:access_token"
	tokenTypeJWT       = "urn:ietf:params:oauth:token-type:jwt"
	tokenTypeID        = "urn:ietf:params:oauth:token-type:id_token"

	scopePrefix        = "https://www.googleapis.com/auth/"
	scopeCloudPlatform = scopePrefix + "cloud-platform"
	scopeIAM           = scopePrefix + "iam"

	// gcloudClient is the OAuth client of the Google Cloud CLI. For a
	// federated token it authenticates with the token request, contrary to the
	// documentation of that, and again to introspect the token.
	gcloudClient = "32555940559.apps.googleusercontent.com"
)

// serveToken is the method token of the Security Token Service (RFC 8693).
func (g *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	client, ok := oauthClient(r)
	if !ok {
		writeRefusal(w, http.StatusUnauthorized, &refusal{"invalid_client", "The OAuth client was not found."})
		return
	}
	form, refused := readForm(r, "grant_type", "audience", "scope", "requested_token_type", "subject_token", "subject_token_type")
	if refused != nil {
		writeRefusal(w, http.StatusBadRequest, refused)
		return
	}
	provider, scopes, refused := g.checkExchange(form)
	if refused != nil {
		writeRefusal(w, http.StatusBadRequest, refused)
		return
	}
	j, expires, refused := provider.verify(r.Context(), form["subject_token"], g.config.Now)
	var grant Identity
	if refused == nil {
		grant, refused = provider.grant(j)
	}
	if refused != nil {
		writeRefusal(w, http.StatusBadRequest, refused)
		return
	}
	now := g.config.Now()
	lifetime := min(expires.Sub(now), maxFederated).Truncate(time.Second)
	if lifetime <= 0 {
		writeStatus(w, http.StatusInternalServerError, "INTERNAL", "Internal error encountered.") // as Google answers, too
		return
	}
	grant.Scopes, grant.client = scopes, client
	grant.Expires = now.Add(lifetime)
	standin.WriteJSON(w, http.StatusOK, map[string]any{
		"access_token":      g.issue(grant),
		"issued_token_type": tokenTypeAccess,
		"token_type":        "Bearer",
		"expires_in":        int64(lifetime / time.Second),
	})
}

// checkExchange checks all of a token request but the JWT.
func (g *Server) checkExchange(form map[string]string) (*googleProvider, []string, *refusal) {
	if form["grant_type"] != grantTokenExchange {
		return nil, nil, &refusal{"unsupported_grant_type", `Invalid value for "grant_type". This value should be "` + grantTokenExchange + `".`}
	}
	name, ok := strings.CutPrefix(form["audience"], googleResource)
	if _, reason := poolOf(name); !ok || reason != "" {
		return nil, nil, &refusal{"invalid_request", `Invalid value for "audience". This value should be the full resource name of the Identity Provider.`}
	}
	if form["requested_token_type"] != tokenTypeAccess {
		return nil, nil, &refusal{"invalid_request", `Invalid value for "requested_token_type".`}
	}
	if t := form["subject_token_type"]; t != tokenTypeJWT && t != tokenTypeID {
		return nil, nil, &refusal{"invalid_request", `Invalid value for "subject_token_type".`}
	}
	scopes := strings.Split(form["scope"], " ")
	if !areScopes(scopes) {
		return nil, nil, &refusal{"invalid_scope", "Some requested scopes are invalid."}
	}
	provider := g.providers[name]
	if provider == nil {
		return nil, nil, &refusal{"invalid_target", `The target service indicated by the "audience" parameters is invalid.` +
			" This might either be because the pool or provider is disabled or deleted or because it doesn't exist."}
	}
	return provider, scopes, nil
}

// areScopes reports whether all are scopes of Google.
func areScopes(scopes []string) bool {
	for _, s := range scopes {
		if s != "openid" && s != "email" && s != "profile" && (!strings.HasPrefix(s, scopePrefix) || s == scopePrefix) {
			return false
		}
	}
	return len(scopes) > 0
}

// grant returns the grant of a verified JWT.
func (p *googleProvider) grant(j standin.JWT) (Identity, *refusal) {
	attributes, refused := p.attributes(j.Claims)
	if refused != nil {
		return Identity{}, refused
	}
	var subject string
	if !standin.IsString(j.Claims["sub"]) || json.Unmarshal(j.Claims["sub"], &subject) != nil || subject == "" {
		return Identity{}, errNoSubject
	}
	return Identity{
		Principal:  "principal:" + googleResource + p.pool + "/subject/" + attributes[googleSubject],
		Attributes: attributes,
		pool:       p.pool,
	}, nil
}

// oauthClient returns the authenticated OAuth client (RFC 6749, section 2.3.1),
// or "". Google's documentation has no Authorization header in a token request,
// and no client except gcloud's own.
func oauthClient(r *http.Request) (client string, ok bool) {
	if len(r.Header["Authorization"]) == 0 {
		return "", true
	}
	id, secret, ok := r.BasicAuth()
	return id, ok && len(r.Header["Authorization"]) == 1 && id == gcloudClient && secret != ""
}

// readForm reads a body that is a form of these fields, each at most once and
// nothing else.
func readForm(r *http.Request, fields ...string) (map[string]string, *refusal) {
	if r.URL.RawQuery != "" {
		return nil, &refusal{"invalid_request", "The request must not have a query string."}
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" || len(r.Header["Content-Type"]) != 1 {
		return nil, &refusal{"invalid_request", "The request's Content-Type must be application/x-www-form-urlencoded."}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, &refusal{"invalid_request", "The request is too long or was cut off."}
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, &refusal{"invalid_request", "The request is not a form."}
	}
	form := make(map[string]string)
	for name, all := range values {
		if !slices.Contains(fields, name) {
			return nil, &refusal{"invalid_request", "The request has a parameter that is not known."}
		}
		if len(all) != 1 { // RFC 6749, section 3.2
			return nil, &refusal{"invalid_request", "The request has the parameter \"" + name + "\" more than once."}
		}
		form[name] = all[0]
	}
	return form, nil
}

func writeRefusal(w http.ResponseWriter, status int, r *refusal) {
	standin.WriteJSON(w, status, map[string]string{"error": r.code, "error_description": r.description})
}

// serveIntrospect is the method introspect of the Security Token Service (RFC
// 7662). The OAuth client for which a token was made may introspect it.
func (g *Server) serveIntrospect(w http.ResponseWriter, r *http.Request) {
	client, ok := oauthClient(r)
	if !ok || client == "" {
		writeRefusal(w, http.StatusUnauthorized, &refusal{"invalid_client", "The OAuth client was not found."})
		return
	}
	form, refused := readForm(r, "token", "token_type_hint")
	if hint := form["token_type_hint"]; refused == nil && hint != "" && hint != "access_token" && hint != tokenTypeAccess {
		refused = &refusal{"unsupported_token_type", `Invalid value for "token_type_hint".`}
	}
	if refused != nil {
		writeRefusal(w, http.StatusBadRequest, refused)
		return
	}
	grant, ok := g.Lookup(form["token"])
	if !ok || grant.client != client {
		standin.WriteJSON(w, http.StatusOK, map[string]bool{"active": false})
		return
	}
	standin.WriteJSON(w, http.StatusOK, map[string]any{
		"active":    true,
		"client_id": client,
		"exp":       grant.Expires.Unix(),
		"iss":       "https://sts.googleapis.com/",
		"scope":     strings.Join(grant.Scopes, " "),
		"sub":       grant.Principal,
		"username":  grant.Principal,
	})
}
