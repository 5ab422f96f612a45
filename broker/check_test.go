package broker_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/azure"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// A connector whose algorithms have no key is refused when the broker starts. With other
// Connectors than a ConnectorMap, it is refused at the first lookup.
func TestNoKeyForAConnector(t *testing.T) {
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL: "https://ci.example.com", Keys: oidctoken.StaticKeys{oidctokentest.NewKey(t, "ES256")}, Profile: oidctoken.Profile{Algorithms: []string{"ES256"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	entra, err := azure.New(azure.Config{TenantID: "72f988bf-86f1-41af-91ab-2d7cd011db47", ClientID: "a1b2c3d4-0000-0000-0000-000000000000"})
	if err != nil {
		t.Fatal(err)
	}
	audience := []string{"https://vault.example.com"}
	for _, tt := range []struct {
		name      string
		connector *broker.Connector
		want      string // the wrong field
	}{
		{"an Exchanger's", &broker.Connector{Exchanger: entra}, "Profile.Algorithms"},
		{"a Profile's", &broker.Connector{Audiences: audience, Profile: &oidctoken.Profile{Algorithms: []string{"EdDSA"}}}, "Profile.Algorithms"},
		{"a Profile's default", &broker.Connector{Audiences: audience, Profile: &oidctoken.Profile{}}, "Profile.Algorithms"},
		{"one of two", &broker.Connector{Audiences: audience, Profile: &oidctoken.Profile{Algorithms: []string{"RS256", "ES256"}}}, ""},
		{"the issuer's", &broker.Connector{Audiences: audience}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key := broker.ConnectorKey{Account: "acme", Organization: "payments", ID: "c"}
			config := broker.Config{Issuer: issuer, Connectors: broker.ConnectorMap{key: tt.connector}}
			check := func(err error) {
				t.Helper()
				var refused *broker.ConnectorError
				if tt.want == "" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if !errors.As(err, &refused) || refused.Field != tt.want || refused.Key != key || !errors.Is(err, oidctoken.ErrNoKey) || !strings.Contains(err.Error(), "ES256") {
					t.Errorf("got %v", err)
				}
			}
			_, err := broker.New(config)
			check(err)
			if tt.want != "" && !strings.Contains(err.Error(), "Config.Connectors[c of organization acme/payments]") {
				t.Errorf("got %v", err)
			}
			config.Connectors = &store{connectors: config.Connectors.(broker.ConnectorMap)}
			_, err = newStep(t, start(t, config), scope("payments", "ledger")).PreviewConnector(t.Context(), "org.c")
			check(err)
		})
	}
}

// A key that ends leaves earlier credentials in place. A connector without a key does not lose its
// files.
func TestKeyThatEnds(t *testing.T) {
	google := newCloud("gcp")
	config := brokerConfig(t, google)
	key := oidctokentest.NewKey(t, "ES256")
	key.NotAfter = time.Date(2000, 1, 1, 0, 20, 0, 0, time.UTC) // after 20 minutes of the bubble, before the renewal
	connectors := &store{connectors: config.Connectors.(broker.ConnectorMap)}
	config.Connectors = connectors
	synctest.Test(t, func(t *testing.T) {
		var err error
		if config.Issuer, err = oidctoken.NewIssuer(oidctoken.Config{
			URL: "https://ci.example.com", Keys: oidctoken.StaticKeys{key}, Profile: oidctoken.Profile{Algorithms: []string{"ES256"}},
		}); err != nil {
			t.Fatal(err)
		}
		step := newStep(t, start(t, config), scope("payments", "ledger"))
		path, err := step.WriteFile(t.Context(), "access", access)
		if err != nil {
			t.Fatal(err)
		}
		want := read(t, path)
		time.Sleep(40 * time.Minute)
		if got := expand(t, step, access); got != want {
			t.Errorf("after the key's end: %q, want %q", got, want)
		}
		connectors.set(gcpProd, &broker.Connector{Exchanger: eddsa{google}})
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := read(t, path); got != want {
			t.Errorf("the file holds %q, want %q", got, want)
		}
		if _, err := step.Expand(t.Context(), access); !errors.Is(err, oidctoken.ErrNoKey) {
			t.Errorf("got %v", err)
		}
	})
}

// eddsa is a cloud that accepts only an algorithm that no key of the tests has.
type eddsa struct{ *cloud }

func (eddsa) Profile() oidctoken.Profile { return oidctoken.Profile{Algorithms: []string{"EdDSA"}} }

// Rules that cannot admit any step are refused. Rules that only a stage type of the host can
// match are logged.
func TestImpossibleRules(t *testing.T) {
	account := broker.ConnectorKey{Account: "acme", ID: "c"}
	organization := broker.ConnectorKey{Account: "acme", Organization: "payments", ID: "c"}
	project := broker.ConnectorKey{Account: "acme", Organization: "payments", Project: "ledger", ID: "c"}
	long := strings.Repeat("a", 128)
	for _, tt := range []struct {
		name  string
		key   broker.ConnectorKey
		rules broker.Rules
		want  string // the wrong field; empty if the rules are accepted
		log   string // a part of the log
	}{
		{"another account", account, broker.Rules{Accounts: []string{"rival"}}, "Rules.Accounts", ""},
		{"the account in another case", account, broker.Rules{Accounts: []string{"ACME"}}, "Rules.Accounts", ""},
		{"its own account", account, broker.Rules{Accounts: []string{"acme"}}, "", ""},
		{"its own account and another", account, broker.Rules{Accounts: []string{"rival", "acme"}}, "", ""},
		{"another organization", organization, broker.Rules{Organizations: []string{"risk"}}, "Rules.Organizations", ""},
		{"any organization of an account", account, broker.Rules{Organizations: []string{"risk"}}, "", ""},
		{"another project", project, broker.Rules{Projects: []string{"other"}}, "Rules.Projects", ""},
		{"any project of an organization", organization, broker.Rules{Projects: []string{"other"}}, "", ""},
		{"an empty entry", account, broker.Rules{Organizations: []string{"payments", ""}}, "Rules.Organizations", ""},
		{"an empty stage type", account, broker.Rules{StageTypes: []string{""}}, "Rules.StageTypes", ""},
		{"an empty environment", account, broker.Rules{Environments: []string{""}}, "Rules.Environments", ""},
		{"a longest identifier", account, broker.Rules{Environments: []string{long}}, "", ""},
		{"a longer one", account, broker.Rules{Environments: []string{long + "a"}}, "Rules.Environments", ""},
		{"a UUID", account, broker.Rules{Environments: []string{"3f2504e0-4f89-11d3-9a0c-0305e82c3301"}}, "", ""},
		{"a name", account, broker.Rules{Environments: []string{"Production EU"}}, "Rules.Environments", ""},
		{"a pattern", project, broker.Rules{Pipelines: []string{"release*"}}, "Rules.Pipelines", ""},
		{"a known stage type", account, broker.Rules{StageTypes: []string{"CI", "Deployment", "Custom", "Approval", "IACM", "SecurityTests", "FeatureFlag", "Pipeline"}}, "", ""},
		{"a stage type in another case", account, broker.Rules{StageTypes: []string{"deployment"}}, "Rules.StageTypes", ""},
		{"no stage type", account, broker.Rules{StageTypes: []string{"de ploy"}}, "Rules.StageTypes", ""},
		{"a stage type that begins with a digit", account, broker.Rules{StageTypes: []string{"1st"}}, "Rules.StageTypes", ""},
		{"a longest stage type", account, broker.Rules{StageTypes: []string{long[:64]}}, "", "type=aaaa"},
		{"a longer stage type", account, broker.Rules{StageTypes: []string{long[:65]}}, "Rules.StageTypes", ""},
		{"an abbreviation", account, broker.Rules{StageTypes: []string{"CI", "Deploy"}}, "", "type=Deploy nearest=Deployment"},
		{"a word of others", account, broker.Rules{StageTypes: []string{"CD"}}, "", "type=CD nearest=CI"},
		{"a host's own", account, broker.Rules{StageTypes: []string{"Load_Test2"}}, "", "type=Load_Test2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			config := brokerConfig(t, newCloud("gcp"))
			config.Logger = slog.New(slog.NewTextHandler(&log, nil))
			config.Connectors = broker.ConnectorMap{tt.key: {Audiences: []string{"a"}, Rules: tt.rules}}
			b, err := broker.New(config)
			var refused *broker.ConnectorError
			got := ""
			if errors.As(err, &refused) {
				got = refused.Field
			}
			if got != tt.want || (err != nil) != (tt.want != "") {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if !strings.Contains(log.String(), tt.log) || (log.Len() != 0) != (tt.log != "") {
				t.Errorf("the log says %q", &log)
			}
			if err != nil {
				return
			}
			defer b.Close()
			before := log.Len()
			step := newStep(t, b, scope("payments", "ledger"))
			for _, ref := range []string{"account.c", "org.c", "c"} {
				_, _ = step.PreviewConnector(t.Context(), ref) // other tests check whether the rules admit the step
			}
			if log.Len() != before {
				t.Errorf("it is logged again: %q", log.String()[before:])
			}
		})
	}
}

// The error for a wrong connector names its level. If several are wrong, the error is always
// the same.
func TestConnectorErrorsNameTheLevel(t *testing.T) {
	for key, want := range map[broker.ConnectorKey]string{
		{Account: "acme", ID: "vault"}:                                              "broker: Config.Connectors[vault of account acme]: ",
		{Account: "acme", Organization: "payments", ID: "vault"}:                    "broker: Config.Connectors[vault of organization acme/payments]: ",
		{Account: "acme", Organization: "payments", Project: "ledger", ID: "vault"}: "broker: Config.Connectors[vault of project acme/payments/ledger]: ",
	} {
		config := brokerConfig(t, newCloud("gcp"))
		config.Connectors = broker.ConnectorMap{key: {}, {Account: "zeta", ID: "vault"}: {}, {Account: "zeta", ID: "also"}: {}}
		if _, err := broker.New(config); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	config := brokerConfig(t, newCloud("gcp"))
	config.Connectors = broker.ConnectorMap{vaultHome: {Audiences: []string{"https://vault.example.com", ""}}}
	var refused *broker.ConnectorError
	if _, err := broker.New(config); !errors.As(err, &refused) || refused.Field != "Audiences" {
		t.Errorf("an empty audience: %v", err)
	}
}

// A dry run checks the rules and returns the rule that denies. Audit is not called.
func TestPreviewAsksTheRules(t *testing.T) {
	audited := new(audits)
	config := brokerConfig(t, newCloud("gcp"))
	config.Audit = audited.add
	config.Connectors.(broker.ConnectorMap)[vaultHome].Rules = broker.Rules{Environments: []string{"prod"}}
	b := start(t, config)
	prod := scope("payments", "ledger")
	prod.Stage = oidctoken.Deployment{ID: "deploy", Environment: &oidctoken.Environment{ID: "prod"}}
	for _, tt := range []struct {
		name  string
		scope oidctoken.Scope
		want  string
	}{
		{"refused", scope("payments", "ledger"), "Environments"},
		{"admitted", prod, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			step := newStep(t, b, tt.scope)
			_, textErr := step.Preview(t.Context(), jwtText)
			_, fileErr := step.Preview(t.Context(), `<+secrets.getJWTFile("account.vault")>`)
			_, connectorErr := step.PreviewConnector(t.Context(), "account.vault")
			s := tt.scope
			s.Audience = "https://vault.example.com"
			claims, err := config.Issuer.Preview(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			admitErr := broker.Rules{Environments: []string{"prod"}}.Admit(s, claims)
			for how, err := range map[string]error{"text": textErr, "file": fileErr, "connector": connectorErr, "Admit": admitErr} {
				var denied *broker.DeniedError
				got := ""
				if errors.As(err, &denied) {
					got = denied.Rule
				}
				if got != tt.want || (err != nil) != (tt.want != "") {
					t.Errorf("%s: %v, want %q", how, err, tt.want)
				}
			}
			if refused, _ := audited.ofKind(broker.Refused); len(refused) != 0 {
				t.Errorf("it is audited: %v", refused)
			}
		})
	}
}
