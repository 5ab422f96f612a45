package gcp_test

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
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

func TestRefusalHints(t *testing.T) {
	const iamDenied = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."
	delegated := gcp.Config{ServiceAccount: serviceAccount, Delegates: []string{"first@acme.iam.gserviceaccount.com"}}
	for _, tt := range []struct {
		name   string
		config gcp.Config
		give   answer
		want   exchange.Error // without Hint
		hint   []string       // expected parts
	}{
		{
			"unknown provider", gcp.Config{},
			refused(400, "invalid_target", `The target service indicated by the "audience" parameters is invalid.`),
			exchange.Error{Op: "sts:token", Status: 400, Code: "invalid_target", Description: `The target service indicated by the "audience" parameters is invalid.`},
			[]string{provider, "exists", "number", "up to 5 minutes"},
		},
		{
			"provider name", gcp.Config{},
			refused(400, "invalid_request", `Invalid value for "audience". This value should be the full resource name of the Identity Provider.`),
			exchange.Error{Op: "sts:token", Status: 400, Code: "invalid_request",
				Description: `Invalid value for "audience". This value should be the full resource name of the Identity Provider.`},
			[]string{"full name"},
		},
		{
			"attribute condition", gcp.Config{},
			refused(401, "unauthorized_client", "The given credential is rejected by the attribute condition."),
			exchange.Error{Op: "sts:token", Status: 401, Code: "unauthorized_client", Description: "The given credential is rejected by the attribute condition."},
			[]string{"attribute condition", "sub account/acme", "preview", "up to 5 minutes"},
		},
		{
			"mapping type", gcp.Config{},
			refused(400, "unauthorized_client", "The mapped attribute 'google.subject' must be of type STRING."),
			exchange.Error{Op: "sts:token", Status: 400, Code: "unauthorized_client", Description: "The mapped attribute 'google.subject' must be of type STRING."},
			[]string{"attribute mapping", "claim"},
		},
		{
			"long subject", gcp.Config{},
			refused(400, "invalid_grant", "The size of mapped attribute exceeds the 127 bytes limit."),
			exchange.Error{Op: "sts:token", Status: 400, Code: "invalid_grant", Description: "The size of mapped attribute exceeds the 127 bytes limit."},
			[]string{"google.subject", "Config.Subject"},
		},
		{
			"issuer", gcp.Config{},
			refused(400, "invalid_grant", "Error connecting to the given credential's issuer."),
			exchange.Error{Op: "sts:token", Status: 400, Code: "invalid_grant", Description: "Error connecting to the given credential's issuer.", Retryable: true},
			[]string{"discovery document", "upload the JWK Set"},
		},
		{
			"JWT", gcp.Config{Audience: "https://gcp.example.com"},
			refused(400, "invalid_grant", "The audience in ID Token [https://gcp.example.com] does not match the expected audience."),
			exchange.Error{Op: "sts:token", Status: 400, Code: "invalid_grant",
				Description: "The audience in ID Token [https://gcp.example.com] does not match the expected audience."},
			[]string{"allowed audiences", "https://gcp.example.com", "issuer", "iss, https://ci.example.com,"},
		},
		{
			"clock", gcp.Config{}, refused(400, "invalid_grant", "ID Token issued at 1893553445 is stale to sign-in."),
			exchange.Error{Op: "sts:token", Status: 400, Code: "invalid_grant", Description: "ID Token issued at 1893553445 is stale to sign-in."},
			[]string{"clock runs ahead"},
		},
		{
			"something new", gcp.Config{}, refused(400, "invalid_scope", "x"),
			exchange.Error{Op: "sts:token", Status: 400, Code: "invalid_scope", Description: "x"}, nil,
		},
		{
			"no words", gcp.Config{}, answer{status: 403, body: "<html>Forbidden</html>"},
			exchange.Error{Op: "sts:token", Status: 403}, nil,
		},
		{
			"no grant", gcp.Config{ServiceAccount: serviceAccount}, refusedIAM(403, "PERMISSION_DENIED", iamDenied),
			exchange.Error{Op: "iamcredentials:generateAccessToken", Status: 403, Code: "PERMISSION_DENIED", Description: iamDenied},
			[]string{"roles/iam.workloadIdentityUser", serviceAccount, "principal://iam.googleapis.com/" + pool + "/subject/", "sub is account/acme", "principalSet://iam.googleapis.com/" + pool + "/attribute.", "up to 5 minutes"},
		},
		{
			"no grant for a delegate", delegated, refusedIAM(403, "PERMISSION_DENIED", iamDenied),
			exchange.Error{Op: "iamcredentials:generateAccessToken", Status: 403, Code: "PERMISSION_DENIED", Description: iamDenied},
			[]string{"roles/iam.workloadIdentityUser on first@acme", "roles/iam.serviceAccountTokenCreator", serviceAccount},
		},
		{
			"API is off", gcp.Config{ServiceAccount: serviceAccount},
			refusedIAM(403, "PERMISSION_DENIED", "IAM Service Account Credentials API has not been used in project 123 before or it is disabled."),
			exchange.Error{Op: "iamcredentials:generateAccessToken", Status: 403, Code: "PERMISSION_DENIED",
				Description: "IAM Service Account Credentials API has not been used in project 123 before or it is disabled."},
			[]string{"enable", "iamcredentials.googleapis.com"},
		},
		{
			"no account", gcp.Config{ServiceAccount: serviceAccount}, refusedIAM(404, "NOT_FOUND", "Not found; Gaia id not found for email"),
			exchange.Error{Op: "iamcredentials:generateAccessToken", Status: 404, Code: "NOT_FOUND", Description: "Not found; Gaia id not found for email"},
			[]string{serviceAccount, "exists"},
		},
		{
			"long lifetime", gcp.Config{ServiceAccount: serviceAccount, Lifetime: 2 * time.Hour}, refusedIAM(400, "INVALID_ARGUMENT", "x"),
			exchange.Error{Op: "iamcredentials:generateAccessToken", Status: 400, Code: "INVALID_ARGUMENT", Description: "x"},
			[]string{"Lifetime", "constraints/iam.allowServiceAccountCredentialLifetimeExtension"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := &google{answers: []answer{tt.give}}
			if strings.HasPrefix(tt.want.Op, "iam") {
				g.answers = []answer{federated("ya29.federated", 899), tt.give}
			}
			var err error
			synctest.Test(t, func(t *testing.T) { // as one is retried
				err = exchangeError(t, newExchanger(t, g, tt.config), exchange.Request{Subject: (&minter{}).subject})
			})
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
			rest := *got
			rest.Hint = ""
			tt.want.Provider = "gcp"
			if diff := cmp.Diff(tt.want, rest); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// X06, D06: no error shows a server's echo.
func TestErrorsHoldNoSecret(t *testing.T) {
	// echo builds an answer from the JWT or the federated token that was sent.
	for _, tt := range []struct {
		name string
		echo func(jwt, bearer string) answer
	}{
		{"description", func(jwt, bearer string) answer { return refused(400, "invalid_grant", "bad "+jwt+bearer) }},
		{"description, escaped", func(jwt, bearer string) answer {
			return refused(400, "invalid_grant", "bad "+url.QueryEscape("subject_token="+jwt+bearer))
		}},
		{"code", func(jwt, bearer string) answer { return refused(400, jwt+bearer, "x") }},
		{"code, one part of the JWT", func(jwt, bearer string) answer {
			letters, _, _ := strings.Cut(jwt, "1") // {"alg":"ES256 begins with 15 of them, as a code may
			return refused(400, letters, "x")
		}},
		{"IAM message", func(jwt, bearer string) answer { return refusedIAM(403, "PERMISSION_DENIED", jwt+" "+bearer) }},
		{"IAM status", func(jwt, bearer string) answer { return refusedIAM(403, jwt+bearer, "x") }},
		{"control characters", func(jwt, bearer string) answer {
			return refused(400, "invalid_grant", "a\r\nb\x1b[31m\x00"+jwt[:20]+bearer)
		}},
		{"half of it", func(jwt, bearer string) answer { return refused(400, "invalid_grant", jwt[len(jwt)/2:]+bearer) }},
		{"whole body", func(jwt, bearer string) answer { return answer{status: 400, body: jwt + bearer} }},
		{"temporary", func(jwt, bearer string) answer { return answer{status: 503, body: jwt + bearer} }},
		{"redirect", func(jwt, bearer string) answer {
			return answer{status: 307, header: http.Header{"Location": {"https://x.example/?" + jwt + bearer}}}
		}},
		{"content type", func(jwt, bearer string) answer {
			return answer{header: http.Header{"Content-Type": {"text/" + jwt + bearer}}, body: jwt}
		}},
		{"token with line break", func(jwt, bearer string) answer {
			return answer{body: `{"access_token":"` + jwt + bearer + `\n","accessToken":"` + jwt + bearer + `\n"}`}
		}},
		{"types", func(jwt, bearer string) answer {
			return answer{body: `{"access_token":"x","token_type":"` + jwt + bearer + `","accessToken":"x","expireTime":"` + jwt + bearer + `"}`}
		}},
	} {
		for _, impersonated := range []bool{false, true} {
			name, config := tt.name+" of the STS", gcp.Config{}
			if impersonated {
				name, config = tt.name+" of IAM", gcp.Config{ServiceAccount: serviceAccount}
			}
			t.Run(name, func(t *testing.T) {
				bearer := "" // nothing but the JWT is known yet
				if impersonated {
					bearer = "ya29.federated-token-of-google"
				}
				m := &minter{}
				h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					jwts := m.All()
					a := tt.echo(jwts[len(jwts)-1], bearer)
					if impersonated && r.Header.Get("Authorization") == "" {
						a = federated(bearer, 899)
					}
					(&google{answers: []answer{a}}).ServeHTTP(w, r)
				})
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // retries are not awaited
				defer cancel()
				_, err := newExchanger(t, h, config).Exchange(ctx, exchange.Request{Subject: m.subject})
				if err == nil {
					t.Fatal("no error")
				}
				jwts := m.All()
				cloudtest.NoLeak(t, err, append(jwts, bearer)...)
				if text := err.Error(); len(text) > 1024 || strings.ContainsAny(text, "\r\n\x00\x1b") {
					t.Errorf("error is %d bytes, or not on one line: %q", len(text), text)
				}
			})
		}
	}
}

// X06: a server may also repeat the JWT of an earlier attempt.
func TestErrorsHoldNoEarlierJWT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &minter{}
		calls := 0
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a := answer{status: 503}
			if calls++; calls == 2 {
				a = refused(400, "invalid_grant", m.All()[0])
			}
			(&google{answers: []answer{a}}).ServeHTTP(w, r)
		})
		err := exchangeError(t, newExchanger(t, h, gcp.Config{}), exchange.Request{Subject: m.subject})
		if len(m.All()) != 2 {
			t.Fatalf("%d JWTs, want 2", len(m.All()))
		}
		cloudtest.NoLeak(t, err, m.All()...)
	})
}

