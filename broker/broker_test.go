package broker_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cloud is an exchanger whose credentials contain a name from the exchanged token, so that a
// test can see which token it was.
type cloud struct {
	name     string
	lifetime time.Duration
	now      func() time.Time
	fail     atomic.Pointer[error]
	count    atomic.Int64
}

func (c *cloud) Cloud() string { return c.name }

func (c *cloud) Profile() oidctoken.Profile { return oidctoken.Profile{Algorithms: []string{"ES256"}} }

func (c *cloud) Audience() string { return "https://" + c.name + ".example.com" }

func (c *cloud) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	n := c.count.Add(1)
	if err := c.fail.Load(); err != nil {
		return nil, *err
	}
	jwt, err := r.Subject(ctx, c.Audience())
	if err != nil {
		return nil, err
	}
	value := fmt.Sprintf("access-%d-%s-%s", n, payload(jwt)["sub"], strings.Join(r.Scopes, "+"))
	return exchange.NewCredential(c.now().Add(c.lifetime), map[string]string{"CLOUDSDK_AUTH_ACCESS_TOKEN": value}), nil
}

func (c *cloud) Bundle(dir, tokenFile string) (*exchange.Bundle, error) {
	return &exchange.Bundle{
		Files: map[string][]byte{"credentials.json": []byte(`{"file":"` + tokenFile + `"}`)},
		Dirs:  []string{"config"},
		Env: map[string]string{
			"GOOGLE_APPLICATION_CREDENTIALS": dir + "/credentials.json",
			"CLOUDSDK_CONFIG":                dir + "/config",
		},
	}, nil
}

func newCloud(name string) *cloud {
	return &cloud{name: name, lifetime: time.Hour, now: time.Now}
}

