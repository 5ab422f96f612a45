package gcp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

// stsForm returns all members of a token request.
func stsForm(jwt, scope string) url.Values {
	return url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"audience":             {"//iam.googleapis.com/" + provider},
		"scope":                {scope},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"subject_token":        {jwt},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:jwt"},
	}
}

func checkSTSCall(t *testing.T, c call, want url.Values) {
	t.Helper()
	form, err := url.ParseQuery(c.Body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, form); diff != "" {
		t.Errorf("form (-want +got):\n%s", diff)
	}
	c.Body = ""
	if diff := cmp.Diff(call{
		Method: "POST", URL: "https://sts.googleapis.com/v1/token",
		ContentType: "application/x-www-form-urlencoded", Accept: "application/json",
	}, c); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

// X01
func TestExchangeRequest(t *testing.T) {
	const cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"
	for _, tt := range []struct {
		name   string
		config gcp.Config
		scopes []string
		want   string // scope
	}{
		{"default", gcp.Config{}, nil, cloudPlatform},
		{"configured scopes", gcp.Config{Scopes: []string{"a", "b"}}, nil, "a b"},
		{"requested scopes", gcp.Config{Scopes: []string{"a", "b"}}, []string{"c"}, "c"},
		{"other audience", gcp.Config{Audience: "https://gcp.example.com"}, nil, cloudPlatform},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := &google{answers: []answer{federated("ya29.federated", 899)}}
			e := newExchanger(t, g, tt.config)
			var audiences []string
			m := &minter{}
			_, err := e.Exchange(t.Context(), exchange.Request{Scopes: tt.scopes, Subject: func(ctx context.Context, audience string) (string, error) {
				audiences = append(audiences, audience)
				return m.subject(ctx, audience)
			}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{e.Audience()}, audiences); diff != "" {
				t.Errorf("audiences (-want +got):\n%s", diff)
			}
			calls := g.asked()
			if len(calls) != 1 {
				t.Fatalf("%d requests, want 1", len(calls))
			}
			checkSTSCall(t, calls[0], stsForm(m.All()[0], tt.want))
		})
	}
}

func TestExchangeCredential(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	g := &google{answers: []answer{federated("ya29.federated", 899)}}
	e := newExchanger(t, g, gcp.Config{Now: func() time.Time { return now }})
	c, err := e.Exchange(t.Context(), exchange.Request{Subject: (&minter{}).subject})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"CLOUDSDK_AUTH_ACCESS_TOKEN": "ya29.federated", "GOOGLE_OAUTH_ACCESS_TOKEN": "ya29.federated"}
	if diff := cmp.Diff(want, c.Env()); diff != "" {
		t.Errorf("Env (-want +got):\n%s", diff)
	}
	if want := now.Add(899 * time.Second); !c.Expires().Equal(want) {
		t.Errorf("Expires = %s, want %s", c.Expires(), want)
	}
	cloudtest.NoLeak(t, c, "ya29.federated")
}

func TestExchangeRefusesRequest(t *testing.T) {
	good := (&minter{}).subject
	for _, tt := range []struct {
		name string
		give exchange.Request
		want oidctoken.ConfigError
	}{
		{"no subject", exchange.Request{}, oidctoken.ConfigError{Package: "gcp", Field: "Request.Subject", Reason: "is required"}},
		{"no scopes", exchange.Request{Subject: good, Scopes: []string{}}, oidctoken.ConfigError{Package: "gcp", Field: "Request.Scopes", Reason: "is empty, but not nil"}},
		{"bad scope", exchange.Request{Subject: good, Scopes: []string{"a", "b c"}}, oidctoken.ConfigError{Package: "gcp", Field: "Request.Scopes[1]", Reason: "is not an OAuth scope"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := &google{answers: []answer{federated("ya29.federated", 899)}}
			err := exchangeError(t, newExchanger(t, g, gcp.Config{}), tt.give)
			var got *oidctoken.ConfigError
			errors.As(err, &got)
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("Exchange (-want +got):\n%s", diff)
			}
			if n := len(g.asked()); n != 0 {
				t.Errorf("%d requests, want none", n)
			}
		})
	}
}