// X06: nor do the words of the transport, which net/http takes from the
// server, in a call that came after the JWT was sent.
func TestTransportErrorsHoldNoSecret(t *testing.T) {
	const bearer = "ya29.federated-token-of-google"
	for _, c := range []gcp.Config{{}, {ServiceAccount: serviceAccount}} {
		m := &minter{}
		g := cloudtest.InProcess{Handler: &google{answers: []answer{federated(bearer, 899)}}}
		c.Provider = provider
		c.Transport = cloudtest.RoundTripper(func(r *http.Request) (*http.Response, error) {
			if c.ServiceAccount != "" && r.Header.Get("Authorization") == "" {
				return g.RoundTrip(r)
			}
			text := m.All()[0]
			if c.ServiceAccount != "" {
				text += bearer
			}
			return nil, fmt.Errorf("malformed HTTP response %q", text)
		})
		e, err := gcp.New(c)
		if err != nil {
			t.Fatal(err)
		}
		err = exchangeError(t, e, exchange.Request{Subject: m.subject})
		var got *exchange.Error
		if !errors.As(err, &got) || !strings.Contains(err.Error(), "malformed HTTP response") {
			t.Errorf("error = %v, want an *exchange.Error that says what was wrong", err)
		}
		secrets := m.All()
		if c.ServiceAccount != "" {
			secrets = append(secrets, bearer)
		}
		cloudtest.NoLeak(t, err, secrets...)
	}
}

