package azure_test

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
	"github.com/oidctoken/oidctoken/azure"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

// checkCall requires the request of RFC 7523, section 2.2, and nothing else.
func checkCall(t *testing.T, c call, address, jwt, scope string) {
	t.Helper()
	form, err := url.ParseQuery(c.Body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(url.Values{
		"grant_type":            {"client_credentials"},
		"client_id":             {client},
		"scope":                 {scope},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {jwt},
	}, form); diff != "" {
		t.Errorf("form (-want +got):\n%s", diff)
	}
	c.Body = ""
	if diff := cmp.Diff(call{
		Method: "POST", URL: address, ContentType: "application/x-www-form-urlencoded", Accept: "application/json",
	}, c); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

// X11
func TestExchangeRequest(t *testing.T) {
	const vault = "https://vault.azure.net/.default"
	for _, tt := range []struct {
		name         string
		config       azure.Config
		scopes       []string
		address      string
		scope, asked string // asked: the audience
	}{
		{"default", azure.Config{}, nil, tokenURL, armScope, audience},
		{"configured scope", azure.Config{Scopes: []string{vault}}, nil, tokenURL, vault, audience},
		{"requested scope", azure.Config{Scopes: []string{armScope}}, []string{vault}, tokenURL, vault, audience},
		{"other audience", azure.Config{Audience: "https://entra.example.com"}, nil, tokenURL, armScope, "https://entra.example.com"},
		{"domain", azure.Config{TenantID: "acme.onmicrosoft.com"}, nil, "https://login.microsoftonline.com/acme.onmicrosoft.com/oauth2/v2.0/token", armScope, audience},
		{"US government", azure.Config{AuthorityHost: "https://login.microsoftonline.us/"}, nil,
			"https://login.microsoftonline.us/" + tenant + "/oauth2/v2.0/token", "https://management.usgovcloudapi.net/.default", "api://AzureADTokenExchangeUSGov"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stub := &entra{answers: []answer{granted("eyJ0.access")}}
			e := newExchanger(t, stub, tt.config)
			var audiences []string
			m := &minter{}
			_, err := e.Exchange(t.Context(), exchange.Request{Scopes: tt.scopes, Subject: func(ctx context.Context, audience string) (string, error) {
				audiences = append(audiences, audience)
				return m.subject(ctx, audience)
			}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{tt.asked}, audiences); diff != "" {
				t.Errorf("audiences (-want +got):\n%s", diff)
			}
			calls := stub.asked()
			if len(calls) != 1 {
				t.Fatalf("%d requests, want 1", len(calls))
			}
			checkCall(t, calls[0], tt.address, m.All()[0], tt.scope)
		})
	}
}

// D08
func TestExchangeCredential(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	e := newExchanger(t, &entra{answers: []answer{granted("eyJ0.access.token")}}, azure.Config{Now: func() time.Time { return now }})
	c, err := e.Exchange(t.Context(), exchange.Request{Subject: (&minter{}).subject})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"AZURE_ACCESS_TOKEN": "eyJ0.access.token"}, c.Env()); diff != "" {
		t.Errorf("Env (-want +got):\n%s", diff)
	}
	if want := now.Add(3599 * time.Second); !c.Expires().Equal(want) {
		t.Errorf("Expires = %s, want %s", c.Expires(), want)
	}
	cloudtest.NoLeak(t, c, "eyJ0.access.token")
}

func TestExchangeRefusesRequest(t *testing.T) {
	good := (&minter{}).subject
	for _, tt := range []struct {
		name string
		give exchange.Request
		want oidctoken.ConfigError
	}{
		{"no subject", exchange.Request{}, oidctoken.ConfigError{Package: "azure", Field: "Request.Subject", Reason: "is required"}},
		{"no scopes", exchange.Request{Subject: good, Scopes: []string{}}, oidctoken.ConfigError{Package: "azure", Field: "Request.Scopes", Reason: "is empty, but not nil"}},
		{"bad scope", exchange.Request{Subject: good, Scopes: []string{"https://vault.azure.net"}}, oidctoken.ConfigError{Package: "azure", Field: "Request.Scopes[0]", Reason: "is not RESOURCE/.default"}},
		{"two scopes", exchange.Request{Subject: good, Scopes: []string{"a/.default", "b/.default"}},
			oidctoken.ConfigError{Package: "azure", Field: "Request.Scopes", Reason: "has more than one: a token is for one resource"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stub := &entra{answers: []answer{granted("eyJ0.access")}}
			err := exchangeError(t, newExchanger(t, stub, azure.Config{}), tt.give)
			var got *oidctoken.ConfigError
			errors.As(err, &got)
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("Exchange (-want +got):\n%s", diff)
			}
			if n := len(stub.asked()); n != 0 {
				t.Errorf("%d requests, want none", n)
			}
		})
	}
}

