package gcpauth_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials/externalaccount"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/gcp/gcpauth"
)

const (
	provider       = "projects/123/locations/global/workloadIdentityPools/ci/providers/acme"
	serviceAccount = "deployer@acme.iam.gserviceaccount.com"
	jwtType        = "urn:ietf:params:oauth:token-type:jwt"
)

// google is a transport that answers as Google does, without a network. The
// STS gives "ya29.federated-N", for n the number of the exchange.
type google struct {
	seconds   int // of a federated token
	exchanges atomic.Int32
	lastJWT   atomic.Value
}

func (g *google) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	switch r.URL.String() {
	case "https://sts.googleapis.com/v1/token":
		g.lastJWT.Store(form.Get("subject_token"))
		fmt.Fprintf(w, `{"access_token":"ya29.federated-%d","issued_token_type":"urn:ietf:params:oauth:token-type:access_token",`+
			`"token_type":"Bearer","expires_in":%d}`, g.exchanges.Add(1), g.seconds)
	case "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + serviceAccount + ":generateAccessToken":
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ya29.federated-")
		fmt.Fprintf(w, `{"accessToken":"ya29.impersonated-%s","expireTime":%q}`, token, time.Now().Add(10*time.Minute).UTC().Format(time.RFC3339))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
	return w.Result(), nil
}

func newExchanger(t *testing.T, transport http.RoundTripper, c gcp.Config) *gcp.Exchanger {
	t.Helper()
	c.Provider, c.Transport = provider, transport
	e, err := gcp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func subject(_ context.Context, audience string) (string, error) {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	now := time.Now().Unix()
	return part(`{"alg":"ES256","kid":"k1","typ":"JWT"}`) + "." +
		part(fmt.Sprintf(`{"iss":"https://ci.example.com","sub":"account/acme","aud":%q,"iat":%d,"exp":%d}`, audience, now, now+900)) + "." +
		part(strings.Repeat("signature", 7)), nil
}

func TestCredentials(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config gcp.Config
		want   string
	}{
		{"direct", gcp.Config{}, "ya29.federated-"},
		{"impersonated", gcp.Config{ServiceAccount: serviceAccount}, "ya29.impersonated-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &google{seconds: 600}
				creds := gcpauth.Credentials(newExchanger(t, g, tt.config), exchange.Request{Subject: subject})
				for _, step := range []struct {
					wait time.Duration
					want string
				}{
					{0, "1"},
					{374 * time.Second, "1"},
					{time.Hour, "2"},
				} {
					time.Sleep(step.wait)
					got, err := creds.Token(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					want := &auth.Token{Value: tt.want + step.want, Type: "Bearer"}
					if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(auth.Token{}, "Expiry")); diff != "" {
						t.Errorf("Token (-want +got):\n%s", diff)
					}
					if !got.IsValid() || time.Until(got.Expiry) > 10*time.Minute {
						t.Errorf("the token ends at %s", got.Expiry)
					}
				}
				if domain, err := creds.UniverseDomain(t.Context()); domain != "googleapis.com" || err != nil {
					t.Errorf("UniverseDomain = %q, %v", domain, err)
				}
			})
		})
	}
}

// A client finds the projects and the universe of the configuration.
func TestCredentialsProperties(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config gcp.Config
		want   [3]string // project, quota project, universe
	}{
		{"default", gcp.Config{}, [3]string{"", "", "googleapis.com"}},
		{"configured", gcp.Config{Project: "acme-prod", QuotaProject: "acme-quota", TokenURL: "https://sts.apis-acme.example/v1/token"},
			[3]string{"acme-prod", "acme-quota", "apis-acme.example"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newExchanger(t, &google{seconds: 600}, tt.config)
			creds := gcpauth.Credentials(e, exchange.Request{Subject: subject})
			var got [3]string
			for i, property := range []func(context.Context) (string, error){creds.ProjectID, creds.QuotaProjectID, creds.UniverseDomain} {
				var err error
				if got[i], err = property(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Credentials (-want +got):\n%s", diff)
			}
			o, err := gcpauth.Options(e, subject)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want[1:], []string{o.QuotaProjectID, o.UniverseDomain}); diff != "" {
				t.Errorf("Options (-want +got):\n%s", diff)
			}
		})
	}
}

