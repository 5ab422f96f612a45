package googletest_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/oidctoken/oidctoken/internal/jose"
	"github.com/oidctoken/oidctoken/oidctokentest/googletest"
	"github.com/oidctoken/oidctoken/oidctokentest/internal/standintest"
)

const accounts = "/v1/projects/-/serviceAccounts/"

// withAccounts has a deployer, which some pipelines may use, and a robot, which
// only the deployer may.
func withAccounts(members ...string) func(*googletest.Config) {
	return func(c *googletest.Config) {
		c.Providers[0].AttributeMapping = map[string]string{"attribute.env": "assertion.environment_id"}
		c.ServiceAccounts = []googletest.ServiceAccount{
			{Email: deployer, Members: members},
			{Email: "robot@acme.iam.gserviceaccount.com", Members: []string{"serviceAccount:" + deployer}, MaxLifetime: 12 * time.Hour},
		}
	}
}

const (
	anyone  = "principalSet://iam.googleapis.com/" + pool + "/*"
	prod    = "principalSet://iam.googleapis.com/" + pool + "/attribute.env/prod"
	subject = "principal://iam.googleapis.com/" + pool + "/subject/account/acme"
)

func TestGoogleImpersonation(t *testing.T) {
	denied := func(permission string) string {
		return `{"error":{"code":403,"message":"Permission 'iam.serviceAccounts.` + permission + `' denied on resource (or it may not exist).","status":"PERMISSION_DENIED"}}`
	}
	argument := func(words string) string {
		return `{"error":{"code":400,"message":"` + words + `","status":"INVALID_ARGUMENT"}}`
	}
	const (
		noCredentials = `{"error":{"code":401,"message":"Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.","status":"UNAUTHENTICATED"}}`
		scopes        = `{"error":{"code":403,"message":"Request had insufficient authentication scopes.","status":"PERMISSION_DENIED"}}`
		hour          = `{"scope":["` + cloudPlatform + `"],"lifetime":"3600s"}`
		long          = `{"scope":["` + cloudPlatform + `"],"lifetime":"43200s"}`
		robot         = "robot@acme.iam.gserviceaccount.com"
		tooLong       = "can not have lifetimes of more than 1 hour. Use the Org Policy Constraint constraints/iam.allowServiceAccountCredentialLifetimeExtension to allow up to 12 hours."
	)
	delegated := `{"scope":["` + cloudPlatform + `"],"lifetime":"43200s","delegates":["projects/-/serviceAccounts/` + deployer + `"]}`
	for _, tt := range []struct {
		name         string
		members      []string
		scope        string
		token        func(string) string
		path, body   string
		want         string        // the answer if it is an error
		wantLifetime time.Duration // if not
	}{
		{"subject", []string{subject}, "", nil, deployer + ":generateAccessToken", hour, "", time.Hour},
		{"attribute", []string{prod}, "", nil, deployer + ":generateAccessToken", hour, "", time.Hour},
		{"pool", []string{anyone}, "", nil, deployer + ":generateAccessToken", hour, "", time.Hour},
		{"IAM scope", []string{anyone}, "https://www.googleapis.com/auth/iam", nil, deployer + ":generateAccessToken", hour, "", time.Hour},
		{"default lifetime", []string{anyone}, "", nil, deployer + ":generateAccessToken", `{"scope":["` + cloudPlatform + `"]}`, "", time.Hour},
		{"shortest lifetime", []string{anyone}, "", nil, deployer + ":generateAccessToken", `{"scope":["` + cloudPlatform + `"],"lifetime":"600s"}`, "", 10 * time.Minute},
		{"delegate", []string{anyone}, "", nil, robot + ":generateAccessToken", delegated, "", 12 * time.Hour},

		{"nobody", nil, "", nil, deployer + ":generateAccessToken", hour, denied("getAccessToken"), 0},
		{"another subject", []string{subject + "x"}, "", nil, deployer + ":generateAccessToken", hour, denied("getAccessToken"), 0},
		{"another attribute", []string{strings.Replace(prod, "prod", "test", 1)}, "", nil, deployer + ":generateAccessToken", hour, denied("getAccessToken"), 0},
		{"another pool", []string{strings.Replace(anyone, "/ci/", "/cd/", 1)}, "", nil, deployer + ":generateAccessToken", hour, denied("getAccessToken"), 0},
		{"not without the delegate", []string{anyone}, "", nil, robot + ":generateAccessToken", hour, denied("getAccessToken"), 0},
		{"not through a delegate that denies", nil, "", nil, robot + ":generateAccessToken", delegated, denied("getAccessToken"), 0},
		{"unknown account", []string{anyone}, "", nil, "nobody@acme.iam.gserviceaccount.com:generateAccessToken", hour, denied("getAccessToken"), 0},
		{"ID token of nobody", nil, "", nil, deployer + ":generateIdToken", `{"audience":"a"}`, denied("getOpenIdToken"), 0},
		{"another token", []string{anyone}, "", func(s string) string { return s + "x" }, deployer + ":generateAccessToken", hour, noCredentials, 0},
		{"another scope", []string{anyone}, "https://www.googleapis.com/auth/compute", nil, deployer + ":generateAccessToken", hour, scopes, 0},
		{"no scope", []string{anyone}, "", nil, deployer + ":generateAccessToken", `{}`, argument("Request contains an invalid argument."), 0},
		{"no audience", []string{anyone}, "", nil, deployer + ":generateIdToken", `{}`, argument("Request contains an invalid argument."), 0},
		{"no lifetime", []string{anyone}, "", nil, deployer + ":generateAccessToken", strings.Replace(hour, "3600", "0", 1), argument("Lifetime of access token must be larger then zero."), 0},
		{"short lifetime", []string{anyone}, "", nil, deployer + ":generateAccessToken", strings.Replace(hour, "3600", "599", 1), argument("Lifetime of access token must be at least 600 seconds."), 0},
		{"lifetime over an hour", []string{anyone}, "", nil, deployer + ":generateAccessToken", long, argument(tooLong), 0},
		{"lifetime over 12 hours", []string{anyone}, "", nil, deployer + ":generateAccessToken", strings.Replace(hour, "3600", "43201", 1), argument("Lifetime of access token must be at most 43200 seconds."), 0},
		{"lifetime in hours", []string{anyone}, "", nil, deployer + ":generateAccessToken", strings.Replace(hour, "3600s", "1h", 1), argument("Invalid value at 'lifetime' (type.googleapis.com/google.protobuf.Duration)."), 0},
		{"unknown member", []string{anyone}, "", nil, deployer + ":generateAccessToken", `{"scopes":["a"]}`, argument("Invalid JSON payload received. Unknown name: Cannot find field."), 0},
		{"not JSON", []string{anyone}, "", nil, deployer + ":generateAccessToken", `scope=a`, argument("Invalid JSON payload received."), 0},
		{"unknown method", []string{anyone}, "", nil, deployer + ":signJwt", hour, `{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND"}}`, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGoogle(t, withAccounts(tt.members...))
			r := g.request()
			if tt.scope != "" {
				r.form.Set("scope", tt.scope)
			}
			token := g.exchange(t, r)
			if tt.token != nil {
				token = tt.token(token)
			}
			start := time.Now().Truncate(time.Second)
			answer := standintest.Call(t, g, http.MethodPost, accounts+tt.path, bearer(token), tt.body)
			if tt.want != "" {
				if diff := cmp.Diff(tt.want+"\n", answer.Body.String()); diff != "" {
					t.Errorf("the answer (-want +got):\n%s", diff)
				}
				return
			}
			var got struct {
				AccessToken string
				ExpireTime  time.Time
			}
			if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || answer.Code != http.StatusOK {
				t.Fatalf("the answer is %d: %s", answer.Code, answer.Body)
			}
			if end := got.ExpireTime; end.Before(start.Add(tt.wantLifetime)) || end.After(time.Now().Add(tt.wantLifetime)) {
				t.Errorf("expireTime is %v after the request, want %v", end.Sub(start), tt.wantLifetime)
			}
			grant, _ := g.Lookup(got.AccessToken)
			email, _, _ := strings.Cut(tt.path, ":")
			want := googletest.Identity{
				Principal:      subject,
				Attributes:     map[string]string{"google.subject": "account/acme", "attribute.env": "prod"},
				ServiceAccount: email,
				Scopes:         []string{cloudPlatform},
			}
			if diff := cmp.Diff(want, grant, cmpopts.IgnoreUnexported(want), cmpopts.IgnoreFields(want, "Expires")); diff != "" {
				t.Errorf("Lookup (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGoogleIDToken(t *testing.T) {
	g := newGoogle(t, withAccounts(anyone))
	token := g.exchange(t, g.request())
	answer := standintest.Call(t, g, http.MethodPost, accounts+deployer+":generateIdToken", bearer(token),
		`{"audience":"https://service.example.com","includeEmail":true,"useEmailAzp":true}`)
	var got struct{ Token string }
	if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || answer.Code != http.StatusOK {
		t.Fatalf("the answer is %d: %s", answer.Code, answer.Body)
	}
	certs := standintest.Call(t, g, http.MethodGet, "/oauth2/v3/certs", nil, "")
	set, err := jose.ParseSet(certs.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	verified, err := set.Verify(got.Token, "RS256")
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(verified.Payload, &claims); err != nil {
		t.Fatal(err)
	}
	if lifetime := claims["exp"].(float64) - claims["iat"].(float64); lifetime != 3600 {
		t.Errorf("the ID token lives for %v s, want 3600", lifetime)
	}
	sub, _ := claims["sub"].(string)
	if len(sub) != 21 || strings.Trim(sub, "0123456789") != "" {
		t.Errorf("the ID token's sub is %q, want 21 digits", sub)
	}
	for _, name := range []string{"iat", "exp", "sub"} {
		delete(claims, name)
	}
	want := map[string]any{
		"iss": "https://accounts.google.com", "aud": "https://service.example.com",
		"azp": deployer, "email": deployer, "email_verified": true,
	}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Errorf("the ID token (-want +got):\n%s", diff)
	}
}

func TestGoogleIntrospection(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	g := newGoogle(t, func(c *googletest.Config) { c.Now = func() time.Time { return now } })
	gcloud := "Basic " + base64.StdEncoding.EncodeToString([]byte(gcloudClientID+":public"))
	theirs := g.request()
	theirs.header.Set("Authorization", gcloud)
	live, other := g.exchange(t, theirs), g.exchange(t, g.request())
	for _, tt := range []struct {
		name, client, body string
		want               string
	}{
		{"live", gcloud, "token=" + live + "&token_type_hint=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token",
			fmt.Sprintf(`{"active":true,"client_id":%q,"exp":%d,"iss":"https://sts.googleapis.com/","scope":%q,"sub":%q,"username":%[4]q}`,
				gcloudClientID, now.Add(15*time.Minute).Unix(), cloudPlatform, subject)},
		{"another client's", gcloud, "token=" + other, `{"active":false}`},
		{"none", gcloud, "token=x", `{"active":false}`},
		{"no client", "", "token=" + live, `{"error":"invalid_client","error_description":"The OAuth client was not found."}`},
		{"a bearer", "Bearer " + live, "token=" + live, `{"error":"invalid_client","error_description":"The OAuth client was not found."}`},
		{"hint", gcloud, "token=" + live + "&token_type_hint=refresh_token", `{"error":"unsupported_token_type","error_description":"Invalid value for \"token_type_hint\"."}`},
		{"twice", gcloud, "token=a&token=b", `{"error":"invalid_request","error_description":"The request has the parameter \"token\" more than once."}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
			if tt.client != "" {
				header.Set("Authorization", tt.client)
			}
			answer := standintest.Call(t, g, http.MethodPost, "/v1/introspect", header, tt.body)
			if diff := cmp.Diff(tt.want+"\n", answer.Body.String()); diff != "" {
				t.Errorf("the answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGoogleProjects(t *testing.T) {
	g := newGoogle(t, func(c *googletest.Config) {
		c.Projects = []googletest.Project{{ID: "acme-prod", Number: "123"}}
	})
	narrow := g.request()
	narrow.form.Set("scope", "openid")
	for _, tt := range []struct {
		name   string
		header http.Header
		status int
		want   string
	}{
		{"live", bearer(g.exchange(t, g.request())), 200, `{"projects":[{"lifecycleState":"ACTIVE","name":"acme-prod","projectId":"acme-prod","projectNumber":"123"}]}`},
		{"narrow", bearer(g.exchange(t, narrow)), 403, "insufficient authentication scopes"},
		{"other", bearer("other"), 401, "Request had invalid authentication credentials."},
		{"none", nil, 401, "Request is missing required authentication credential."},
		{"basic", http.Header{"Authorization": {"Basic " + g.exchange(t, g.request())}}, 401, "Request had invalid authentication credentials."},
		{"two", http.Header{"Authorization": {"Bearer a", "Bearer b"}}, 401, "Request had invalid authentication credentials."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer := standintest.Call(t, g, http.MethodGet, "/v1/projects?alt=json", tt.header, "")
			if answer.Code != tt.status || !strings.Contains(answer.Body.String(), tt.want) {
				t.Errorf("the answer is %d, want %d with %q: %s", answer.Code, tt.status, tt.want, answer.Body)
			}
		})
	}
}

func TestGoogleFault(t *testing.T) {
	faults := 1
	g := newGoogle(t, func(c *googletest.Config) {
		c.Fault = func(r *http.Request) http.Handler {
			if faults--; faults < 0 {
				return nil
			}
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
		}
	})
	if answer := g.send(t, g.request()); answer.Code != http.StatusBadGateway {
		t.Errorf("the STS answered %d, want the fault's 502", answer.Code)
	}
	g.exchange(t, g.request())
	if got := g.Requests("/v1/token"); got != 2 {
		t.Errorf("Requests is %d, want 2", got)
	}
	for _, call404 := range []string{"GET /v1/token", "POST /v1/projects", "GET /", "POST //v1/token"} {
		method, path, _ := strings.Cut(call404, " ")
		if answer := standintest.Call(t, g, method, "http://sts.googleapis.com"+path, nil, ""); answer.Code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", call404, answer.Code)
		}
	}
}

func TestGoogleIsBounded(t *testing.T) {
	g := newGoogle(t)
	short, long := g.request(), g.request()
	short.claims["exp"] = time.Now().Unix() + 60
	first, kept := g.exchange(t, short), g.exchange(t, long)
	for range 4095 {
		g.exchange(t, long)
	}
	if _, ok := g.Lookup(first); ok {
		t.Error("the stand-in remembers 4097 tokens, want at most 4096")
	}
	if _, ok := g.Lookup(kept); !ok {
		t.Error("the stand-in forgot another token than the one that ends first")
	}
}
