package googletest_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/oidctokentest/googletest"
	"github.com/oidctoken/oidctoken/oidctokentest/internal/standintest"
)

const issuerError = `{"error":"invalid_grant","error_description":"Error connecting to the given credential's issuer."}` + "\n"

// Google's requirements for an issuer's documents.
func TestGoogleDiscovery(t *testing.T) {
	type documents struct {
		discovery, jwks         string
		discoveryType, jwksType string
		status                  int
		redirect                bool
	}
	for _, tt := range []struct {
		name  string
		spoil func(d *documents, url string)
	}{
		{"other issuer", func(d *documents, url string) { d.discovery = strings.Replace(d.discovery, url, url+"/", 1) }},
		{"plain http", func(d *documents, url string) {
			d.discovery = strings.Replace(d.discovery, url+"/.well-known/jwks", "http://example.com/jwks", 1)
		}},
		{"not JSON", func(d *documents, _ string) { d.discovery = "<html>" }},
		{"HTML", func(d *documents, _ string) { d.discoveryType = "text/html" }},
		{"keys as text", func(d *documents, _ string) { d.jwksType = "text/plain" }},
		{"no keys", func(d *documents, _ string) { d.jwks = `{"keys":[]}` }},
		{"keys are not JSON", func(d *documents, _ string) { d.jwks = "keys" }},
		{"keys twice", func(d *documents, _ string) {
			keys := strings.TrimSuffix(strings.TrimPrefix(d.jwks, `{"keys":[`), `]}`)
			d.jwks = `{"keys":[` + keys + `,` + keys + `]}`
		}},
		{"an error", func(d *documents, _ string) { d.status = http.StatusServiceUnavailable }},
		{"too long", func(d *documents, _ string) { d.jwks += strings.Repeat(" ", 256<<10) }},
		{"redirect", func(d *documents, _ string) { d.redirect = true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var d documents
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, contentType := d.discovery, d.discoveryType
				if strings.HasSuffix(r.URL.Path, "/jwks.json") {
					body, contentType = d.jwks, d.jwksType
				}
				if d.redirect && !strings.HasPrefix(r.URL.Path, "/moved") {
					http.Redirect(w, r, "/moved"+r.URL.Path, http.StatusFound)
					return
				}
				w.Header().Set("Content-Type", contentType)
				w.WriteHeader(d.status)
				_, _ = w.Write([]byte(body))
			}))
			defer front.Close()
			g := newGoogle(t, func(c *googletest.Config) { c.Providers[0].Issuer = front.URL })
			good := documents{
				get(t, g.issuer, "/.well-known/openid-configuration"), get(t, g.issuer, "/.well-known/jwks.json"),
				"application/json", "application/jwk-set+json", http.StatusOK, false,
			}
			good.discovery = strings.ReplaceAll(good.discovery, g.issuer.URL, front.URL)

			d = good
			tt.spoil(&d, front.URL)
			r := g.request()
			r.claims["iss"] = front.URL
			if diff := cmp.Diff(issuerError, g.send(t, r).Body.String()); diff != "" {
				t.Errorf("the STS (-want +got):\n%s", diff)
			}
			d = good // the unchanged document is fetched and accepted
			g.exchange(t, r)
		})
	}
}

func get(t *testing.T, issuer *oidctokentest.Issuer, path string) string {
	t.Helper()
	w := standintest.Call(t, issuer, http.MethodGet, path, nil, "")
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d", path, w.Code)
	}
	return w.Body.String()
}