// A token that cloud.google.com/go/auth takes for expired is refused, not
// exchanged again at every call.
func TestCredentialsTooShort(t *testing.T) {
	for _, tt := range []struct {
		seconds int
		ok      bool
	}{{225, false}, {226, true}} {
		synctest.Test(t, func(t *testing.T) {
			creds := gcpauth.Credentials(newExchanger(t, &google{seconds: tt.seconds}, gcp.Config{}), exchange.Request{Subject: subject})
			got, err := creds.Token(t.Context())
			if tt.ok {
				if err != nil || !got.IsValid() {
					t.Errorf("a token of %d s: %v, %v", tt.seconds, got, err)
				}
				return
			}
			var refused *exchange.Error
			if !errors.As(err, &refused) || refused.Temporary() || refused.Hint == "" || got != nil {
				t.Errorf("a token of %d s: %v, %v; want a permanent *exchange.Error with a hint", tt.seconds, got, err)
			}
		})
	}
}

func TestCredentialsErrors(t *testing.T) {
	creds := gcpauth.Credentials(newExchanger(t, &google{seconds: 600}, gcp.Config{}), exchange.Request{})
	_, err := creds.Token(t.Context())
	var got *oidctoken.ConfigError
	errors.As(err, &got)
	if diff := cmp.Diff(&oidctoken.ConfigError{Package: "gcp", Field: "Request.Subject", Reason: "is required"}, got); diff != "" {
		t.Errorf("Token (-want +got):\n%s", diff)
	}
}

