package gcp_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google/externalaccount"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

// A source keeps its token until a minute before the end.
func TestTokenSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &google{answers: []answer{federated("ya29.first", 600), federated("ya29.second", 600)}}
		s := newExchanger(t, g, gcp.Config{}).TokenSource(t.Context(), exchange.Request{Subject: (&minter{}).subject})
		for _, step := range []struct {
			wait time.Duration
			want string
		}{
			{0, "ya29.first"},
			{539 * time.Second, "ya29.first"},
			{2 * time.Second, "ya29.second"},
			{time.Hour, "ya29.second"},
		} {
			time.Sleep(step.wait)
			got, err := s.Token()
			if err != nil {
				t.Fatal(err)
			}
			if got.AccessToken != step.want || got.Type() != "Bearer" {
				t.Errorf("token = %s %q, want Bearer %q", got.Type(), got.AccessToken, step.want)
			}
			if left := time.Until(got.Expiry); left <= time.Minute || left > 10*time.Minute {
				t.Errorf("the token lives for %s, want more than a minute and up to 10", left)
			}
		}
		if n := len(g.asked()); n != 3 {
			t.Errorf("%d requests, want 3", n)
		}
	})
}

// The source uses the scopes of the request, and returns the errors of Exchange
// without caching them.
func TestTokenSourceErrors(t *testing.T) {
	g := &google{answers: []answer{refused(400, "invalid_target", "x"), federated("ya29.federated", 600)}}
	m := &minter{}
	s := newExchanger(t, g, gcp.Config{}).TokenSource(t.Context(), exchange.Request{Subject: m.subject, Scopes: []string{"a"}})
	_, err := s.Token()
	var got *exchange.Error
	if !errors.As(err, &got) || got.Code != "invalid_target" {
		t.Errorf("error = %v, want an *exchange.Error", err)
	}
	if _, err := s.Token(); err != nil {
		t.Error(err)
	}
	for i, c := range g.asked() {
		checkSTSCall(t, c, stsForm(m.All()[i], "a"))
	}
}

func TestTokenSourceContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := &google{answers: []answer{federated("ya29.federated", 600)}}
	s := newExchanger(t, g, gcp.Config{}).TokenSource(ctx, exchange.Request{Subject: (&minter{}).subject})
	cancel()
	if _, err := s.Token(); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want that of ctx", err)
	}
}

// golang.org/x/oauth2 gets its JWTs from the adapter.
func TestSubjectTokenSupplier(t *testing.T) {
	expires := time.Now().Add(time.Hour)
	g := &google{answers: []answer{federated("ya29.federated", 600), impersonated("ya29.impersonated", expires)}}
	e := newExchanger(t, g, gcp.Config{ServiceAccount: serviceAccount})
	m := &minter{}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: cloudtest.InProcess{Handler: g}})
	s, err := externalaccount.NewTokenSource(ctx, externalaccount.Config{
		Audience:                       "//iam.googleapis.com/" + provider,
		SubjectTokenType:               "urn:ietf:params:oauth:token-type:jwt",
		TokenURL:                       e.Config().TokenURL,
		ServiceAccountImpersonationURL: "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + serviceAccount + ":generateAccessToken",
		Scopes:                         e.Config().Scopes,
		SubjectTokenSupplier:           e.SubjectTokenSupplier(m.subject),
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Token()
	if err != nil {
		t.Fatal(err)
	}
	if got.AccessToken != "ya29.impersonated" {
		t.Errorf("token = %q", got.AccessToken)
	}
	calls := g.asked()
	if len(calls) != 2 || len(m.All()) != 1 {
		t.Fatalf("%d requests and %d JWTs, want 2 and 1", len(calls), len(m.All()))
	}
}

func TestSubjectTokenSupplierRefuses(t *testing.T) {
	good := externalaccount.SupplierOptions{Audience: "//iam.googleapis.com/" + provider, SubjectTokenType: "urn:ietf:params:oauth:token-type:jwt"}
	other, saml := good, good
	other.Audience += "x"
	saml.SubjectTokenType = "urn:ietf:params:oauth:token-type:saml2"
	m := &minter{}
	e := newExchanger(t, &google{}, gcp.Config{})
	for _, tt := range []struct {
		name    string
		subject exchange.SubjectToken
		options externalaccount.SupplierOptions
		want    oidctoken.ConfigError
	}{
		{"no subject", nil, good, oidctoken.ConfigError{Package: "gcp", Field: "SubjectToken", Reason: "is required"}},
		{"other provider", m.subject, other, oidctoken.ConfigError{Package: "gcp", Field: "SupplierOptions.Audience", Reason: "differs from the Exchanger's provider"}},
		{"SAML", m.subject, saml, oidctoken.ConfigError{Package: "gcp", Field: "SupplierOptions.SubjectTokenType", Reason: "is not the type of a JWT"}},
		{"bad JWT", (&minter{header: map[string]any{"alg": "PS256"}}).subject, good,
			oidctoken.ConfigError{Package: "gcp", Field: "SubjectToken", Reason: "returned a JWT that is signed with neither ES256 nor RS256"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			jwt, err := e.SubjectTokenSupplier(tt.subject).SubjectToken(t.Context(), tt.options)
			var got *oidctoken.ConfigError
			errors.As(err, &got)
			if diff := cmp.Diff(&tt.want, got); diff != "" || jwt != "" {
				t.Errorf("SubjectToken = %q (-want +got):\n%s", jwt, diff)
			}
		})
	}
	if n := len(m.All()); n != 0 {
		t.Errorf("%d JWTs were minted for what was refused", n)
	}
}
