package azure_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/azure"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

// refusalOf returns the error of an exchange that gets one answer for ever, in no
// time.
func refusalOf(t *testing.T, a answer) (err error) {
	synctest.Test(t, func(t *testing.T) {
		err = exchangeError(t, newExchanger(t, &entra{answers: []answer{a}}, azure.Config{}), exchange.Request{Subject: (&minter{}).subject})
	})
	return err
}

func TestRefusalHints(t *testing.T) {
	for _, tt := range []struct {
		name string
		give answer
		want exchange.Error // without Provider, Op, Description and Hint
		hint []string       // expected parts
	}{
		{"no credential", refused(400, "invalid_request", 70021, "x"), exchange.Error{Code: "invalid_request", Retryable: true},
			[]string{client, issuer, subject, audience, "byte for byte", "some minutes"}},
		{"issuer", refused(401, "invalid_client", 700211, "x"), exchange.Error{Code: "invalid_client", Retryable: true},
			[]string{client, "issuer is " + issuer, "slash", "some minutes"}},
		{"audience", refused(401, "invalid_client", 700212, "x"), exchange.Error{Code: "invalid_client", Retryable: true},
			[]string{client, "audience is " + audience, "Config.Audience"}},
		{"subject", refused(401, "invalid_client", 700213, "x"), exchange.Error{Code: "invalid_client", Retryable: true},
			[]string{client, "subject is " + subject, "no wildcards"}},
		{"letter case", refused(401, "invalid_client", 7002138, "x"), exchange.Error{Code: "invalid_client", Retryable: true},
			[]string{"the trust policy's subject differs only by letter case", client, subject}},
		{"expired", refused(401, "invalid_client", 700024, "x"), exchange.Error{Code: "invalid_client"},
			[]string{"clock", "Profile.Lifetime"}},
		{"key", refused(401, "invalid_client", 7000272, "x"), exchange.Error{Code: "invalid_client", Retryable: true},
			[]string{issuer, "JWK Set", "key k1", "first 100"}},
		{"signature", refused(401, "invalid_client", 700027, "x"), exchange.Error{Code: "invalid_client"},
			[]string{"signature", "key k1", issuer}},
		{"issuer unreachable", refused(400, "invalid_request", 501661, "x"), exchange.Error{Code: "invalid_request", Retryable: true},
			[]string{issuer, "discovery document", "https"}},
		{"issuer unreachable, older", refused(400, "invalid_request", 90061, "x"), exchange.Error{Code: "invalid_request", Retryable: true},
			[]string{issuer, "discovery document", "https"}},
		{"issuer unreachable, oldest", refused(400, "invalid_request", 50166, "x"), exchange.Error{Code: "invalid_request", Retryable: true},
			[]string{issuer, "discovery document", "https"}},
		{"algorithm", refused(400, "invalid_request", 5002738, "x"), exchange.Error{Code: "invalid_request"}, []string{"RS256", "Exchanger.Profile"}},
		{"JWT", refused(400, "invalid_request", 50027, "x"), exchange.Error{Code: "invalid_request"}, []string{"cannot read the JWT", "https://login.microsoftonline.com"}},
		{"application", refused(400, "unauthorized_client", 700016, "x"), exchange.Error{Code: "unauthorized_client"},
			[]string{client, tenant, "not the object id"}},
		{"tenant", refused(400, "invalid_request", 90002, "x"), exchange.Error{Code: "invalid_request"}, []string{tenant, "cloud of https://login.microsoftonline.com"}},
		{"tenant's name", refused(400, "invalid_request", 900023, "x"), exchange.Error{Code: "invalid_request"}, []string{tenant}},
		{"secret", refused(401, "invalid_client", 7000215, "x"), exchange.Error{Code: "invalid_client"}, []string{"proxy", "Config.AuthorityHost"}},
		{"scope", refused(400, "invalid_scope", 70011, "x"), exchange.Error{Code: "invalid_scope"}, []string{"RESOURCE/.default"}},
		{"scope of a client", refused(400, "invalid_scope", 1002012, "x"), exchange.Error{Code: "invalid_scope"}, []string{"RESOURCE/.default"}},
		{"resource", refused(400, "invalid_resource", 500011, "x"), exchange.Error{Code: "invalid_resource"}, []string{"resource", tenant}},
		{"loop", refused(400, "invalid_grant", 50196, "x"), exchange.Error{Code: "invalid_grant"}, []string{"keep an access token"}},

		// Codes are hints: alone they decide nothing.
		{"code of a match, other error", refused(400, "unauthorized_client", 700213, "x"), exchange.Error{Code: "unauthorized_client"}, []string{subject}},
		{"code of a match, other status", refused(403, "invalid_client", 700213, "x"), exchange.Error{Code: "invalid_client"}, []string{subject}},
		{"something new", refused(400, "invalid_grant", 7009999, "x"), exchange.Error{Code: "invalid_grant"}, nil},
		{"temporary", refused(400, "temporarily_unavailable", 90033, "x"), exchange.Error{Code: "temporarily_unavailable", Retryable: true}, nil},
		{"their own error", refused(400, "server_error", 90033, "x"), exchange.Error{Code: "server_error", Retryable: true}, nil},
		{"throttled", refused(429, "invalid_request", 90055, "x"), exchange.Error{Code: "invalid_request", Retryable: true}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := refusalOf(t, tt.give)
			var got *exchange.Error
			if !errors.As(err, &got) {
				t.Fatalf("error = %v, want an *exchange.Error", err)
			}
			for _, words := range tt.hint {
				if !strings.Contains(got.Hint, words) || !strings.Contains(err.Error(), words) {
					t.Errorf("error = %v\nand does not say %q", err, words)
				}
			}
			if (got.Hint == "") != (tt.hint == nil) {
				t.Errorf("Hint = %q", got.Hint)
			}
			if !strings.HasPrefix(got.Description, "AADSTS") || !strings.HasSuffix(got.Description, ": x Trace ID: 0") {
				t.Errorf("Description = %q, want Entra's own", got.Description)
			}
			rest := *got
			rest.Hint, rest.Description = "", ""
			tt.want.Provider, tt.want.Op, tt.want.Status = "azure", "entra:token", tt.give.status
			if diff := cmp.Diff(tt.want, rest); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// Errors that do not have Entra's form are read as far as possible.
func TestRefusalBodies(t *testing.T) {
	for _, tt := range []struct {
		name, body        string
		code, description string
		hinted            bool
	}{
		{"HTML", `<html>Forbidden</html>`, "", "", false},
		{"empty", ``, "", "", false},
		{"list", `[]`, "", "", false},
		{"only an error", `{"error":"invalid_client"}`, "invalid_client", "", false},
		{"codes without words", `{"error":"invalid_client","error_codes":[700016]}`, "invalid_client", "AADSTS700016", true},
		{"codes and other words", `{"error":"invalid_client","error_description":"no","error_codes":[700016,1]}`, "invalid_client", "AADSTS700016: no", true},
		{"words alone", `{"error":"invalid_client","error_description":"AADSTS700016: no"}`, "invalid_client", "AADSTS700016: no", true},
		{"words win", `{"error":"invalid_client","error_description":"AADSTS1: no","error_codes":[700016]}`, "invalid_client", "AADSTS1: no", false},
		{"codes are no list", `{"error":"invalid_client","error_codes":"700016"}`, "invalid_client", "", false},
		{"codes are no numbers", `{"error":"invalid_client","error_codes":["700016"]}`, "invalid_client", "", false},
		{"code too large", `{"error":"invalid_client","error_description":"AADSTS99999999999999999999: no"}`, "invalid_client", "AADSTS99999999999999999999: no", false},
		{"negative code", `{"error":"invalid_client","error_description":"AADSTS-1: no"}`, "invalid_client", "AADSTS-1: no", false},
		{"error is an object", `{"error":{"code":"x"},"error_description":"no"}`, "", "", false},
		{"error is a sentence", `{"error":"You shall not pass","error_description":"no"}`, "", "no", false},
		{"long error", `{"error":"` + strings.Repeat("a", 65) + `","error_description":"no"}`, "", "no", false},
		{"several lines", `{"error":"a","error_description":"AADSTS1: no\r\nTrace ID: 1\r\n"}`, "a", `AADSTS1: no\r\nTrace ID: 1\r\n`, false},
		{"long words", `{"error":"a","error_description":"` + strings.Repeat("b", 600) + `"}`, "a", strings.Repeat("b", 509) + "…", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := refusalOf(t, answer{status: 400, body: tt.body})
			var got *exchange.Error
			if !errors.As(err, &got) {
				t.Fatalf("error = %v, want an *exchange.Error", err)
			}
			if got.Code != tt.code || got.Description != tt.description || (got.Hint != "") != tt.hinted || got.Temporary() {
				t.Errorf("error = %#v, want the code %q and the description %q, for good", got, tt.code, tt.description)
			}
		})
	}
}

// X06, D06: no error shows a server's echo.
func TestErrorsHoldNoSecret(t *testing.T) {
	for _, tt := range []struct {
		name string
		echo func(jwt string) answer // builds an answer from the JWT that was sent
	}{
		{"description", func(jwt string) answer { return refused(400, "invalid_grant", 50027, "bad "+jwt) }},
		{"description, escaped", func(jwt string) answer {
			return refused(400, "invalid_grant", 50027, "bad "+url.QueryEscape("client_assertion="+jwt))
		}},
		{"description, in place of a code", func(jwt string) answer {
			return answer{status: 400, body: `{"error":"a","error_description":"AADSTS` + jwt + `"}`}
		}},
		{"code", func(jwt string) answer { return refused(400, jwt, 50027, "x") }},
		{"code, one part of the JWT", func(jwt string) answer {
			letters, _, _ := strings.Cut(jwt, "1")
			return refused(400, strings.ToLower(letters)+letters, 50027, letters)
		}},
		{"control characters", func(jwt string) answer { return refused(400, "a", 50027, "a\r\nb\x1b[31m\x00"+jwt[:20]) }},
		{"half of it", func(jwt string) answer { return refused(400, "a", 50027, jwt[len(jwt)/2:]) }},
		{"whole body", func(jwt string) answer { return answer{status: 400, body: jwt} }},
		{"temporary", func(jwt string) answer { return answer{status: 503, body: jwt} }},
		{"redirect", func(jwt string) answer {
			return answer{status: 307, header: http.Header{"Location": {"https://x.example/?" + jwt}}}
		}},
		{"content type", func(jwt string) answer {
			return answer{header: http.Header{"Content-Type": {"text/" + jwt}}, body: jwt}
		}},
		{"token with line break", func(jwt string) answer { return answer{body: `{"access_token":"` + jwt + `\n"}`} }},
		{"type", func(jwt string) answer { return answer{body: `{"access_token":"x","token_type":"` + jwt + `"}`} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &minter{}
				h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					jwts := m.All()
					(&entra{answers: []answer{tt.echo(jwts[len(jwts)-1])}}).ServeHTTP(w, r)
				})
				err := exchangeError(t, newExchanger(t, h, azure.Config{}), exchange.Request{Subject: m.subject})
				cloudtest.NoLeak(t, err, m.All()...)
				if text := err.Error(); len(text) > 1024 || strings.ContainsAny(text, "\r\n\x00\x1b") {
					t.Errorf("error is %d bytes, or not on one line: %q", len(text), text)
				}
			})
		})
	}
}

