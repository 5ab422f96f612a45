package keyring_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
)

// P06: a key that has not been seen at the public address does not sign,
// however long that takes. The key before it signs on, for a year or twice its
// period at most.
func TestActivationWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var isBlocked atomic.Bool
		var events recorder
		ring := newRing(t, keyring.Config{Audit: events.audit, Published: func(context.Context, string) error {
			if isBlocked.Load() {
				return errors.New("not there")
			}
			return nil
		}})
		defer ring.Close()
		time.Sleep(day)
		isBlocked.Store(true) // the third key
		first := signing(t, ring, nil)
		time.Sleep(30 * day)
		second := signing(t, ring, nil)
		if first == second {
			t.Fatal("the second key, which was seen, does not sign")
		}
		if err := ring.Err(); !errors.Is(err, keyring.ErrNotPublished) {
			t.Errorf("Err: %v, want %v", err, keyring.ErrNotPublished)
		}
		time.Sleep(45 * day)
		if kid := signing(t, ring, nil); kid != second {
			t.Errorf("%s signs, which nobody has seen", kid)
		}
		if !slices.Contains(events.kinds(), keyring.Extended) {
			t.Errorf("Audit was told %v, and not that the second key signs on", events.kinds())
		}
		isBlocked.Store(false)
		time.Sleep(2 * time.Minute)
		if err := ring.Err(); err != nil {
			t.Errorf("Err: %v", err)
		}
		time.Sleep(24*time.Hour + 50*time.Minute)
		if kid := signing(t, ring, nil); kid != second {
			t.Errorf("%s signs before it was published for long enough", kid)
		}
		time.Sleep(20 * time.Minute)
		if kid := signing(t, ring, nil); kid == second {
			t.Error("the third key does not sign although it has been published for long enough")
		}
	})
}

// K01: the key before does not sign for ever. When it has served twice its time,
// nothing signs, until the next key is seen; that then signs at once.
func TestActivationWaitsTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var isBlocked atomic.Bool
		ring := newRing(t, keyring.Config{Published: func(context.Context, string) error {
			if isBlocked.Load() {
				return errors.New("not there")
			}
			return nil
		}})
		defer ring.Close()
		issuer := newIssuer(t, ring, nil)
		isBlocked.Store(true)
		var last string
		start := time.Now()
		for {
			time.Sleep(30 * time.Minute)
			token, err := issuer.Mint(t.Context(), scope("ES256", time.Hour))
			if errors.Is(err, oidctoken.ErrNoKey) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			last = token.KeyID()
		}
		// From 30 days on, for at most 60.
		if d := time.Since(start); d < 88*day || d > 90*day {
			t.Errorf("the second key signed until day %v", d.Hours()/24)
		}
		isBlocked.Store(false)
		time.Sleep(66 * time.Second)
		if kid := mintWith(t, issuer, "ES256").KeyID(); kid == last {
			t.Error("the second key signs again")
		}
	})
}

// P01, P03: the static files equal the responses of the issuer.
func TestPublicDocuments(t *testing.T) {
	const identifier = "https://cdn.example.com/ci/oidc"
	ring := newRing(t, keyring.Config{MaxAge: 15 * time.Minute})
	issuer := must(oidctoken.NewIssuer(oidctoken.Config{URL: identifier, Keys: ring, MaxLifetime: time.Hour}))
	dir := filepath.Join(t.TempDir(), "new", "bucket")
	age, err := keyring.PublicDocuments(t.Context(), issuer, identifier, dir)
	if err != nil || age != 15*time.Minute {
		t.Fatalf("PublicDocuments: %v, %v; want 15m", age, err)
	}
	names := []string{".well-known/jwks.json", ".well-known/openid-configuration"}
	var infos []os.FileInfo
	for _, name := range names {
		w := httptest.NewRecorder()
		issuer.ServeHTTP(w, httptest.NewRequest("GET", identifier+"/"+name, nil))
		if diff := cmp.Diff(w.Body.String(), string(must(os.ReadFile(filepath.Join(dir, name))))); diff != "" {
			t.Errorf("%s (-served +written):\n%s", name, diff)
		}
		info := must(os.Stat(filepath.Join(dir, name)))
		if info.Mode().Perm() != 0o644 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		infos = append(infos, info)
	}
	// An unchanged file is not touched; a changed one is replaced.
	if err := os.WriteFile(filepath.Join(dir, names[1]), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	must(keyring.PublicDocuments(t.Context(), issuer, identifier, dir))
	if now := must(os.Stat(filepath.Join(dir, names[0]))); !os.SameFile(infos[0], now) {
		t.Error("the JWK Set was written again")
	}
	if b := must(os.ReadFile(filepath.Join(dir, names[1]))); string(b) == "old" {
		t.Error("the discovery document was not written")
	}
	if left := must(os.ReadDir(filepath.Join(dir, ".well-known"))); len(left) != 2 {
		t.Errorf("%d files are left, want 2", len(left))
	}
	// Nothing is written for an issuer without keys.
	broken := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no keys", http.StatusServiceUnavailable) })
	if _, err := keyring.PublicDocuments(t.Context(), broken, identifier, filepath.Join(dir, "x")); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("PublicDocuments of an issuer that answers 503: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
	if _, err := keyring.PublicDocuments(t.Context(), issuer, "ci", dir); err == nil {
		t.Error("an issuer identifier that is no URL was taken")
	}
}

// handlerTransport answers with a handler.
type handlerTransport struct{ http.Handler }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

func TestProbe(t *testing.T) {
	ring := newRing(t, keyring.Config{})
	issuer := newIssuer(t, ring, nil)
	kid := kids(ring)[0]
	text := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://other.example.com/")
			w.WriteHeader(status)
			io.WriteString(w, body)
		})
	}
	jwksIs := func(h http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/.well-known/openid-configuration", issuer)
		mux.Handle("/.well-known/jwks.json", h)
		return mux
	}
	for _, tt := range []struct {
		name   string
		served http.Handler
		kid    string
		want   string // in the error; "" for none
	}{
		{"the issuer", issuer, kid, ""},
		{"another key", issuer, "other", "does not have the key other"},
		{"an old set", jwksIs(text(200, `{"keys":[]}`)), kid, "does not have the key " + kid},
		{"no discovery document", text(404, ""), kid, "404"},
		{"a redirect", text(302, ""), kid, "302"},
		{"a redirect of the set", jwksIs(text(307, "")), kid, "307"},
		{"no JSON", text(200, "<html>"), kid, "not JSON"},
		{"another issuer", text(200, `{"issuer":"https://other.example.com","jwks_uri":"https://other.example.com/jwks"}`), kid, "is of the issuer"},
		{"a set that is none", jwksIs(text(200, "[]")), kid, "JWK Set"},
		{"a set without end", jwksIs(text(200, strings.Repeat(" ", 256<<10+1))), kid, "more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := keyring.Probe{Issuer: issuerURL, Transport: handlerTransport{tt.served}}.Check(t.Context(), tt.kid)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Check: %v, want %q", err, tt.want)
			}
		})
	}
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	if err := (keyring.Probe{Issuer: server.URL}).Check(t.Context(), kid); err == nil {
		t.Error("Check of an address that nobody serves succeeded")
	}
}
