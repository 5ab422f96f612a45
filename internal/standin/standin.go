// Package standin holds the common parts of the stand-ins of clouds: how they
// decode a JWT, find its issuer's keys, keep access tokens and write JSON.
package standin

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/jws"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// Limits of the stand-ins.
const (
	MaxEchoed       = 512         // bytes of a claim in a refusal
	MaxGrants       = 4096        // access tokens or sessions that are kept
	MaxCountedPaths = 1024        // paths whose requests are counted
	AllowedSkew     = time.Minute // of iat and nbf
	MaxJWTAge       = 24 * time.Hour

	maxJWT = 16 << 10 // bytes
)

// JWT is a decoded JWT that is not verified yet.
type JWT struct {
	Algorithm, KeyID string
	Claims           map[string]json.RawMessage
}

// DecodeJWT reads a JWT. It refuses a "crit" header (RFC 7515, section 4.1.11).
func DecodeJWT(compact string) (j JWT, ok bool) {
	var header struct {
		Algorithm string          `json:"alg"`
		KeyID     string          `json:"kid"`
		Critical  json.RawMessage `json:"crit"`
	}
	if !jws.Decode(compact, maxJWT, &header, &j.Claims) || header.Critical != nil {
		return JWT{}, false
	}
	j.Algorithm, j.KeyID = header.Algorithm, header.KeyID
	return j, true
}

// IsString reports whether raw is a JSON string: null decodes into one, too.
func IsString(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '"' }

// CheckIssuer returns why an issuer's URL is refused, or "".
func CheckIssuer(issuer string) (reason string) {
	if issuer == "" {
		return "is required"
	}
	if tokenhttp.CheckURL(issuer) != nil || strings.Contains(issuer, "?") {
		return "is not an https URL, or one of http for a loopback host, without query and fragment"
	}
	return ""
}

// TokenHash identifies an access token. The tokens themselves are not kept.
type TokenHash [sha256.Size]byte

// WriteJSON writes value, which must be encodable, as an answer.
func WriteJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // a client that went away needs no error
}