// X06: a signature can be all of letters that an error code is made of.
func TestErrorCodeHoldsNoSecret(t *testing.T) {
	const signature = "abcdefghijklmnop"
	m := &minter{}
	e := newExchanger(t, &entra{answers: []answer{refused(400, signature, 50027, "x")}}, azure.Config{})
	err := exchangeError(t, e, exchange.Request{Subject: func(ctx context.Context, audience string) (string, error) {
		jwt, err := m.subject(ctx, audience)
		return jwt[:strings.LastIndexByte(jwt, '.')+1] + signature, err
	}})
	cloudtest.NoLeak(t, err, signature)
	var got *exchange.Error
	if !errors.As(err, &got) || got.Status != 400 || got.Code != "" {
		t.Errorf("error = %v, want an *exchange.Error without a code", err)
	}
}

// X06: nor do the words of the transport, which net/http takes from the server.
func TestTransportErrorsHoldNoSecret(t *testing.T) {
	m := &minter{}
	e, err := azure.New(azure.Config{TenantID: tenant, ClientID: client, Transport: cloudtest.RoundTripper(func(*http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("malformed HTTP response %q", m.All()[0])
	})})
	if err != nil {
		t.Fatal(err)
	}
	err = exchangeError(t, e, exchange.Request{Subject: m.subject})
	var got *exchange.Error
	if !errors.As(err, &got) || !strings.Contains(err.Error(), "malformed HTTP response") {
		t.Errorf("error = %v, want an *exchange.Error that says what was wrong", err)
	}
	cloudtest.NoLeak(t, err, m.All()...)
}