// T05: a JWT that Google would refuse is never sent.
func TestExchangeRefusesJWT(t *testing.T) {
	const (
		notJWT   = "did not return a compact JWT with a string for iss, sub and aud and an integer for iat and exp"
		notAlg   = "returned a JWT that is signed with neither ES256 nor RS256"
		noClaim  = "returned a JWT without iss, sub, iat or exp"
		otherAud = "returned a JWT for another audience than the requested one"
		notShort = "returned a JWT that does not live for up to 24 hours"
	)
	fixed := func(change func(jwt string) string) exchange.SubjectToken {
		return func(ctx context.Context, audience string) (string, error) {
			jwt, err := (&minter{}).subject(ctx, audience)
			return change(jwt), err
		}
	}
	header := func(h map[string]any) exchange.SubjectToken { return (&minter{header: h}).subject }
	claims := func(c map[string]any) exchange.SubjectToken { return (&minter{claims: c}).subject }
	now := time.Now().Unix()
	for _, tt := range []struct {
		name string
		give exchange.SubjectToken
		want string
	}{
		{"empty", fixed(func(string) string { return "" }), notJWT},
		{"two parts", fixed(func(s string) string { return s[:strings.LastIndex(s, ".")] }), notJWT},
		{"four parts", fixed(func(s string) string { return s + ".e30" }), notJWT},
		{"no signature", fixed(func(s string) string { return s[:strings.LastIndex(s, ".")+1] }), notJWT},
		{"line break at the end", fixed(func(s string) string { return s + "\n" }), notJWT},
		{"line break inside", fixed(func(s string) string { return s[:4] + "\r\n" + s[4:] }), notJWT},
		{"space", fixed(func(s string) string { return " " + s }), notJWT},
		{"padding", fixed(func(s string) string { return s + "==" }), notJWT},
		{"stray bits", fixed(func(s string) string { return s[:len(s)-1] + "_" }), notJWT},
		{"too long", claims(map[string]any{"x": strings.Repeat("x", 16<<10)}), notJWT},
		{"header is no object", fixed(func(s string) string { return "W10" + s[strings.Index(s, "."):] }), notJWT},
		{"two audiences", claims(map[string]any{"aud": []string{audience, "b"}}), notJWT},
		{"audience in a list", claims(map[string]any{"aud": []string{audience}}), notJWT},
		{"date is a fraction", claims(map[string]any{"exp": 1.5}), notJWT},
		{"date is a string", claims(map[string]any{"iat": "1"}), notJWT},
		{"EdDSA", header(map[string]any{"alg": "EdDSA"}), notAlg},
		{"none", header(map[string]any{"alg": "none"}), notAlg},
		{"other case", header(map[string]any{"alg": "es256"}), notAlg},
		{"no alg", header(map[string]any{"alg": nil}), notAlg},
		{"no kid", header(map[string]any{"kid": nil}), "returned a JWT without kid"},
		{"no iss", claims(map[string]any{"iss": nil}), noClaim},
		{"no sub", claims(map[string]any{"sub": nil}), noClaim},
		{"no iat", claims(map[string]any{"iat": nil}), noClaim},
		{"no exp", claims(map[string]any{"exp": nil}), noClaim},
		{"no aud", claims(map[string]any{"aud": nil}), otherAud},
		{"other aud", claims(map[string]any{"aud": "//iam.googleapis.com/" + provider}), otherAud},
		{"too long-lived", claims(map[string]any{"iat": now, "exp": now + 86401}), notShort},
		{"over before it begins", claims(map[string]any{"iat": now, "exp": now}), notShort},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := &google{answers: []answer{federated("ya29.federated", 899)}}
			e := newExchanger(t, g, gcp.Config{})
			var sent string
			err := exchangeError(t, e, exchange.Request{Subject: func(ctx context.Context, audience string) (_ string, err error) {
				sent, err = tt.give(ctx, audience)
				return sent, err
			}})
			var got *oidctoken.ConfigError
			errors.As(err, &got)
			if diff := cmp.Diff(&oidctoken.ConfigError{Package: "gcp", Field: "SubjectToken", Reason: tt.want}, got); diff != "" {
				t.Errorf("Exchange (-want +got):\n%s", diff)
			}
			if n := len(g.asked()); n != 0 {
				t.Errorf("%d requests, want none", n)
			}
			cloudtest.NoLeak(t, err, sent)
		})
	}
}

// The host's own errors are returned unchanged, and the request is not
// repeated.
func TestExchangeSubjectError(t *testing.T) {
	for _, tt := range []struct {
		name string
		give error
	}{
		{"scope", &oidctoken.ScopeError{Field: "Audience", Reason: "is required"}},
		{"signer", oidctoken.ErrSignerUnavailable},
		{"ctx", context.Canceled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := &google{answers: []answer{federated("ya29.federated", 899)}}
			calls := 0
			err := exchangeError(t, newExchanger(t, g, gcp.Config{}), exchange.Request{Subject: func(context.Context, string) (string, error) {
				calls++
				return "", tt.give
			}})
			if err != tt.give {
				t.Errorf("error = %v, want %v itself", err, tt.give)
			}
			if calls != 1 || len(g.asked()) != 0 {
				t.Errorf("%d calls of Subject and %d requests, want 1 and 0", calls, len(g.asked()))
			}
		})
	}
}