func TestSubjectTokenProviderRefuses(t *testing.T) {
	p := gcpauth.SubjectTokenProvider(newExchanger(t, &google{}, gcp.Config{}), subject)
	for _, tt := range []struct {
		name string
		give *externalaccount.RequestOptions
		want *oidctoken.ConfigError
	}{
		{"good", &externalaccount.RequestOptions{Audience: "//iam.googleapis.com/" + provider, SubjectTokenType: jwtType}, nil},
		{"nil", nil, &oidctoken.ConfigError{Package: "gcp", Field: "SupplierOptions.Audience", Reason: "differs from the Exchanger's provider"}},
		{"SAML", &externalaccount.RequestOptions{Audience: "//iam.googleapis.com/" + provider, SubjectTokenType: "urn:ietf:params:oauth:token-type:saml2"},
			&oidctoken.ConfigError{Package: "gcp", Field: "SupplierOptions.SubjectTokenType", Reason: "is not the type of a JWT"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			jwt, err := p.SubjectToken(t.Context(), tt.give)
			var got *oidctoken.ConfigError
			errors.As(err, &got)
			if diff := cmp.Diff(tt.want, got); diff != "" || (jwt == "") != (err != nil) {
				t.Errorf("SubjectToken = %q (-want +got):\n%s", jwt, diff)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config gcp.Config
		want   *externalaccount.Options
		token  string
	}{
		{"direct", gcp.Config{Scopes: []string{"a"}}, &externalaccount.Options{
			Audience: "//iam.googleapis.com/" + provider, SubjectTokenType: jwtType, Scopes: []string{"a"},
			TokenURL: "https://sts.googleapis.com/v1/token", TokenInfoURL: "https://sts.googleapis.com/v1/introspect",
			UniverseDomain: "googleapis.com",
		}, "ya29.federated-1"},
		{"impersonated", gcp.Config{ServiceAccount: serviceAccount, Lifetime: 10 * time.Minute}, &externalaccount.Options{
			Audience: "//iam.googleapis.com/" + provider, SubjectTokenType: jwtType, Scopes: []string{"https://www.googleapis.com/auth/cloud-platform"},
			UniverseDomain:                 "googleapis.com",
			TokenURL:                       "https://sts.googleapis.com/v1/token",
			ServiceAccountImpersonationURL: "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + serviceAccount + ":generateAccessToken",
			ServiceAccountImpersonationLifetimeSeconds: 600,
		}, "ya29.impersonated-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := gcpauth.Options(newExchanger(t, &google{seconds: 600}, tt.config), subject)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, o, cmpopts.IgnoreFields(externalaccount.Options{}, "SubjectTokenProvider", "Client", "Logger")); diff != "" {
				t.Errorf("Options (-want +got):\n%s", diff)
			}
			creds, err := externalaccount.NewCredentials(o)
			if err != nil {
				t.Fatal(err)
			}
			got, err := creds.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got.Value != tt.token {
				t.Errorf("token = %q, want %q", got.Value, tt.token)
			}
		})
	}
}

func TestOptionsRefusesDelegates(t *testing.T) {
	e := newExchanger(t, &google{}, gcp.Config{ServiceAccount: serviceAccount, Delegates: []string{"first@acme"}})
	o, err := gcpauth.Options(e, subject)
	var got *oidctoken.ConfigError
	if !errors.As(err, &got) || got.Field != "Delegates" || o != nil {
		t.Errorf("Options = %v, %v; want a *oidctoken.ConfigError for Delegates", o, err)
	}
}

// X05
func TestOptionsFollowsNoRedirect(t *testing.T) {
	var hits atomic.Int32
	second := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer second.Close()
	first := httptest.NewServer(http.RedirectHandler(second.URL, http.StatusTemporaryRedirect))
	defer first.Close()
	o, err := gcpauth.Options(newExchanger(t, nil, gcp.Config{TokenURL: first.URL}), subject)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := externalaccount.NewCredentials(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := creds.Token(t.Context()); err == nil || hits.Load() != 0 {
		t.Errorf("error = %v and %d requests to the second host, want an error and none", err, hits.Load())
	}
}

// D06: the debug variable of Google's SDKs prints no token.
func TestOptionsLogsNothing(t *testing.T) {
	t.Setenv("GOOGLE_SDK_GO_LOGGING_LEVEL", "debug")
	printed := func(change func(*externalaccount.Options)) (text, jwt string) {
		stderr := os.Stderr
		defer func() { os.Stderr = stderr }()
		file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		os.Stderr = file
		g := &google{seconds: 600}
		o, err := gcpauth.Options(newExchanger(t, g, gcp.Config{}), subject)
		if err != nil {
			t.Fatal(err)
		}
		change(o)
		creds, err := externalaccount.NewCredentials(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := creds.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b), g.lastJWT.Load().(string)
	}
	if text, _ := printed(func(*externalaccount.Options) {}); text != "" {
		t.Errorf("printed %q", text)
	}
	// Without the Logger the JWT is printed, so the test can see it.
	if text, jwt := printed(func(o *externalaccount.Options) { o.Logger = nil }); !strings.Contains(text, jwt) {
		t.Errorf("without a Logger, printed %q", text)
	}
}

func ExampleCredentials() {
	e, err := gcp.New(gcp.Config{Provider: provider, Transport: &google{seconds: 900}})
	if err != nil {
		log.Fatal(err)
	}
	creds := gcpauth.Credentials(e, exchange.Request{Subject: subject}) // subject mints with the platform's issuer
	token, err := creds.Token(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Type, token.Value)
	// Output: Bearer ya29.federated-1
}

func ExampleOptions() {
	e, err := gcp.New(gcp.Config{Provider: provider, Transport: &google{seconds: 900}})
	if err != nil {
		log.Fatal(err)
	}
	options, err := gcpauth.Options(e, subject)
	if err != nil {
		log.Fatal(err)
	}
	creds, err := externalaccount.NewCredentials(options)
	if err != nil {
		log.Fatal(err)
	}
	token, err := creds.Token(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output: ya29.federated-1
}

func ExampleSubjectTokenProvider() {
	e, err := gcp.New(gcp.Config{Provider: provider})
	if err != nil {
		log.Fatal(err)
	}
	jwt, err := gcpauth.SubjectTokenProvider(e, subject).SubjectToken(context.Background(), &externalaccount.RequestOptions{
		Audience:         "//iam.googleapis.com/" + provider,
		SubjectTokenType: "urn:ietf:params:oauth:token-type:jwt",
	})
	fmt.Println(strings.Count(jwt, "."), err)
	// Output: 2 <nil>
}
