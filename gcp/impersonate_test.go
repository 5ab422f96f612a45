package gcp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

const cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

// checkIAMCall requires the body to be exactly want.
func checkIAMCall(t *testing.T, c call, method, bearer string, want map[string]any) {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal([]byte(c.Body), &body); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	c.Body = ""
	if diff := cmp.Diff(call{
		Method: "POST", URL: "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + serviceAccount + ":" + method,
		ContentType: "application/json", Accept: "application/json", Authorization: []string{"Bearer " + bearer},
	}, c); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestImpersonateRequest(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config gcp.Config
		scopes []string
		want   map[string]any
	}{
		{"default", gcp.Config{}, nil, map[string]any{"scope": []any{cloudPlatform}, "lifetime": "3600s"}},
		{"everything", gcp.Config{Scopes: []string{"a", "b"}, Lifetime: 600 * time.Second, Delegates: []string{"first@acme", "second@acme"}}, nil,
			map[string]any{"scope": []any{"a", "b"}, "lifetime": "600s",
				"delegates": []any{"projects/-/serviceAccounts/first@acme", "projects/-/serviceAccounts/second@acme"}}},
		{"requested scopes", gcp.Config{Scopes: []string{"a", "b"}}, []string{"c"}, map[string]any{"scope": []any{"c"}, "lifetime": "3600s"}},
		{"longest", gcp.Config{Lifetime: 12 * time.Hour}, nil, map[string]any{"scope": []any{cloudPlatform}, "lifetime": "43200s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expires := time.Now().Add(9 * time.Minute).Truncate(time.Second)
			g := &google{answers: []answer{federated("ya29.federated", 899), impersonated("ya29.impersonated", expires)}}
			tt.config.ServiceAccount = serviceAccount
			m := &minter{}
			c, err := newExchanger(t, g, tt.config).Exchange(t.Context(), exchange.Request{Subject: m.subject, Scopes: tt.scopes})
			if err != nil {
				t.Fatal(err)
			}
			calls := g.asked()
			if len(calls) != 2 {
				t.Fatalf("%d requests, want 2", len(calls))
			}
			checkSTSCall(t, calls[0], stsForm(m.All()[0], cloudPlatform))
			checkIAMCall(t, calls[1], "generateAccessToken", "ya29.federated", tt.want)
			if got := c.Value("CLOUDSDK_AUTH_ACCESS_TOKEN"); got != "ya29.impersonated" || got != c.Value("GOOGLE_OAUTH_ACCESS_TOKEN") {
				t.Errorf("access token = %q", got)
			}
			if !c.Expires().Equal(expires) {
				t.Errorf("Expires = %s, want %s", c.Expires(), expires)
			}
			cloudtest.NoLeak(t, c, "ya29.impersonated", "ya29.federated")
		})
	}
}

// X03, X04
func TestImpersonateAnswer(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339) }
	for _, tt := range []struct {
		name, body string
		want       time.Duration // of the credential; 0 if refused
		refusal    string
	}{
		{"good", `{"accessToken":"ya29.a","expireTime":"` + at(time.Hour) + `"}`, time.Hour, ""},
		{"with a fraction", `{"accessToken":"ya29.a","expireTime":"2030-01-02T03:04:15.5Z"}`, 10500 * time.Millisecond, ""},
		{"another zone", `{"accessToken":"ya29.a","expireTime":"2030-01-02T04:04:15+01:00"}`, 10 * time.Second, ""},
		{"Google's clock is ahead", `{"accessToken":"ya29.a","expireTime":"` + at(time.Hour+5*time.Minute) + `"}`, time.Hour, ""},
		{"empty", ``, 0, "the answer is not JSON"},
		{"nothing in it", `{}`, 0, "the token is empty"},
		{"empty token", `{"accessToken":"","expireTime":"` + at(time.Hour) + `"}`, 0, "the token is empty"},
		{"token with line break", `{"accessToken":"ya29\r\n","expireTime":"` + at(time.Hour) + `"}`, 0, "the token has a byte that is not visible ASCII"},
		{"no expiry", `{"accessToken":"ya29.a"}`, 0, "expireTime is not a time of RFC 3339"},
		{"expiry is a number", `{"accessToken":"ya29.a","expireTime":3600}`, 0, "the answer's expireTime has the wrong type"},
		{"expiry without zone", `{"accessToken":"ya29.a","expireTime":"2030-01-02T04:04:15"}`, 0, "expireTime is not a time of RFC 3339"},
		{"over", `{"accessToken":"ya29.a","expireTime":"1999-01-01T00:00:00Z"}`, 0, "the token is over already"},
		{"over now", `{"accessToken":"ya29.a","expireTime":"` + at(0) + `"}`, 0, "the token is over already"},
		{"absurd", `{"accessToken":"ya29.a","expireTime":"9999-12-31T23:59:59Z"}`, 0, "the token claims to live longer than requested"},
		{"longer than asked", `{"accessToken":"ya29.a","expireTime":"` + at(2*time.Hour) + `"}`, 0, "the token claims to live longer than requested"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := &google{answers: []answer{federated("ya29.federated", 899), {body: tt.body}}}
			e := newExchanger(t, g, gcp.Config{ServiceAccount: serviceAccount, Now: func() time.Time { return now }})
			c, err := e.Exchange(t.Context(), exchange.Request{Subject: (&minter{}).subject})
			if tt.want != 0 {
				if err != nil {
					t.Fatal(err)
				}
				if got := c.Expires().Sub(now); got != tt.want {
					t.Errorf("lifetime = %s, want %s", got, tt.want)
				}
				return
			}
			var got *exchange.Error
			if !errors.As(err, &got) || got.Op != "iamcredentials:generateAccessToken" || got.Temporary() || got.Err.Error() != tt.refusal {
				t.Errorf("error = %v, want %q", err, tt.refusal)
			}
		})
	}
}