// T05 X11: a JWT that Entra would refuse is never sent.
func TestExchangeRefusesJWT(t *testing.T) {
	const (
		notJWT   = "did not return a compact JWT with a string for iss, sub and aud and an integer for iat and exp"
		notAlg   = "returned a JWT that is not signed with RS256, and Entra takes no other: mint it with Exchanger.Profile"
		noKid    = "returned a JWT without kid, or with one that is not printable ASCII"
		noClaim  = "returned a JWT without iss, sub, iat or exp"
		otherAud = "returned a JWT for another audience than the requested one"
		ended    = "returned a JWT that ends before it begins"
		noMatch  = "returned a JWT whose iss or sub no federated credential can have: at most 600 printable ASCII characters without spaces"
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
		{"space", fixed(func(s string) string { return " " + s }), notJWT},
		{"padding", fixed(func(s string) string { return s + "==" }), notJWT},
		{"stray bits", fixed(func(s string) string { return s[:len(s)-1] + "_" }), notJWT},
		{"too long", claims(map[string]any{"x": strings.Repeat("x", 16<<10)}), notJWT},
		{"header is no object", fixed(func(s string) string { return "W10" + s[strings.Index(s, "."):] }), notJWT},
		{"claim twice", fixed(func(s string) string { // {"sub":"a","sub":"b"}
			return s[:strings.Index(s, ".")] + ".eyJzdWIiOiJhIiwic3ViIjoiYiJ9" + s[strings.LastIndex(s, "."):]
		}), notJWT},
		{"two audiences", claims(map[string]any{"aud": []string{audience, "b"}}), notJWT},
		{"date is a fraction", claims(map[string]any{"exp": 1.5}), notJWT},
		{"date is a string", claims(map[string]any{"iat": "1"}), notJWT},
		{"ES256", header(map[string]any{"alg": "ES256"}), notAlg},
		{"RS512", header(map[string]any{"alg": "RS512"}), notAlg},
		{"PS256", header(map[string]any{"alg": "PS256"}), notAlg},
		{"none", header(map[string]any{"alg": "none"}), notAlg},
		{"other case", header(map[string]any{"alg": "rs256"}), notAlg},
		{"no alg", header(map[string]any{"alg": nil}), notAlg},
		{"no kid", header(map[string]any{"kid": nil}), noKid},
		{"kid with line break", header(map[string]any{"kid": "a\nb"}), noKid},
		{"no iss", claims(map[string]any{"iss": nil}), noClaim},
		{"no sub", claims(map[string]any{"sub": nil}), noClaim},
		{"no iat", claims(map[string]any{"iat": nil}), noClaim},
		{"no exp", claims(map[string]any{"exp": nil}), noClaim},
		{"no aud", claims(map[string]any{"aud": nil}), otherAud},
		{"other aud", claims(map[string]any{"aud": "api://azureadtokenexchange"}), otherAud},
		{"over before it begins", claims(map[string]any{"iat": now, "exp": now}), ended},
		{"sub of 601 bytes", claims(map[string]any{"sub": strings.Repeat("s", 601)}), noMatch},
		{"sub with a space", claims(map[string]any{"sub": "account/a b"}), noMatch},
		{"sub with a space at its end", claims(map[string]any{"sub": "account/a "}), noMatch},
		{"sub with umlaut", claims(map[string]any{"sub": "ä"}), noMatch},
		{"iss with a tab", claims(map[string]any{"iss": issuer + "\t"}), noMatch},
		{"iss of 601 bytes", claims(map[string]any{"iss": "https://" + strings.Repeat("i", 593)}), noMatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stub := &entra{answers: []answer{granted("eyJ0.access")}}
			var sent string
			err := exchangeError(t, newExchanger(t, stub, azure.Config{}), exchange.Request{Subject: func(ctx context.Context, audience string) (_ string, err error) {
				sent, err = tt.give(ctx, audience)
				return sent, err
			}})
			var got *oidctoken.ConfigError
			errors.As(err, &got)
			if diff := cmp.Diff(&oidctoken.ConfigError{Package: "azure", Field: "Request.Subject", Reason: tt.want}, got); diff != "" {
				t.Errorf("Exchange (-want +got):\n%s", diff)
			}
			if n := len(stub.asked()); n != 0 {
				t.Errorf("%d requests, want none", n)
			}
			cloudtest.NoLeak(t, err, sent)
		})
	}
}

// X11: the longest that a federated credential can hold is sent.
func TestExchangeLongestValues(t *testing.T) {
	stub := &entra{answers: []answer{granted("eyJ0.access")}}
	m := &minter{claims: map[string]any{"iss": "https://" + strings.Repeat("i", 592), "sub": strings.Repeat("s", 600)}}
	e := newExchanger(t, stub, azure.Config{Audience: strings.Repeat("a", 600)})
	if _, err := e.Exchange(t.Context(), exchange.Request{Subject: m.subject}); err != nil {
		t.Fatal(err)
	}
	checkCall(t, stub.asked()[0], tokenURL, m.All()[0], armScope)
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
			stub := &entra{answers: []answer{granted("eyJ0.access")}}
			calls := 0
			err := exchangeError(t, newExchanger(t, stub, azure.Config{}), exchange.Request{Subject: func(context.Context, string) (string, error) {
				calls++
				return "", tt.give
			}})
			if err != tt.give {
				t.Errorf("error = %v, want %v itself", err, tt.give)
			}
			if calls != 1 || len(stub.asked()) != 0 {
				t.Errorf("%d calls of Subject and %d requests, want 1 and 0", calls, len(stub.asked()))
			}
		})
	}
}