// X08: of an endless answer little is read, and it is refused.
func TestHugeAnswers(t *testing.T) {
	for _, status := range []int{200, 400} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			var wrote int
			done := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
			e, err := gcp.New(gcp.Config{Provider: provider, TokenURL: server.URL + "/v1/token"})
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

// A server that is not there is a temporary *exchange.Error.
func TestUnreachable(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	e, err := gcp.New(gcp.Config{Provider: provider, TokenURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = e.Exchange(ctx, exchange.Request{Subject: (&minter{}).subject})
	var got *exchange.Error
	if !errors.As(err, &got) || !got.Temporary() || got.Status != 0 || got.Op != "sts:token" {
		t.Errorf("error = %v, want a temporary *exchange.Error", err)
	}
}

// An ended ctx is found in the error.
func TestContextEnded(t *testing.T) {
	g := &google{answers: []answer{federated("ya29.federated", 899)}}
	e := newExchanger(t, g, gcp.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	m := &minter{}
	_, err := e.Exchange(ctx, exchange.Request{Subject: func(ctx context.Context, audience string) (string, error) {
		cancel()
		return m.subject(ctx, audience)
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want that of ctx", err)
	}
}

// An Exchanger that has been used, and its configuration, can be logged.
func TestExchangerPrints(t *testing.T) {
	g := cloudtest.InProcess{Handler: &google{answers: []answer{federated("ya29.federated-token", 899)}}}
	e, err := gcp.New(gcp.Config{Provider: provider, Transport: cloudtest.RoundTripper(g.RoundTrip)})
	if err != nil {
		t.Fatal(err)
	}
	m := &minter{}
	if _, err := e.Exchange(t.Context(), exchange.Request{Subject: m.subject}); err != nil {
		t.Fatal(err)
	}
	cloudtest.NoLeak(t, e, append(m.All(), "ya29.federated-token")...)
	cloudtest.NoLeak(t, e.Config(), append(m.All(), "ya29.federated-token")...)
}
