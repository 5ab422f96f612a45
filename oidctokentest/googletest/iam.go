package googletest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/internal/standin"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

const (
	minAccessLifetime = 10 * time.Minute
	idTokenLifetime   = time.Hour
)

// serveAccount is the IAM Service Account Credentials API, for a bearer.
func (g *Server) serveAccount(w http.ResponseWriter, r *http.Request, bearer Identity) {
	if !slices.Contains(bearer.Scopes, scopeCloudPlatform) && !slices.Contains(bearer.Scopes, scopeIAM) {
		writeStatus(w, http.StatusForbidden, "PERMISSION_DENIED", "Request had insufficient authentication scopes.")
		return
	}
	email, method, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, accountPrefix), ":")
	switch method {
	case "generateAccessToken":
		g.generateAccessToken(w, r, bearer, email)
	case "generateIdToken":
		g.generateIDToken(w, r, bearer, email)
	default:
		writeStatus(w, http.StatusNotFound, "NOT_FOUND", "Requested entity was not found.")
	}
}

func (g *Server) generateAccessToken(w http.ResponseWriter, r *http.Request, bearer Identity, email string) {
	var body struct {
		Scope     []string `json:"scope"`
		Lifetime  string   `json:"lifetime"`
		Delegates []string `json:"delegates"`
	}
	if reason := readJSON(r, &body); reason != "" {
		writeStatus(w, http.StatusBadRequest, "INVALID_ARGUMENT", reason)
		return
	}
	if !areScopes(body.Scope) {
		writeStatus(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Request contains an invalid argument.")
		return
	}
	account := g.impersonated(bearer, email, body.Delegates)
	if account == nil {
		writeStatus(w, http.StatusForbidden, "PERMISSION_DENIED",
			"Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).")
		return
	}
	lifetime, reason := accessLifetime(body.Lifetime, account.MaxLifetime)
	if reason != "" {
		writeStatus(w, http.StatusBadRequest, "INVALID_ARGUMENT", reason)
		return
	}
	bearer.ServiceAccount, bearer.Scopes, bearer.client = email, body.Scope, ""
	bearer.Expires = g.config.Now().Add(lifetime)
	standin.WriteJSON(w, http.StatusOK, map[string]string{
		"accessToken": g.issue(bearer),
		"expireTime":  bearer.Expires.UTC().Format(time.RFC3339),
	})
}

// accessLifetime reads a google.protobuf.Duration of whole seconds.
func accessLifetime(text string, longest time.Duration) (_ time.Duration, reason string) {
	if text == "" {
		return time.Hour, ""
	}
	digits, ok := strings.CutSuffix(text, "s")
	seconds, err := strconv.ParseUint(digits, 10, 31)
	lifetime := time.Duration(seconds) * time.Second
	switch {
	case !ok || err != nil:
		return 0, "Invalid value at 'lifetime' (type.googleapis.com/google.protobuf.Duration)."
	case lifetime == 0:
		return 0, "Lifetime of access token must be larger then zero."
	case lifetime < minAccessLifetime:
		return 0, "Lifetime of access token must be at least 600 seconds."
	case lifetime > maxAccessLifetime:
		return 0, "Lifetime of access token must be at most 43200 seconds."
	case lifetime > longest:
		return 0, "can not have lifetimes of more than 1 hour. Use the Org Policy Constraint" +
			" constraints/iam.allowServiceAccountCredentialLifetimeExtension to allow up to 12 hours."
	}
	return lifetime, ""
}

// impersonated returns the account of that address if bearer may create tokens
// for it, through the delegates: each must be allowed to act for the next. A
// missing account and a denied one have the same error.
func (g *Server) impersonated(bearer Identity, email string, delegates []string) *ServiceAccount {
	members := bearer.members()
	for _, d := range append(slices.Clone(delegates), "projects/-/serviceAccounts/"+email) {
		name, ok := strings.CutPrefix(d, "projects/-/serviceAccounts/")
		account := g.accounts[name]
		if !ok || account == nil || !slices.ContainsFunc(members, func(m string) bool { return slices.Contains(account.Members, m) }) {
			return nil
		}
		members = []string{"serviceAccount:" + name}
	}
	return g.accounts[email]
}

func (g *Server) generateIDToken(w http.ResponseWriter, r *http.Request, bearer Identity, email string) {
	var body struct {
		Audience     string   `json:"audience"`
		IncludeEmail bool     `json:"includeEmail"`
		UseEmailAzp  bool     `json:"useEmailAzp"`
		Delegates    []string `json:"delegates"`
	}
	if reason := readJSON(r, &body); reason != "" {
		writeStatus(w, http.StatusBadRequest, "INVALID_ARGUMENT", reason)
		return
	}
	if body.Audience == "" {
		writeStatus(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Request contains an invalid argument.")
		return
	}
	if g.impersonated(bearer, email, body.Delegates) == nil {
		writeStatus(w, http.StatusForbidden, "PERMISSION_DENIED",
			"Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource (or it may not exist).")
		return
	}
	now := g.config.Now()
	id := uniqueID(email)
	claims := map[string]any{
		"iss": "https://accounts.google.com", "aud": body.Audience, "azp": id, "sub": id,
		"iat": now.Unix(), "exp": now.Add(idTokenLifetime).Unix(),
	}
	if body.UseEmailAzp {
		claims["azp"] = email
	}
	if body.IncludeEmail {
		claims["email"], claims["email_verified"] = email, true
	}
	signer, err := g.signer()
	var token string
	if err == nil {
		token, err = signer.sign(claims)
	}
	if err != nil {
		writeStatus(w, http.StatusInternalServerError, "INTERNAL", "Internal error encountered.")
		return
	}
	standin.WriteJSON(w, http.StatusOK, map[string]string{"token": token})
}

// uniqueID returns a number such as Google gives every account.
func uniqueID(email string) string {
	sum := sha256.Sum256([]byte(email))
	number := uint64(0)
	for _, b := range sum[:7] {
		number = number<<8 | uint64(b)
	}
	return fmt.Sprintf("1%020d", number)
}

// readJSON reads a body that is one JSON object, with no members that v has no
// place for.
func readJSON(r *http.Request, v any) (reason string) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return "Invalid JSON payload received. The Content-Type must be application/json."
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || tokenhttp.DecodeJSON(body, v) != nil {
		return "Invalid JSON payload received."
	}
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	if strict.Decode(v) != nil {
		return "Invalid JSON payload received. Unknown name: Cannot find field."
	}
	return ""
}

// serveProjects is projects.list of the Cloud Resource Manager API, version 1.
func (g *Server) serveProjects(w http.ResponseWriter, _ *http.Request, bearer Identity) {
	if !slices.Contains(bearer.Scopes, scopeCloudPlatform) {
		writeStatus(w, http.StatusForbidden, "PERMISSION_DENIED", "Request had insufficient authentication scopes.")
		return
	}
	projects := []map[string]string{}
	for _, p := range g.config.Projects {
		name := p.Name
		if name == "" {
			name = p.ID
		}
		projects = append(projects, map[string]string{
			"projectId": p.ID, "projectNumber": p.Number, "name": name, "lifecycleState": "ACTIVE",
		})
	}
	standin.WriteJSON(w, http.StatusOK, map[string]any{"projects": projects})
}

// serveCerts is the JWK Set that verifies ID tokens.
func (g *Server) serveCerts(w http.ResponseWriter) {
	signer, err := g.signer()
	if err != nil {
		writeStatus(w, http.StatusInternalServerError, "INTERNAL", "Internal error encountered.")
		return
	}
	standin.WriteJSON(w, http.StatusOK, signer.set)
}

// googleSigner signs ID tokens.
type googleSigner struct {
	key    *rsa.PrivateKey
	header string          // in base64url
	set    json.RawMessage // JWK Set
}

func newGoogleSigner() (*googleSigner, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	kid, err := jose.Thumbprint(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	set, err := jose.MarshalSet([]jose.Key{{Public: &key.PublicKey, ID: kid, Algorithm: "RS256"}})
	header := fmt.Sprintf(`{"alg":"RS256","kid":%q,"typ":"JWT"}`, kid)
	return &googleSigner{key, base64.RawURLEncoding.EncodeToString([]byte(header)), set}, err
}

func (s *googleSigner) sign(claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	input := s.header + "." + base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, digest[:])
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), err
}