// X08: of an endless answer little is read, and it is refused.
func TestHugeAnswers(t *testing.T) {
	for _, status := range []int{200, 400} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			var wrote int
			done := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				defer close(done)
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				for chunk := strings.Repeat("[", 64<<10); wrote < 1<<30; {
					n, err := io.WriteString(w, chunk)
					wrote += n
					if err != nil {
						return
					}
				}
			}))
			defer server.Close()
			e, err := azure.New(azure.Config{TenantID: tenant, ClientID: client, AuthorityHost: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			err = exchangeError(t, e, exchange.Request{Subject: (&minter{}).subject})
			<-done
			var got *exchange.Error
			if !errors.As(err, &got) || got.Status != status || got.Temporary() {
				t.Errorf("error = %v, want a permanent *exchange.Error", err)
			}
			if wrote > 64<<20 {
				t.Errorf("%d bytes were taken", wrote)
			}
		})
	}
}

// An Exchanger that has been used, and its configuration, can be logged.
func TestExchangerPrints(t *testing.T) {
	stub := cloudtest.InProcess{Handler: &entra{answers: []answer{granted("eyJ0.access-token")}}}
	e, err := azure.New(azure.Config{TenantID: tenant, ClientID: client, Transport: cloudtest.RoundTripper(stub.RoundTrip)})
	if err != nil {
		t.Fatal(err)
	}
	m := &minter{}
	if _, err := e.Exchange(t.Context(), exchange.Request{Subject: m.subject}); err != nil {
		t.Fatal(err)
	}
	cloudtest.NoLeak(t, e, append(m.All(), "eyJ0.access-token")...)
	cloudtest.NoLeak(t, e.Config(), append(m.All(), "eyJ0.access-token")...)
}
