// Package cloudtest has the helpers that the tests of the clouds' packages share.
package cloudtest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// InProcess sends requests to a handler without a network, so that time in a bubble of
// testing/synctest can pass.
type InProcess struct{ Handler http.Handler }

// RoundTrip implements [http.RoundTripper].
func (t InProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	answered := make(chan *http.Response, 1)
	go func() {
		recorder := httptest.NewRecorder()
		t.Handler.ServeHTTP(recorder, r)
		answered <- recorder.Result()
	}()
	select {
	case resp := <-answered:
		return resp, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// RoundTripper is an [http.RoundTripper] that is a func.
type RoundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements [http.RoundTripper].
func (f RoundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// ErrReset is the error of a broken connection.
var ErrReset = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}

// JWTs collects the JWTs that a test mints.
type JWTs struct {
	mu     sync.Mutex
	minted []string
}

// Mint makes a JWT with a random signature and adds it. A nil value in a change removes
// the member.
func (j *JWTs) Mint(header, headerChanges, claims, claimChanges map[string]any) string {
	jwt := Compact(Merge(header, headerChanges), Merge(claims, claimChanges))
	j.mu.Lock()
	defer j.mu.Unlock()
	j.minted = append(j.minted, jwt)
	return jwt
}

// All returns the JWTs so far.
func (j *JWTs) All() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.minted...)
}

// Merge returns base with changes. A nil value removes a member.
func Merge(base, changes map[string]any) map[string]any {
	base = maps.Clone(base)
	for name, value := range changes {
		if value == nil {
			delete(base, name)
		} else {
			base[name] = value
		}
	}
	return base
}

// Compact returns a JWT with a random signature.
func Compact(header, claims any) string {
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signature := make([]byte, 64)
	rand.Read(signature)
	return encode(header) + "." + encode(claims) + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// NoLeak ends the test if any way to print v shows 12 bytes in a row of a secret.
func NoLeak(t *testing.T, v any, secrets ...string) {
	t.Helper()
	texts := []string{
		fmt.Sprintf("%v", v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), fmt.Sprintf("%s", v), fmt.Sprintf("%q", v),
	}
	if b, err := json.Marshal(v); err == nil {
		texts = append(texts, string(b))
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "v", v)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "v", v)
	texts = append(texts, logged.String())
	if err, ok := v.(error); ok {
		for e := errors.Unwrap(err); e != nil; e = errors.Unwrap(e) {
			texts = append(texts, e.Error(), fmt.Sprintf("%#v", e))
		}
	}
	for _, secret := range secrets {
		for i := 0; i+12 <= len(secret); i++ {
			for _, text := range texts {
				if strings.Contains(text, secret[i:i+12]) {
					t.Fatalf("a secret shows in %q", text)
				}
			}
		}
	}
}
