package azure_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/azure"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

// S03: every answer of Entra gives a usable credential or an *exchange.Error.
func FuzzAnswer(f *testing.F) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Add(200, granted("eyJ0.access").body)
	f.Add(200, `{"access_token":"a","token_type":"bearer","expires_in":1e3}`)
	f.Add(400, refused(400, "invalid_request", 90002, "x").body)
	f.Add(401, refused(401, "invalid_client", 700024, "x").body)
	f.Add(400, `{"error":"a","error_codes":[-1,2],"error_description":"`+"\\u0000\xff"+`"}`)
	f.Add(400, `{"error":"a","error_description":"AADSTS"}`)
	f.Add(503, `{"error":"a"}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 || status >= 300 && status < 400 {
			t.Skip("no final answer with a body")
		}
		var c *exchange.Credential
		var err error
		synctest.Test(t, func(t *testing.T) { // where retries take no time
			e := newExchanger(t, &entra{answers: []answer{{status: status, body: body}}}, azure.Config{Now: func() time.Time { return now }})
			c, err = e.Exchange(t.Context(), exchange.Request{Subject: (&minter{}).subject})
		})
		if err != nil {
			var xe *exchange.Error
			if !errors.As(err, &xe) || c != nil {
				t.Fatalf("%v, %v: want no credential and an *exchange.Error", c, err)
			}
			if text := err.Error(); len(text) > 1024 || strings.ContainsAny(text, "\r\n\x00\x1b") {
				t.Fatalf("error of %d bytes: %q", len(text), text)
			}
			if len(xe.Description) > 512 || len(xe.Code) > 64 {
				t.Fatalf("a code of %d and a description of %d bytes", len(xe.Code), len(xe.Description))
			}
			return
		}
		token := c.Value("AZURE_ACCESS_TOKEN")
		if token == "" || len(token) > 16<<10 || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Fatalf("accepted the token %q", token)
		}
		if life := c.Expires().Sub(now); life <= 0 || life > 24*time.Hour || status != 200 {
			t.Fatalf("accepted a lifetime of %s, with status %d", life, status)
		}
	})
}

// S03: a JWT that is sent is one, byte for byte.
func FuzzSubjectToken(f *testing.F) {
	jwt, _ := (&minter{}).subject(f.Context(), audience)
	f.Add(jwt)
	f.Add(jwt + "\n")
	f.Add("e30.e30.AA")
	f.Add("..")
	f.Fuzz(func(t *testing.T, jwt string) {
		stub := &entra{answers: []answer{granted("eyJ0.access")}}
		_, err := newExchanger(t, stub, azure.Config{}).Exchange(t.Context(), exchange.Request{
			Subject: func(context.Context, string) (string, error) { return jwt, nil },
		})
		var refused *oidctoken.ConfigError
		switch {
		case err == nil:
			checkCall(t, stub.asked()[0], tokenURL, jwt, armScope)
			if strings.Count(jwt, ".") != 2 || strings.Trim(jwt, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
				t.Errorf("sent %q", jwt)
			}
		case !errors.As(err, &refused) || len(stub.asked()) != 0:
			t.Errorf("error = %v after %d requests, want a *ConfigError before any", err, len(stub.asked()))
		}
	})
}

// S03: an accepted AuthorityHost leads to that host and no other.
func FuzzConfig(f *testing.F) {
	f.Add("https://login.microsoftonline.com", tenant)
	f.Add("https://login.microsoftonline.us/", "acme.onmicrosoft.com")
	f.Add("https://login.microsoftonline.com/@evil.example.com", "..")
	f.Add("http://127.0.0.1:8080", "acme.com%2f..")
	f.Fuzz(func(t *testing.T, authority, tenant string) {
		stub := &entra{answers: []answer{granted("eyJ0.access")}}
		e, err := azure.New(azure.Config{TenantID: tenant, ClientID: client, AuthorityHost: authority, Transport: cloudtest.InProcess{Handler: stub}})
		if err != nil {
			var refused *oidctoken.ConfigError
			if !errors.As(err, &refused) {
				t.Fatalf("New: %v", err)
			}
			return
		}
		if _, err := e.Exchange(t.Context(), exchange.Request{Subject: (&minter{}).subject}); err != nil {
			t.Fatalf("Exchange: %v", err)
		}
		base := strings.TrimSuffix(authority, "/")
		if authority == "" {
			base = "https://login.microsoftonline.com"
		}
		// Only the scheme may be in other case.
		if got, want := stub.asked()[0].URL, base+"/"+tenant+"/oauth2/v2.0/token"; !strings.EqualFold(got, want) || strings.Count(got, "/") != 6 {
			t.Errorf("asked %q, want %q", got, want)
		}
	})
}