// payload decodes the claims of a JWT without verifying it.
func payload(jwt string) map[string]any {
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(jwt, ".")[1])
	if err != nil {
		panic(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(b, &claims); err != nil {
		panic(err)
	}
	return claims
}

// brokerConfig returns the configuration for an account with connectors at each level.
func brokerConfig(t *testing.T, google *cloud) broker.Config {
	return broker.Config{
		Issuer: oidctokentest.NewIssuer(t).Issuer,
		Connectors: broker.ConnectorMap{
			{Account: "acme", ID: "gcp_prod"}:                                              {UID: "c-1", Name: "Production", Exchanger: google},
			{Account: "acme", ID: "vault"}:                                                 {Audiences: []string{"https://vault.example.com", "https://other.example.com"}},
			{Account: "acme", Organization: "payments", ID: "gcp_org"}:                     {Exchanger: google},
			{Account: "acme", Organization: "payments", Project: "ledger", ID: "gcp_mine"}: {Exchanger: google},
			{Account: "acme", Organization: "payments", Project: "other", ID: "theirs"}:    {Exchanger: google},
			{Account: "rival", ID: "gcp_rival"}:                                            {Exchanger: google},
			{Account: "acme", ID: "aws_prod"}:                                              {Exchanger: newCloud("aws")},
		},
		Dir: t.TempDir() + "/steps",
	}
}

func newBroker(t *testing.T, google *cloud) *broker.Broker {
	t.Helper()
	return start(t, brokerConfig(t, google))
}

// start calls broker.New. The broker's background renewals belong to the bubble that it was
// created in. The issuer's listener must be outside.
func start(t *testing.T, config broker.Config) *broker.Broker {
	t.Helper()
	b, err := broker.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func scope(organization, project string) oidctoken.Scope {
	return oidctoken.Scope{
		Account:      oidctoken.Entity{ID: "acme"},
		Organization: oidctoken.Entity{ID: organization},
		Project:      oidctoken.Entity{ID: project},
		Pipeline:     &oidctoken.Pipeline{ID: "release"},
		Stage:        oidctoken.CI{ID: "build"},
	}
}

func newStep(t *testing.T, b *broker.Broker, s oidctoken.Scope) *broker.Step {
	t.Helper()
	step, err := b.NewStep(broker.StepConfig{
		Scope: s,
		Variables: map[string]func(string) (string, bool){
			"stage": func(path string) (string, bool) { return "account.vault", path == "variables.conn" },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := step.Close(); err != nil {
			t.Error(err)
		}
	})
	return step
}

func expand(t *testing.T, step *broker.Step, text string) string {
	t.Helper()
	got, err := step.Expand(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// One connector of the account serves every project. Its tokens name the project that requested
// them.
func TestOneConnectorServesEveryProject(t *testing.T) {
	b := newBroker(t, newCloud("gcp"))
	subs := make(map[string]bool)
	for _, key := range [][2]string{{"payments", "ledger"}, {"payments", "other"}, {"risk", "ledger"}} {
		claims := payload(expand(t, newStep(t, b, scope(key[0], key[1])), `<+secrets.getJWT("account.gcp_prod")>`))
		subs[claims["sub"].(string)] = true
		got := []any{claims["organization_id"], claims["project_id"], claims["connector_id"], claims["connector_scope"], claims["connector_uid"]}
		if diff := cmp.Diff([]any{key[0], key[1], "gcp_prod", "account", "c-1"}, got); diff != "" {
			t.Errorf("claims (-want +got):\n%s", diff)
		}
	}
	if len(subs) != 3 {
		t.Errorf("three projects have the subjects %v", subs)
	}
}

// X15 E05
func TestReferences(t *testing.T) {
	b := newBroker(t, newCloud("gcp"))
	for _, tt := range []struct {
		name, ref string
		scope     oidctoken.Scope
		want      error
	}{
		{"project", "gcp_mine", scope("payments", "ledger"), nil},
		{"organization", "org.gcp_org", scope("payments", "other"), nil},
		{"account", "account.gcp_prod", scope("", ""), nil},
		{"an id searches the project only", "gcp_org", scope("payments", "ledger"), broker.ErrNoConnector},
		{"an id does not search the account", "gcp_prod", scope("payments", "ledger"), broker.ErrNoConnector},
		{"org. does not search the project", "org.gcp_mine", scope("payments", "ledger"), broker.ErrNoConnector},
		{"another project's", "theirs", scope("payments", "ledger"), broker.ErrNoConnector},
		{"another organization's", "org.gcp_org", scope("risk", "ledger"), broker.ErrNoConnector},
		{"another account's", "account.gcp_rival", scope("payments", "ledger"), broker.ErrNoConnector},
		{"no project", "gcp_mine", scope("payments", ""), broker.ErrNoConnector},
		{"no organization", "org.gcp_org", scope("", ""), broker.ErrNoConnector},
		{"letter case", "account.GCP_prod", scope("payments", "ledger"), broker.ErrNoConnector},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newStep(t, b, tt.scope).Expand(t.Context(), `<+secrets.getJWT("`+tt.ref+`")>`)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestParseRef(t *testing.T) {
	for _, tt := range []struct {
		text string
		want broker.Ref
	}{
		{"c", broker.Ref{Level: oidctoken.ProjectLevel, ID: "c"}},
		{"org.c", broker.Ref{Level: oidctoken.OrganizationLevel, ID: "c"}},
		{"account.C_1", broker.Ref{Level: oidctoken.AccountLevel, ID: "C_1"}},
		{"1c", broker.Ref{Level: oidctoken.ProjectLevel, ID: "1c"}},
		{"42", broker.Ref{Level: oidctoken.ProjectLevel, ID: "42"}},
		{"-x", broker.Ref{Level: oidctoken.ProjectLevel, ID: "-x"}},
		{"org.a$b", broker.Ref{Level: oidctoken.OrganizationLevel, ID: "a$b"}},
		{"account.6_vXHzo9Qeu9fXvj-AabCQ", broker.Ref{Level: oidctoken.AccountLevel, ID: "6_vXHzo9Qeu9fXvj-AabCQ"}},
		{"org.3f2504e0-4f89-11d3-9a0c-0305e82c3301", broker.Ref{Level: oidctoken.OrganizationLevel, ID: "3f2504e0-4f89-11d3-9a0c-0305e82c3301"}},
		{"account", broker.Ref{Level: oidctoken.ProjectLevel, ID: "account"}},
		{"account." + strings.Repeat("a", 128), broker.Ref{Level: oidctoken.AccountLevel, ID: strings.Repeat("a", 128)}},
	} {
		got, err := broker.ParseRef(tt.text)
		if err != nil || got != tt.want || got.String() != tt.text {
			t.Errorf("ParseRef(%q) = %+v, %v; want %+v", tt.text, got, err, tt.want)
		}
	}
	for _, text := range []string{
		"", ".", ".x", "org.", "account.", "project.c", "Account.c", "org.account.c", "account.a.b", "a b", " c", "c ",
		"a/b", "..", "a.b", "account..", "account...", "org..x", ".account.c", "ACCOUNT.c", "aCcount.c", "account.a/b", "a@b", "a~b", "a%20b", "$ a", "../c", "a\x00", "é", "а", "account.c\n", strings.Repeat("a", 129), "account." + strings.Repeat("a", 129),
	} {
		var wrong *broker.RefError
		if got, err := broker.ParseRef(text); !errors.As(err, &wrong) {
			t.Errorf("ParseRef(%q) = %v, %v; want a *RefError", text, got, err)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	f.Add("account.gcp_prod")
	f.Add("org.x")
	f.Add("account.6_vXHzo9Qeu9fXvj-AabCQ")
	f.Add("account.a.b")
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := broker.ParseRef(text)
		if err == nil && ref.String() != text {
			t.Errorf("ParseRef(%q).String() = %q", text, ref.String())
		}
		if err == nil && strings.Trim(ref.ID, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-$") != "" {
			t.Errorf("ParseRef(%q) takes the id %q", text, ref.ID)
		}
	})
}

func TestAudiences(t *testing.T) {
	b := newBroker(t, newCloud("gcp"))
	step := newStep(t, b, scope("payments", "ledger"))
	for _, tt := range []struct {
		name, call, want string
	}{
		{"a connector's first", `getJWT("account.vault")`, "https://vault.example.com"},
		{"another that it allows", `getJWT("account.vault", "https://other.example.com")`, "https://other.example.com"},
		{"the cloud's", `getJWT("account.gcp_prod")`, "https://gcp.example.com"},
		{"the cloud's by name", `getJWT("account.gcp_prod", "https://gcp.example.com")`, "https://gcp.example.com"},
		{"by a variable", `getJWT(<+stage.variables.conn>)`, "https://vault.example.com"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := payload(expand(t, step, "<+secrets."+tt.call+">"))["aud"]; got != tt.want {
				t.Errorf("aud is %v, want %s", got, tt.want)
			}
		})
	}
	for _, call := range []string{
		`getJWT("account.vault", "https://evil.example.com")`,
		`getJWT("account.vault", "https://vault.example.com/")`,
		`getJWT("account.gcp_prod", "https://vault.example.com")`,
		`getJWTFile("account.vault", "https://evil.example.com")`,
	} {
		if _, err := step.Expand(t.Context(), "<+secrets."+call+">"); !errors.Is(err, oidctoken.ErrDenied) {
			t.Errorf("%s: got %v, want ErrDenied", call, err)
		}
	}
	if _, err := step.Expand(t.Context(), `<+secrets.getJWT("account.vault", "")>`); err == nil {
		t.Error("an empty audience is taken")
	}
}

// E04: a token that occurs twice in a text is minted once per connector and audience or scope.
func TestOncePerStep(t *testing.T) {
	google := newCloud("gcp")
	b := newBroker(t, google)
	step := newStep(t, b, scope("payments", "ledger"))
	const jwt, access = `<+secrets.getJWT("account.vault")>`, `<+secrets.getGCPAccessToken("account.gcp_prod")>`
	if got := strings.Fields(expand(t, step, jwt+" "+jwt)); got[0] != got[1] || got[0] != expand(t, step, jwt) {
		t.Error("the same token is minted anew")
	}
	if got := strings.Fields(expand(t, step, access+" "+access)); got[0] != got[1] {
		t.Errorf("the same credential is fetched anew: %v", got)
	}
	if got := expand(t, step, `<+secrets.getGCPAccessToken("account.gcp_prod", "a b")>`); !strings.HasSuffix(got, "-a+b") {
		t.Errorf("the scopes are missing in %s", got)
	}
	if n := google.count.Load(); n != 2 {
		t.Errorf("%d exchanges, want 2", n)
	}
	if again := expand(t, newStep(t, b, scope("payments", "ledger")), jwt); again != expand(t, step, jwt) {
		t.Error("steps with the same claims got different tokens")
	}
	if other := expand(t, newStep(t, b, scope("payments", "other")), jwt); other == expand(t, step, jwt) {
		t.Error("two projects share a token")
	}
}

// An error contains the position in the text and wraps the cause. It contains no token.
func TestRefusals(t *testing.T) {
	google := newCloud("gcp")
	refusal := error(&exchange.Error{Provider: "gcp", Op: "sts:token", Status: 400, Code: "invalid_grant"})
	google.fail.Store(&refusal)
	step := newStep(t, newBroker(t, google), scope("payments", "ledger"))
	_, err := step.Expand(t.Context(), `<+secrets.getGCPAccessToken("account.gcp_prod")>`)
	var cloudErr *exchange.Error
	if !errors.As(err, &cloudErr) || cloudErr.Code != "invalid_grant" {
		t.Errorf("got %v, want the cloud's error", err)
	}

	fork := scope("payments", "ledger")
	fork.Untrusted = true
	_, err = newStep(t, newBroker(t, google), fork).Expand(t.Context(), `<+secrets.getJWT("account.vault")>`)
	if !errors.Is(err, oidctoken.ErrDenied) { // T22
		t.Errorf("a fork: got %v, want ErrDenied", err)
	}
}

func TestPreview(t *testing.T) {
	google := newCloud("gcp")
	step := newStep(t, newBroker(t, google), scope("payments", "ledger"))
	uses, err := step.Preview(t.Context(), `
		<+secrets.getGCPAccessToken("account.gcp_prod")>
		<+true ? secrets.getJWT("account.vault") : secrets.getJWT("account.missing")>
		<+secrets.getJWTFile("gcp_mine")>`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range uses {
		sub, _ := u.Claims.Get("sub")
		got = append(got, u.Connector+" "+u.Audience+" "+sub)
	}
	const sub = " account/acme:org/payments:project/ledger"
	want := []string{
		"account.gcp_prod https://gcp.example.com" + sub,
		"account.vault https://vault.example.com" + sub,
		"gcp_mine https://gcp.example.com" + sub,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("uses (-want +got):\n%s", diff)
	}
	if n := google.count.Load(); n != 0 {
		t.Errorf("a preview made %d exchanges", n)
	}
	if _, err := step.Preview(t.Context(), `<+secrets.getJWT("account.missing")>`); !errors.Is(err, broker.ErrNoConnector) {
		t.Errorf("got %v, want ErrNoConnector", err)
	}
}

func TestNewStepRefusesWhatConnectorsGive(t *testing.T) {
	b := newBroker(t, newCloud("gcp"))
	for name, change := range map[string]func(*oidctoken.Scope){
		"audience":  func(s *oidctoken.Scope) { s.Audience = "x" },
		"profile":   func(s *oidctoken.Scope) { s.Profile = new(oidctoken.Profile) },
		"connector": func(s *oidctoken.Scope) { s.Connector = &oidctoken.Connector{ID: "c"} },
	} {
		s := scope("payments", "ledger")
		change(&s)
		if _, err := b.NewStep(broker.StepConfig{Scope: s}); err == nil {
			t.Errorf("a Scope with %s is taken", name)
		}
	}
}
