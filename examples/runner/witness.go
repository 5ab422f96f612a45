package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/oidctoken/oidctoken/internal/jws"
)

// maxSeen limits how much of a request a witness reads, in bytes.
const maxSeen = 64 << 10

// subjectParameters are the parameters by which clients send a JWT to a cloud's
// token endpoint.
var subjectParameters = []string{"subject_token", "WebIdentityToken", "client_assertion"}

// witness prints one line for each token that a stand-in verified, with what
// the stand-in decided. It never prints the token.
type witness struct {
	standIn http.Handler
	cloud   string // such as "Google"
	stderr  io.Writer
}

// ServeHTTP lets the stand-in answer, and prints its decision.
func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxSeen+1))
	if err != nil {
		http.Error(rw, "the body cannot be read", http.StatusBadRequest)
		return
	}
	rest := r.Body
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), rest))
	answer := &statusWriter{ResponseWriter: rw, status: http.StatusOK}
	w.standIn.ServeHTTP(answer, r)
	if kid, sub, ok := sentToken(body); ok {
		decided := "verified the token and admits it"
		if answer.status != http.StatusOK {
			decided = fmt.Sprintf("refuses the token, with HTTP status %d", answer.status)
		}
		fmt.Fprintf(w.stderr, "--- %s's stand-in %s: sub %q, kid %.8s...\n", w.cloud, decided, sub, kid)
	}
}

// sentToken returns the key and the subject that the JWT in a request names.
func sentToken(body []byte) (kid, sub string, ok bool) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return "", "", false
	}
	for _, name := range subjectParameters {
		var header struct {
			KeyID string `json:"kid"`
		}
		var claims struct {
			Subject string `json:"sub"`
		}
		if jws.Decode(form.Get(name), maxSeen, &header, &claims) {
			return header.KeyID, claims.Subject, true
		}
	}
	return "", "", false
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers the status and sends it.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// lockedWriter lets a step's output, the log and the witnesses share a writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write writes p as a whole.
func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
