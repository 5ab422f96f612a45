package broker_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// sessions is an exchanger with named sessions, like AWS.
type sessions struct {
	mu    sync.Mutex
	names []string
}

func (s *sessions) Cloud() string              { return "aws" }
func (s *sessions) Profile() oidctoken.Profile { return oidctoken.Profile{} }
func (s *sessions) Audience() string           { return "sts.amazonaws.com" }
func (s *sessions) add(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = append(s.names, name)
}
func (s *sessions) Bundle(string, string) (*exchange.Bundle, error) { panic("SessionBundle is there") }

func (s *sessions) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	if _, err := r.Subject(ctx, s.Audience()); err != nil {
		return nil, err
	}
	s.add(r.SessionName)
	return exchange.NewCredential(time.Now().Add(time.Hour), map[string]string{
		"AWS_ACCESS_KEY_ID":     "ASIA-the-key-id",
		"AWS_SECRET_ACCESS_KEY": "the-secret-access-key",
		"AWS_SESSION_TOKEN":     "the-session-token",
		"AWS_REGION":            "eu-west-1",
	}, "AWS_REGION"), nil
}

func (s *sessions) SessionBundle(dir, tokenFile, sessionName string) (*exchange.Bundle, error) {
	s.add(sessionName)
	return &exchange.Bundle{Env: map[string]string{"AWS_ROLE_SESSION_NAME": sessionName}}, nil
}

func newAWSBroker(t *testing.T, cloud *sessions) *broker.Broker {
	t.Helper()
	b, err := broker.New(broker.Config{
		Issuer: oidctokentest.NewIssuer(t).Issuer,
		Connectors: broker.ConnectorMap{
			{Account: "acme", ID: "aws_prod"}: {Exchanger: cloud},
			{Account: "acme", ID: "aws_test"}: {Exchanger: cloud},
		},
		Dir: t.TempDir() + "/steps",
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// All fields come from one credential. Fields that are not secret are not masked.
func TestAWSCredentials(t *testing.T) {
	cloud := new(sessions)
	step := newStep(t, newAWSBroker(t, cloud), scope("payments", "ledger"))
	got := expand(t, step, `<+secrets.getAWSCredentials("account.aws_prod").accessKeyId> `+
		`<+secrets.getAWSCredentials("account.aws_prod").secretAccessKey> `+
		`<+secrets.getAWSCredentials("account.aws_prod").sessionToken>`)
	if want := "ASIA-the-key-id the-secret-access-key the-session-token"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(cloud.names) != 1 {
		t.Errorf("%d exchanges, want 1", len(cloud.names))
	}
	var out strings.Builder
	w := step.Mask(&out)
	if _, err := w.Write([]byte(got + " in eu-west-1")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if want := "*** *** *** in eu-west-1"; out.String() != want {
		t.Errorf("the output is %q, want %q", out.String(), want)
	}
	for _, text := range []string{
		`<+secrets.getAWSCredentials("account.aws_prod")>`,
		`<+secrets.getAWSCredentials("account.aws_prod").region>`,
		`<+secrets.getGCPAccessToken("account.aws_prod")>`,
		`<+secrets.getAzureAccessToken("account.aws_prod")>`,
	} {
		if got, err := step.Expand(t.Context(), text); err == nil {
			t.Errorf("%s gives %q", text, got)
		}
	}
}

// limited is an exchanger of a cloud with narrow limits.
type limited struct{ *cloud }

func (limited) Profile() oidctoken.Profile {
	return oidctoken.Profile{Algorithms: []string{"RS256", "ES256"}, MaxSubject: 127}
}

// A Profile that its cloud does not accept is refused before a token is minted: at New for a
// ConnectorMap, and at the first use for a host's own Connectors.
func TestConnectorProfile(t *testing.T) {
	ex := limited{newCloud("gcp")}
	for _, tt := range []struct {
		name      string
		connector broker.Connector
		want      *broker.ConnectorError
	}{
		{"the Exchanger's own", broker.Connector{Exchanger: ex}, nil},
		{"narrower", broker.Connector{Exchanger: ex, Profile: &oidctoken.Profile{Algorithms: []string{"ES256"}, MaxSubject: 100}}, nil},
		{"the default algorithm", broker.Connector{Exchanger: ex, Profile: &oidctoken.Profile{MaxSubject: 127}}, nil},
		{"another algorithm", broker.Connector{Exchanger: ex, Profile: &oidctoken.Profile{Algorithms: []string{"ES256", "EdDSA"}, MaxSubject: 127}},
			&broker.ConnectorError{Key: broker.ConnectorKey{Account: "acme", ID: "c"}, Field: "Profile.Algorithms", Reason: `has "EdDSA", but the Exchanger's cloud accepts only ["RS256" "ES256"]`}},
		{"no limit", broker.Connector{Exchanger: ex, Profile: &oidctoken.Profile{}},
			&broker.ConnectorError{Key: broker.ConnectorKey{Account: "acme", ID: "c"}, Field: "Profile.MaxSubject", Reason: "is unlimited or more than the 127 bytes that the Exchanger's cloud accepts"}},
		{"a longer limit", broker.Connector{Exchanger: ex, Profile: &oidctoken.Profile{MaxSubject: 128}},
			&broker.ConnectorError{Key: broker.ConnectorKey{Account: "acme", ID: "c"}, Field: "Profile.MaxSubject", Reason: "is unlimited or more than the 127 bytes that the Exchanger's cloud accepts"}},
		{"no audience", broker.Connector{}, &broker.ConnectorError{Key: broker.ConnectorKey{Account: "acme", ID: "c"}, Field: "Audiences", Reason: "is empty, but a connector without an Exchanger needs an audience"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := brokerConfig(t, newCloud("gcp"))
			config.Connectors = broker.ConnectorMap{{Account: "acme", ID: "c"}: &tt.connector}
			_, err := broker.New(config)
			var got *broker.ConnectorError
			errors.As(err, &got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("New (-want +got):\n%s", diff)
			}

			config.Connectors = hostsOwn{config.Connectors}
			b := start(t, config)
			_, err = newStep(t, b, scope("payments", "ledger")).Preview(t.Context(), `<+secrets.getJWT("account.c")>`)
			got = nil
			errors.As(err, &got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Preview (-want +got):\n%s", diff)
			}
		})
	}
}

// hostsOwn hides a ConnectorMap from New.
type hostsOwn struct{ broker.Connectors }

// X10: tools store credentials under the role and the session name, so each step has its own
// name for its tools. The broker's own sessions are named after the claims of the token and the
// connector. Steps with the same claims and connector share a session.
func TestSessionNames(t *testing.T) {
	cloud := new(sessions)
	b := newAWSBroker(t, cloud)
	for range 2 {
		step := newStep(t, b, scope("payments", "ledger"))
		if err := step.Deliver(t.Context(), "account.aws_prod"); err != nil {
			t.Fatal(err)
		}
		expand(t, step, `<+secrets.getAWSCredentials("account.aws_prod").accessKeyId><+secrets.getAWSCredentials("account.aws_test").accessKeyId>`)
	}
	var kinds []int
	seen := make(map[string]int)
	for _, name := range cloud.names {
		if !strings.HasPrefix(name, "release-") || len(name) > 64 {
			t.Errorf("the session name is %q", name)
		}
		if _, ok := seen[name]; !ok {
			seen[name] = len(seen)
		}
		kinds = append(kinds, seen[name])
	}
	if diff := cmp.Diff([]int{0, 1, 2, 3}, kinds); diff != "" {
		t.Errorf("equal session names (-want +got):\n%s", diff)
	}
}
