package entratest

import (
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/oidctoken/oidctoken/internal/standin"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// entraError is an error of Entra: the one of RFC 6749, section 5.2, with the
// number of an AADSTS code.
type entraError struct {
	status  int
	error   string
	code    int
	message string
}

func badEntra(name string, code int, message string) *entraError {
	return &entraError{http.StatusBadRequest, name, code, message}
}

// badClient refuses a client that could not authenticate (RFC 6749, section
// 5.2).
func badClient(code int, message string) *entraError {
	return &entraError{http.StatusUnauthorized, "invalid_client", code, message}
}

const learnFederation = " Check your federated identity credential Subject, Audience and Issuer against the presented assertion." +
	" https://learn.microsoft.com/entra/workload-id/workload-identity-federation"

func quoted(s string) string { return tokenhttp.Printable(s, standin.MaxEchoed) }

// writeError writes an error as the token endpoint does.
func (e *Server) writeError(w http.ResponseWriter, r *http.Request, refused *entraError) {
	trace, correlation := newGUID(), r.Header.Get("Client-Request-Id")
	if !isGUID(correlation) {
		correlation = newGUID()
	}
	at := e.config.Now().UTC().Format("2006-01-02 15:04:05Z")
	standin.WriteJSON(w, refused.status, map[string]any{
		"error": refused.error,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s",
			refused.code, refused.message, trace, correlation, at),
		"error_codes":    []int{refused.code},
		"timestamp":      at,
		"trace_id":       trace,
		"correlation_id": correlation,
		"error_uri":      fmt.Sprintf("%s/error?code=%d", baseOf(r), refused.code),
	})
}

// newGUID returns a GUID of version 4 (RFC 9562, section 5.4).
func newGUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: the program ends without entropy
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