// X03 X04: a token or a lifetime that cannot be used is refused.
func TestExchangeRefusesAnswer(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"empty", ``, "the answer is not JSON"},
		{"not JSON", `<html>`, "the answer is not JSON"},
		{"list", `[]`, "the answer is not a JSON object"},
		{"nothing in it", `{}`, "the token is empty"},
		{"an error", `{"error":"invalid_client"}`, "the token is empty"},
		{"empty token", `{"access_token":"","expires_in":900,"token_type":"Bearer"}`, "the token is empty"},
		{"token is a number", `{"access_token":1,"expires_in":900,"token_type":"Bearer"}`, "the answer's access_token has the wrong type"},
		{"token with line break", `{"access_token":"eyJ0.aaaaaaaaaaaa\r\nX: y","expires_in":900,"token_type":"Bearer"}`, "the token has a byte that is not visible ASCII"},
		{"token with NUL", `{"access_token":"eyJ0.\u0000","expires_in":900,"token_type":"Bearer"}`, "the token has a byte that is not visible ASCII"},
		{"token too long", `{"access_token":"` + strings.Repeat("a", 16<<10+1) + `","expires_in":900,"token_type":"Bearer"}`, "the token is longer than 16 KiB"},
		{"two tokens", `{"access_token":"eyJ0.a","Access_Token":"eyJ0.b","expires_in":900,"token_type":"Bearer"}`, "the answer has a member twice"},
		{"no token type", `{"access_token":"eyJ0.a","expires_in":900}`, "token_type is not Bearer"},
		{"proof of possession", `{"access_token":"eyJ0.a","expires_in":900,"token_type":"pop"}`, "token_type is not Bearer"},
		{"no expiry", `{"access_token":"eyJ0.a","ext_expires_in":900,"token_type":"Bearer"}`, "expires_in is missing"},
		{"null expiry", `{"access_token":"eyJ0.a","expires_in":null,"token_type":"Bearer"}`, "expires_in is not a whole number of seconds"},
		{"zero expiry", `{"access_token":"eyJ0.a","expires_in":0,"token_type":"Bearer"}`, "expires_in is not from 1 s to 24 h"},
		{"negative expiry", `{"access_token":"eyJ0.a","expires_in":-1,"token_type":"Bearer"}`, "expires_in is not a whole number of seconds"},
		{"expiry in a string", `{"access_token":"eyJ0.a","expires_in":"900","token_type":"Bearer"}`, "expires_in is not a whole number of seconds"},
		{"expiry is a fraction", `{"access_token":"eyJ0.a","expires_in":900.5,"token_type":"Bearer"}`, "expires_in is not a whole number of seconds"},
		{"expiry over a day", `{"access_token":"eyJ0.a","expires_in":86401,"token_type":"Bearer"}`, "expires_in is not from 1 s to 24 h"},
		{"absurd expiry", `{"access_token":"eyJ0.a","expires_in":9223372036854775807,"token_type":"Bearer"}`, "expires_in is not from 1 s to 24 h"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stub := &entra{answers: []answer{{body: tt.body}}}
			m := &minter{}
			err := exchangeError(t, newExchanger(t, stub, azure.Config{}), exchange.Request{Subject: m.subject})
			var got *exchange.Error
			if !errors.As(err, &got) {
				t.Fatalf("error = %v, want an *exchange.Error", err)
			}
			if got.Provider != "azure" || got.Op != "entra:token" || got.Status != 200 || got.Temporary() || got.Err.Error() != tt.want {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
			if len(stub.asked()) != 1 {
				t.Errorf("%d requests, want 1", len(stub.asked()))
			}
			cloudtest.NoLeak(t, err, m.All()[0], "eyJ0.aaaaaaaaaaaa")
		})
	}
}

// X02: the token type is compared without case (RFC 6749, section 5.1), a
// managed identity's token lives for a day, and unknown members are ignored.
func TestExchangeAcceptsAnswer(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	stub := &entra{answers: []answer{{body: `{"token_type":"bearer","expires_in":86400,"ext_expires_in":"1","access_token":"eyJ0.a","client_info":1}`}}}
	e := newExchanger(t, stub, azure.Config{Now: func() time.Time { return now }})
	c, err := e.Exchange(t.Context(), exchange.Request{Subject: (&minter{}).subject})
	if err != nil {
		t.Fatal(err)
	}
	if want := now.Add(24 * time.Hour); !c.Expires().Equal(want) {
		t.Errorf("Expires = %s, want %s", c.Expires(), want)
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
			e, err := azure.New(azure.Config{TenantID: tenant, ClientID: client, AuthorityHost: first.URL})
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