// X09: a failing IAM Credentials API is retried with the same federated token
// while that is valid, and with a new one from a new JWT afterwards.
func TestImpersonateRetries(t *testing.T) {
	wait := http.Header{"Retry-After": {"20"}}
	for _, tt := range []struct {
		name     string
		lifetime int // of the federated token
		jwts     int
		bearers  []string
	}{
		{"federated token lives", 600, 1, []string{"", "Bearer ya29.first", "Bearer ya29.first"}},
		{"federated token is over", 10, 2, []string{"", "Bearer ya29.first", "", "Bearer ya29.second"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &google{answers: []answer{federated("ya29.first", tt.lifetime), {status: 503, header: wait}}}
				if tt.jwts == 2 {
					g.answers = append(g.answers, federated("ya29.second", 600))
				}
				g.answers = append(g.answers, impersonated("ya29.impersonated", time.Now().Add(time.Hour)))
				m := &minter{}
				_, err := newExchanger(t, g, gcp.Config{ServiceAccount: serviceAccount}).Exchange(t.Context(), exchange.Request{Subject: m.subject})
				if err != nil {
					t.Fatal(err)
				}
				var bearers []string
				for _, c := range g.asked() {
					bearers = append(bearers, strings.Join(c.Authorization, ","))
				}
				if diff := cmp.Diff(tt.bearers, bearers); diff != "" {
					t.Errorf("Authorization (-want +got):\n%s", diff)
				}
				if n := len(m.All()); n != tt.jwts {
					t.Errorf("%d JWTs, want %d", n, tt.jwts)
				}
			})
		})
	}
}

// X09: both calls share one budget.
func TestImpersonateGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &google{answers: []answer{{status: 503}, federated("ya29.federated", 899), {status: 503}}}
		m := &minter{}
		start := time.Now()
		_, err := newExchanger(t, g, gcp.Config{ServiceAccount: serviceAccount}).Exchange(t.Context(), exchange.Request{Subject: m.subject})
		var got *exchange.Error
		if !errors.As(err, &got) || !got.Temporary() || got.Status != 503 || got.Op != "iamcredentials:generateAccessToken" {
			t.Errorf("error = %v, want the temporary one of the last call", err)
		}
		if took := time.Since(start); took < 54*time.Second || took > time.Minute {
			t.Errorf("took %s, want the budget of a minute", took)
		}
		if n := len(m.All()); n != 2 {
			t.Errorf("%d JWTs, want 2", n)
		}
	})
}

func idToken(claims map[string]any) answer {
	jwt := cloudtest.Compact(map[string]any{"alg": "RS256", "kid": "g1", "typ": "JWT"},
		cloudtest.Merge(map[string]any{"iss": "https://accounts.google.com", "sub": "1", "aud": "https://run.example.com", "iat": 1, "exp": time.Now().Unix() + 3600}, claims))
	return answer{body: fmt.Sprintf(`{"token":%q}`, jwt)}
}