// Keys are cached for the max-age of the response, at most 10 minutes. An
// unknown kid causes another fetch, but not with every request.
func TestGoogleKeepsKeys(t *testing.T) {
	now := time.Now()
	source := &rotating{}
	network := &standintest.Counting{Next: &http.Transport{DisableKeepAlives: true}}
	first, second := oidctokentest.NewKey(t, "ES256"), oidctokentest.NewKey(t, "ES256")
	source.keys.Store(&[]oidctoken.Key{first})
	issuer := oidctokentest.NewIssuer(t, func(c *oidctoken.Config) { c.Keys = source })
	g, err := googletest.New(googletest.Config{
		Providers: []googletest.Provider{{Name: provider, Issuer: issuer.URL}},
		Transport: network,
		Now:       func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	template := (&google{Server: g, issuer: issuer}).request()
	mint := func() string {
		token, err := issuer.Mint(t.Context(), oidctoken.Scope{
			Audience: "https://iam.googleapis.com/" + provider,
			Profile:  &oidctoken.Profile{Algorithms: []string{"ES256"}, Lifetime: time.Hour},
			Account:  oidctoken.Entity{ID: "acme"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return token.JWT()
	}
	exchange := func(step, jwt string, status, fetched int) {
		t.Helper()
		template.form.Set("subject_token", jwt)
		answer := standintest.Call(t, g, http.MethodPost, "/v1/token", template.header, template.form.Encode())
		if answer.Code != status || int(network.JWKS.Load()) != fetched {
			t.Fatalf("%s: the STS answered %d after %d fetches, want %d after %d: %s", step, answer.Code, network.JWKS.Load(), status, fetched, answer.Body)
		}
	}
	old := mint()
	network.Fail.Store(1)
	exchange("no network", old, http.StatusBadRequest, 0)
	exchange("network", old, http.StatusOK, 1)
	exchange("kept", old, http.StatusOK, 1)
	source.keys.Store(&[]oidctoken.Key{second})
	rotated := mint()
	exchange("new key within a second", rotated, http.StatusBadRequest, 1)
	now = now.Add(2 * time.Second)
	exchange("the old key is known still", old, http.StatusOK, 1)
	exchange("new key", rotated, http.StatusOK, 2)
	exchange("the old key is gone", old, http.StatusBadRequest, 2)
	now = now.Add(10 * time.Minute)
	exchange("old set", rotated, http.StatusOK, 3)
}

type rotating struct {
	keys atomic.Pointer[[]oidctoken.Key]
}

func (r *rotating) Keys(context.Context) ([]oidctoken.Key, error) { return *r.keys.Load(), nil }

func TestGoogleUploadedKeys(t *testing.T) {
	issuer := oidctokentest.NewIssuer(t)
	document, err := issuer.JWKSet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g, err := googletest.New(googletest.Config{
		Providers: []googletest.Provider{{Name: provider, Issuer: issuer.URL, JWKSet: document}},
		Transport: &standintest.Counting{}, // which cannot be used
	})
	if err != nil {
		t.Fatal(err)
	}
	token, err := issuer.Mint(t.Context(), oidctoken.Scope{
		Audience: "https://iam.googleapis.com/" + provider, Account: oidctoken.Entity{ID: "acme"},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := (&google{Server: g, issuer: issuer}).request()
	r.form.Set("subject_token", token.JWT())
	if answer := standintest.Call(t, g, http.MethodPost, r.path, r.header, r.form.Encode()); answer.Code != http.StatusOK {
		t.Errorf("the STS answered %d: %s", answer.Code, answer.Body)
	}

	for _, alg := range []string{"ES384", "EdDSA"} {
		other := oidctokentest.NewIssuer(t, func(c *oidctoken.Config) {
			c.Keys = append(c.Keys.(oidctoken.StaticKeys), oidctokentest.NewKey(t, alg))
		})
		document, err := other.JWKSet(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = googletest.New(googletest.Config{
			Providers: []googletest.Provider{{Name: provider, Issuer: other.URL, JWKSet: document}},
		})
		var got *oidctoken.ConfigError
		errors.As(err, &got)
		want := &oidctoken.ConfigError{Package: "googletest", Field: "Providers[0].JWKSet",
			Reason: "has a key that is neither of RSA, with 2048 bits or more, nor of P-256"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("NewGoogle with a key for %s (-want +got):\n%s", alg, diff)
		}
	}
}

// A discovered key of another kind is ignored.
func TestGoogleLeavesOtherKeys(t *testing.T) {
	g := newGoogle(t)
	issuer := oidctokentest.NewIssuer(t, func(c *oidctoken.Config) {
		c.Keys = oidctoken.StaticKeys{oidctokentest.NewKey(t, "ES384"), oidctokentest.NewKey(t, "EdDSA"), g.key}
	})
	other, err := googletest.New(googletest.Config{
		Providers: []googletest.Provider{{Name: provider, Issuer: issuer.URL}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for alg, want := range map[string]int{"RS256": 200, "ES384": 400, "EdDSA": 400} {
		token, err := issuer.Mint(t.Context(), oidctoken.Scope{
			Audience: "https://iam.googleapis.com/" + provider, Account: oidctoken.Entity{ID: "acme"},
			Profile: &oidctoken.Profile{Algorithms: []string{alg}},
		})
		if err != nil {
			t.Fatal(err)
		}
		r := g.request()
		r.form.Set("subject_token", token.JWT())
		answer := standintest.Call(t, other, http.MethodPost, r.path, r.header, r.form.Encode())
		if answer.Code != want || !json.Valid(answer.Body.Bytes()) {
			t.Errorf("the STS answered %d to %s, want %d: %s", answer.Code, alg, want, answer.Body)
		}
	}
}