// X02, X03, X04
func TestExchangeRefusesAnswer(t *testing.T) {
	const good = `"issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer"`
	for _, tt := range []struct{ name, body, want string }{
		{"empty", ``, "the answer is not JSON"},
		{"not JSON", `<html>`, "the answer is not JSON"},
		{"list", `[]`, "the answer is not a JSON object"},
		{"nothing in it", `{}`, "the token is empty"},
		{"empty token", `{"access_token":"","expires_in":900,` + good + `}`, "the token is empty"},
		{"token is a number", `{"access_token":1,"expires_in":900,` + good + `}`, "the answer's access_token has the wrong type"},
		{"token with line break", `{"access_token":"ya29.aaaaaaaaaaaa\r\nX: y","expires_in":900,` + good + `}`, "the token has a byte that is not visible ASCII"},
		{"token with NUL", `{"access_token":"ya29.\u0000","expires_in":900,` + good + `}`, "the token has a byte that is not visible ASCII"},
		{"token too long", `{"access_token":"` + strings.Repeat("a", 16<<10+1) + `","expires_in":900,` + good + `}`, "the token is longer than 16 KiB"},
		{"two tokens", `{"access_token":"ya29.a","access_token":"ya29.b","expires_in":900,` + good + `}`, "the answer has a member twice"},
		{"no token type", `{"access_token":"ya29.a","expires_in":900,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}`, "token_type is not Bearer"},
		{"other token type", `{"access_token":"ya29.a","expires_in":900,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"MAC"}`,
			"token_type is not Bearer"},
		{"no issued type", `{"access_token":"ya29.a","expires_in":900,"token_type":"Bearer"}`, "issued_token_type is not the type of an access token"},
		{"other issued type", `{"access_token":"ya29.a","expires_in":900,"issued_token_type":"urn:ietf:params:oauth:token-type:jwt","token_type":"Bearer"}`,
			"issued_token_type is not the type of an access token"},
		{"no expiry", `{"access_token":"ya29.a",` + good + `}`, "expires_in is missing"},
		{"null expiry", `{"access_token":"ya29.a","expires_in":null,` + good + `}`, "expires_in is not a whole number of seconds"},
		{"zero expiry", `{"access_token":"ya29.a","expires_in":0,` + good + `}`, "expires_in is not from 1 s to 24 h"},
		{"negative expiry", `{"access_token":"ya29.a","expires_in":-1,` + good + `}`, "expires_in is not a whole number of seconds"},
		{"expiry in a string", `{"access_token":"ya29.a","expires_in":"900",` + good + `}`, "expires_in is not a whole number of seconds"},
		{"expiry is a fraction", `{"access_token":"ya29.a","expires_in":900.5,` + good + `}`, "expires_in is not a whole number of seconds"},
		{"absurd expiry", `{"access_token":"ya29.a","expires_in":9223372036854775807,` + good + `}`, "expires_in is not from 1 s to 24 h"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := &google{answers: []answer{{body: tt.body}}}
			m := &minter{}
			err := exchangeError(t, newExchanger(t, g, gcp.Config{}), exchange.Request{Subject: m.subject})
			var got *exchange.Error
			if !errors.As(err, &got) {
				t.Fatalf("error = %v, want an *exchange.Error", err)
			}
			if got.Provider != "gcp" || got.Op != "sts:token" || got.Status != 200 || got.Temporary() || got.Err.Error() != tt.want {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
			if len(g.asked()) != 1 {
				t.Errorf("%d requests, want 1", len(g.asked()))
			}
			cloudtest.NoLeak(t, err, m.All()[0], "ya29.aaaaaaaaaaaa")
		})
	}
}

func TestExchangeTokenTypeCase(t *testing.T) {
	g := &google{answers: []answer{{body: `{"access_token":"ya29.a","token_type":"bearer","expires_in":900,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token","scope":"x"}`}}}
	if _, err := newExchanger(t, g, gcp.Config{}).Exchange(t.Context(), exchange.Request{Subject: (&minter{}).subject}); err != nil {
		t.Errorf("Exchange: %v", err) // RFC 6749, section 5.1: case insensitive
	}
}

// X05
func TestExchangeRedirect(t *testing.T) {
	var hits atomic.Int32
	second := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer second.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			first := httptest.NewServer(http.RedirectHandler(second.URL, status))
			defer first.Close()
			e, err := gcp.New(gcp.Config{Provider: provider, TokenURL: first.URL})
			if err != nil {
				t.Fatal(err)
			}
			m := &minter{}
			err = exchangeError(t, e, exchange.Request{Subject: m.subject})
			var got *exchange.Error
			if !errors.As(err, &got) || got.Status != status || got.Temporary() {
				t.Errorf("error = %v, want a permanent *exchange.Error of status %d", err, status)
			}
			if hits.Load() != 0 {
				t.Errorf("the second host got %d requests", hits.Load())
			}
			cloudtest.NoLeak(t, err, m.All()[0])
		})
	}
}