func TestIDTokenRequest(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config gcp.Config
		email  bool
		want   map[string]any
	}{
		{"default", gcp.Config{}, false, map[string]any{"audience": "https://run.example.com", "includeEmail": false}},
		{"e-mail, delegates", gcp.Config{Delegates: []string{"first@acme"}}, true,
			map[string]any{"audience": "https://run.example.com", "includeEmail": true, "delegates": []any{"projects/-/serviceAccounts/first@acme"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expires := time.Now().Add(50 * time.Minute).Truncate(time.Second)
			given := idToken(map[string]any{"exp": expires.Unix()})
			g := &google{answers: []answer{federated("ya29.federated", 899), given}}
			tt.config.ServiceAccount = serviceAccount
			m := &minter{}
			c, err := newExchanger(t, g, tt.config).IDToken(t.Context(), gcp.IDTokenRequest{
				Subject: m.subject, Audience: "https://run.example.com", IncludeEmail: tt.email,
			})
			if err != nil {
				t.Fatal(err)
			}
			calls := g.asked()
			if len(calls) != 2 {
				t.Fatalf("%d requests, want 2", len(calls))
			}
			checkSTSCall(t, calls[0], stsForm(m.All()[0], cloudPlatform))
			checkIAMCall(t, calls[1], "generateIdToken", "ya29.federated", tt.want)
			token := c.Value("GOOGLE_ID_TOKEN")
			if want := fmt.Sprintf(`{"token":%q}`, token); given.body != want || len(c.Env()) != 1 {
				t.Errorf("the credential is not the ID token that was given")
			}
			if !c.Expires().Equal(expires) {
				t.Errorf("Expires = %s, want %s", c.Expires(), expires)
			}
			cloudtest.NoLeak(t, c, token)
		})
	}
}

func TestIDTokenRefusesRequest(t *testing.T) {
	good := gcp.IDTokenRequest{Subject: (&minter{}).subject, Audience: "a"}
	for _, tt := range []struct {
		name    string
		account string
		change  func(*gcp.IDTokenRequest)
		want    oidctoken.ConfigError
	}{
		{"no account", "", func(*gcp.IDTokenRequest) {}, oidctoken.ConfigError{Package: "gcp", Field: "ServiceAccount", Reason: "is required for an ID token"}},
		{"no subject", serviceAccount, func(r *gcp.IDTokenRequest) { r.Subject = nil }, oidctoken.ConfigError{Package: "gcp", Field: "IDTokenRequest.Subject", Reason: "is required"}},
		{"no audience", serviceAccount, func(r *gcp.IDTokenRequest) { r.Audience = "" },
			oidctoken.ConfigError{Package: "gcp", Field: "IDTokenRequest.Audience", Reason: "is required, in printable ASCII without spaces"}},
		{"bad audience", serviceAccount, func(r *gcp.IDTokenRequest) { r.Audience = "a\n" },
			oidctoken.ConfigError{Package: "gcp", Field: "IDTokenRequest.Audience", Reason: "is required, in printable ASCII without spaces"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := &google{answers: []answer{federated("ya29.federated", 899)}}
			r := good
			tt.change(&r)
			_, err := newExchanger(t, g, gcp.Config{ServiceAccount: tt.account}).IDToken(t.Context(), r)
			var got *oidctoken.ConfigError
			errors.As(err, &got)
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("IDToken (-want +got):\n%s", diff)
			}
			if len(g.asked()) != 0 {
				t.Error("a request was made")
			}
		})
	}
}

// X03, X04
func TestIDTokenRefusesAnswer(t *testing.T) {
	const notIDToken = "token is not an ID token for the audience"
	for _, tt := range []struct {
		name string
		give answer
		want string
	}{
		{"empty", answer{body: `{}`}, "the token is empty"},
		{"no JWT", answer{body: `{"token":"ya29.opaque"}`}, notIDToken},
		{"other audience", idToken(map[string]any{"aud": "https://other.example.com"}), notIDToken},
		{"no expiry", idToken(map[string]any{"exp": nil}), "the token is over already"},
		{"over", idToken(map[string]any{"exp": 1}), "the token is over already"},
		{"absurd", idToken(map[string]any{"exp": 253402300799}), "the token claims to live longer than requested"},
		{"overflow", idToken(map[string]any{"exp": int64(1<<63 - 1)}), "the token is over already"}, // wraps around
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := &google{answers: []answer{federated("ya29.federated", 899), tt.give}}
			_, err := newExchanger(t, g, gcp.Config{ServiceAccount: serviceAccount}).IDToken(t.Context(),
				gcp.IDTokenRequest{Subject: (&minter{}).subject, Audience: "https://run.example.com"})
			var got *exchange.Error
			if !errors.As(err, &got) || got.Op != "iamcredentials:generateIdToken" || got.Err.Error() != tt.want {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
			cloudtest.NoLeak(t, err, tt.give.body)
		})
	}
}
