package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/azure"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// X15: case matters in every part of a connector's home.
func TestCaseOfTenantsMatters(t *testing.T) {
	connector := func(uid string) *broker.Connector {
		return &broker.Connector{UID: uid, Audiences: []string{"https://vault.example.com"}}
	}
	config := brokerConfig(t, newCloud("gcp"))
	config.Connectors = broker.ConnectorMap{
		{Account: "acme", ID: "vault"}:                                              connector("acme"),
		{Account: "Acme", ID: "vault"}:                                              connector("Acme"),
		{Account: "Acme", ID: "Vault"}:                                              connector("Vault"),
		{Account: "acme", Organization: "Payments", ID: "vault"}:                    connector("Payments"),
		{Account: "acme", Organization: "payments", Project: "Ledger", ID: "vault"}: connector("Ledger"),
		{Account: "lower", ID: "vault"}:                                             connector("lower"),
		{Account: "UPPER", ID: "vault"}:                                             connector("UPPER"),
	}
	b := start(t, config)
	for _, tt := range []struct {
		account, organization, project, ref string
		want                                string // the connector's UID; empty if there is none
	}{
		{"acme", "", "", "account.vault", "acme"},
		{"Acme", "", "", "account.vault", "Acme"},
		{"Acme", "", "", "account.Vault", "Vault"},
		{"acme", "", "", "account.Vault", ""},
		{"ACME", "", "", "account.vault", ""},
		{"Lower", "", "", "account.vault", ""},
		{"upper", "", "", "account.vault", ""},
		{"acme", "Payments", "", "org.vault", "Payments"},
		{"acme", "payments", "", "org.vault", ""},
		{"acme", "payments", "Ledger", "vault", "Ledger"},
		{"acme", "payments", "ledger", "vault", ""},
	} {
		t.Run(fmt.Sprint(tt.account, tt.organization, tt.project, " ", tt.ref), func(t *testing.T) {
			s := scope(tt.organization, tt.project)
			s.Account.ID = tt.account
			text, err := newStep(t, b, s).Expand(t.Context(), fmt.Sprintf("<+secrets.getJWT(%q)>", tt.ref))
			if tt.want == "" {
				if !errors.Is(err, broker.ErrNoConnector) {
					t.Errorf("got %q, %v", text, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			claims := payload(text)
			if diff := cmp.Diff([]any{tt.want, tt.account}, []any{claims["connector_uid"], claims["account_id"]}); diff != "" {
				t.Errorf("connector and account (-want +got):\n%s", diff)
			}
		})
	}
}

// Case matters in Rules, too.
func TestCaseOfRulesMatters(t *testing.T) {
	for name, rules := range map[string]broker.Rules{
		"Organizations": {Organizations: []string{"Payments"}},
		"Projects":      {Organizations: []string{"payments"}, Projects: []string{"LEDGER"}},
		"Pipelines":     {Organizations: []string{"payments"}, Projects: []string{"ledger"}, Pipelines: []string{"Release"}},
	} {
		config := brokerConfig(t, newCloud("gcp"))
		config.Connectors.(broker.ConnectorMap)[vaultHome].Rules = rules
		_, err := newStep(t, start(t, config), scope("payments", "ledger")).Expand(t.Context(), jwtText)
		var denied *broker.DeniedError
		if !errors.As(err, &denied) || denied.Rule != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

var vaultHome = broker.Home{Account: "acme", ID: "vault"}

const jwtText = `<+secrets.getJWT("account.vault")>`

// A connector that is not found names the level that was searched, and the nearest
// that the step may use.
func TestNotFound(t *testing.T) {
	audience := []string{"https://vault.example.com"}
	connectors := broker.ConnectorMap{
		{Account: "acme", ID: "vault"}:                                              {Audiences: audience},
		{Account: "acme", ID: "gone"}:                                               nil,
		{Account: "acme", ID: "closed"}:                                             {Audiences: audience, Rules: broker.Rules{StageTypes: []string{"Deployment"}}},
		{Account: "acme", ID: "broken"}:                                             {Audiences: audience},
		{Account: "acme", Organization: "payments", ID: "shared"}:                   {Audiences: audience},
		{Account: "acme", Organization: "payments", ID: "gcp_prod"}:                 {Audiences: audience},
		{Account: "acme", Organization: "payments", Project: "ledger", ID: "mine"}:  {Audiences: audience},
		{Account: "acme", Organization: "payments", Project: "other", ID: "theirs"}: {Audiences: audience},
		{Account: "acme", Organization: "risk", ID: "secret_risk"}:                  {Audiences: audience},
		{Account: "rival", ID: "secret_rival"}:                                      {Audiences: audience},
		// These are nearer to "zault" than the account's vault, and not the step's.
		{Account: "acme", Organization: "risk", ID: "aault"}:                      {Audiences: audience},
		{Account: "acme", Organization: "risk", ID: "bault"}:                      {Audiences: audience},
		{Account: "acme", Organization: "risk", ID: "cault"}:                      {Audiences: audience},
		{Account: "acme", Organization: "payments", Project: "other", ID: "zaul"}: {Audiences: audience},
	}
	const inProject, inOrganization, inAccount = " in project acme/payments/ledger", " in organization acme/payments", " in account acme"
	for _, tt := range []struct {
		name, ref string
		scope     oidctoken.Scope
		want      string // after "no such connector"
		listed    string // the same with a ConnectorMap, if it differs
	}{
		{"the account's", "vault", scope("payments", "ledger"), inProject + "; was account.vault meant?", ""},
		{"the organization's", "shared", scope("payments", "ledger"), inProject + "; was org.shared meant?", ""},
		{"the project's", "account.mine", scope("payments", "ledger"), inAccount + "; was mine meant?", ""},
		{"from the organization", "org.vault", scope("payments", "ledger"), inOrganization + "; was account.vault meant?", ""},
		{"no project", "vault", scope("payments", ""), ": the step is in no project; was account.vault meant?", ""},
		{"no organization", "org.vault", scope("", ""), ": the step is in no organization; was account.vault meant?", ""},
		{"two letters swapped", "account.vualt", scope("payments", "ledger"), inAccount, inAccount + "; was account.vault meant?"},
		{"others are nearer", "account.zault", scope("payments", "ledger"), inAccount, inAccount + "; was account.vault meant?"},
		{"another case", "account.Vault", scope("payments", "ledger"), inAccount, inAccount + "; was account.vault meant?"},
		{"the beginning", "org.gcp", scope("payments", "ledger"), inOrganization, inOrganization + "; was org.gcp_prod meant?"},
		{"a letter and a level", "minne", scope("payments", "ledger"), inProject, inProject + "; was mine meant?"},
		{"far from all", "account.zzzzzzzz", scope("payments", "ledger"), inAccount, ""},
		{"another project's", "theirs", scope("payments", "ledger"), inProject, ""},
		{"another project's, misspelled", "their", scope("payments", "ledger"), inProject, ""},
		{"another organization's", "org.secret_risk", scope("payments", "ledger"), inOrganization, ""},
		{"another account's", "account.secret_rival", scope("payments", "ledger"), inAccount, ""},
		{"one whose rules refuse", "closed", scope("payments", "ledger"), inProject, ""},
		{"one that does not exist", "gone", scope("payments", "ledger"), inProject, ""},
	} {
		for _, listed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, listed %v", tt.name, listed), func(t *testing.T) {
				var asked atomic.Int64
				config := brokerConfig(t, newCloud("gcp"))
				config.Connectors = connectors
				want := tt.want
				if listed && tt.listed != "" {
					want = tt.listed
				}
				if !listed {
					config.Connectors = lookupFunc(func(ctx context.Context, home broker.Home) (*broker.Connector, error) {
						asked.Add(1)
						return connectors.Connector(ctx, home)
					})
				}
				_, err := newStep(t, start(t, config), tt.scope).PreviewConnector(t.Context(), tt.ref)
				if full := "broker: connector " + tt.ref + ": no such connector" + want; !errors.Is(err, broker.ErrNoConnector) || err.Error() != full {
					t.Errorf("got  %v\nwant %s", err, full)
				}
				if n := asked.Load(); n > 3 {
					t.Errorf("%d lookups", n)
				}
			})
		}
	}
}

// lookupFunc is a host's store of connectors.
type lookupFunc func(context.Context, broker.Home) (*broker.Connector, error)

func (f lookupFunc) Connector(ctx context.Context, home broker.Home) (*broker.Connector, error) {
	return f(ctx, home)
}

// configured is an exchanger that the host makes from a row.
type configured struct {
	*cloud
	row string
}

func (c *configured) SameConfig(other exchange.Exchanger) bool {
	o, ok := other.(*configured)
	return ok && o.row == c.row
}

// A host that makes an Exchanger for each lookup pays for one exchange, and a
// changed row for another.
func TestExchangersMadeForEachLookup(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(google *cloud, row string) *broker.Connector
	}{
		{"by version", func(google *cloud, row string) *broker.Connector {
			return &broker.Connector{Version: row, Exchanger: &struct{ *cloud }{google}}
		}},
		{"by configuration", func(google *cloud, row string) *broker.Connector {
			return &broker.Connector{Exchanger: &configured{google, row}}
		}},
		{"one Exchanger, by version", func(google *cloud, row string) *broker.Connector {
			return &broker.Connector{Version: row, Exchanger: google}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			google := newCloud("gcp")
			config := brokerConfig(t, google)
			synctest.Test(t, func(t *testing.T) {
				row := "1"
				config.Connectors = lookupFunc(func(_ context.Context, home broker.Home) (*broker.Connector, error) {
					return tt.make(google, row), nil
				})
				b := start(t, config)
				step := newStep(t, b, scope("payments", "ledger"))
				use := func(step *broker.Step, text string) string {
					t.Helper()
					for range 3 {
						expand(t, step, text)
					}
					return serial(expand(t, step, text))
				}
				got := []string{use(step, access)}
				if _, err := step.WriteFile(t.Context(), "access", access); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10*time.Minute + time.Second)
				synctest.Wait() // for the look at the file
				got = append(got, use(newStep(t, b, scope("payments", "ledger")), access))
				got = append(got, use(step, `<+secrets.getGCPAccessToken("account.other")>`)) // of the same row
				row = "2"
				got = append(got, use(step, access))
				row = "1" // not what came from the first
				got = append(got, use(step, access))
				b.Purge(gcpProd)
				got = append(got, use(step, access))
				if diff := cmp.Diff([]string{"1", "1", "2", "3", "4", "5"}, got); diff != "" {
					t.Errorf("exchanges that the credentials are of (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Without a version, and with Exchangers that cannot be compared, nothing is shared.
func TestExchangersOfNoVersion(t *testing.T) {
	google := newCloud("gcp")
	config := brokerConfig(t, google)
	config.Connectors = lookupFunc(func(context.Context, broker.Home) (*broker.Connector, error) {
		return &broker.Connector{Exchanger: &struct{ *cloud }{google}}, nil
	})
	_, err := newStep(t, start(t, config), scope("payments", "ledger")).Expand(t.Context(), access)
	if err == nil || !strings.Contains(err.Error(), "Connector.Version") {
		t.Errorf("got %v", err)
	}
}

// One version of two types or audiences is not one.
func TestVersionsThatLie(t *testing.T) {
	google, other := newCloud("gcp"), newCloud("other")
	exchangers := []exchange.Exchanger{&configured{google, "1"}, &struct{ *cloud }{google}, &struct{ *cloud }{other}}
	config := brokerConfig(t, google)
	var at int
	config.Connectors = lookupFunc(func(context.Context, broker.Home) (*broker.Connector, error) {
		return &broker.Connector{Version: "1", Exchanger: exchangers[at]}, nil
	})
	step := newStep(t, start(t, config), scope("payments", "ledger"))
	var got []string
	for at = range exchangers {
		use, err := step.PreviewConnector(t.Context(), "account.gcp_prod")
		if err != nil {
			t.Fatal(err)
		}
		number := ""
		if at != 2 { // the function is for gcp
			number = serial(expand(t, step, access))
		}
		got = append(got, use.Audience+" "+number)
	}
	if diff := cmp.Diff([]string{"https://gcp.example.com 1", "https://gcp.example.com 2", "https://other.example.com "}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A host that has changed a connector and not its version purges it.
func TestPurgeForgetsTheVersion(t *testing.T) {
	first, second := newCloud("gcp"), newCloud("gcp")
	var changed atomic.Bool
	config := brokerConfig(t, first)
	config.Connectors = lookupFunc(func(context.Context, broker.Home) (*broker.Connector, error) {
		if changed.Load() {
			return &broker.Connector{Version: "1", Exchanger: second}, nil
		}
		return &broker.Connector{Version: "1", Exchanger: first}, nil
	})
	b := start(t, config)
	step := newStep(t, b, scope("payments", "ledger"))
	expand(t, step, access)
	changed.Store(true)
	expand(t, step, access)
	if n := second.count.Load(); n != 0 {
		t.Errorf("%d exchanges of another Exchanger of the same version", n)
	}
	b.Purge(gcpProd)
	expand(t, step, access)
	if diff := cmp.Diff([]int64{1, 1}, []int64{first.count.Load(), second.count.Load()}); diff != "" {
		t.Errorf("exchanges (-want +got):\n%s", diff)
	}
}

// A credential of a version that was replaced while the cloud was waited for is not
// given to the step.
func TestVersionChangesDuringAnExchange(t *testing.T) {
	google := newCloud("gcp")
	var version atomic.Int64
	changing := &changes{google, func() { version.CompareAndSwap(0, 1) }}
	config := brokerConfig(t, google)
	config.Connectors = lookupFunc(func(context.Context, broker.Home) (*broker.Connector, error) {
		return &broker.Connector{Version: fmt.Sprint(version.Load()), Exchanger: changing}, nil
	})
	if got := serial(expand(t, newStep(t, start(t, config), scope("payments", "ledger")), access)); got != "2" {
		t.Errorf("the credential is of exchange %s", got)
	}
}

// changes is a cloud during whose exchanges something happens.
type changes struct {
	*cloud
	happen func()
}

func (c *changes) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	c.happen()
	return c.cloud.Exchange(ctx, r)
}

// The broker remembers at most MaxEntries connectors, and one that it forgot costs
// an exchange.
func TestExchangersAreBounded(t *testing.T) {
	google := newCloud("gcp")
	config := brokerConfig(t, google)
	config.MaxEntries = 2
	config.Connectors = lookupFunc(func(_ context.Context, home broker.Home) (*broker.Connector, error) {
		return &broker.Connector{Version: "1", Exchanger: &configured{google, ""}}, nil
	})
	b := start(t, config)
	step := newStep(t, b, scope("payments", "ledger"))
	for i := range 10 {
		expand(t, step, fmt.Sprintf(`<+secrets.getGCPAccessToken("account.c%d")>`, i))
	}
	if n := google.count.Load(); n != 10 {
		t.Errorf("%d exchanges", n)
	}
	if n := b.Exchangers(); n != 2 {
		t.Errorf("%d connectors are remembered", n)
	}
}

// The clouds' own Exchangers are compared by their configuration.
func TestConfiguredClouds(t *testing.T) {
	make := func(c azure.Config) exchange.Configured {
		ex, err := azure.New(c)
		if err != nil {
			t.Fatal(err)
		}
		return ex
	}
	c := azure.Config{TenantID: "72f988bf-86f1-41af-91ab-2d7cd011db47", ClientID: "a1b2c3d4-0000-0000-0000-000000000000"}
	if a := make(c); !a.SameConfig(make(c).(exchange.Exchanger)) || a.SameConfig(newCloud("azure")) {
		t.Error("two of one configuration differ, or another type does not")
	}
	other := c
	other.ClientID = "a1b2c3d4-0000-0000-0000-000000000001"
	if make(c).SameConfig(make(other).(exchange.Exchanger)) {
		t.Error("two identities are the same")
	}
}

// A connector whose algorithms no key has is refused when the broker starts, and,
// with other Connectors, when a step first looks it up.
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
		want      string // the field
	}{
		{"an Exchanger's", &broker.Connector{Exchanger: entra}, "Profile.Algorithms"},
		{"a Profile's", &broker.Connector{Audiences: audience, Profile: &oidctoken.Profile{Algorithms: []string{"EdDSA"}}}, "Profile.Algorithms"},
		{"a Profile's default", &broker.Connector{Audiences: audience, Profile: &oidctoken.Profile{}}, "Profile.Algorithms"},
		{"one of two", &broker.Connector{Audiences: audience, Profile: &oidctoken.Profile{Algorithms: []string{"RS256", "ES256"}}}, ""},
		{"the issuer's", &broker.Connector{Audiences: audience}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			home := broker.Home{Account: "acme", Organization: "payments", ID: "c"}
			config := broker.Config{Issuer: issuer, Connectors: broker.ConnectorMap{home: tt.connector}}
			check := func(err error) {
				t.Helper()
				var refused *broker.ConnectorError
				if tt.want == "" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if !errors.As(err, &refused) || refused.Field != tt.want || refused.Home != home || !errors.Is(err, oidctoken.ErrNoKey) || !strings.Contains(err.Error(), "ES256") {
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

// A key that ends takes nothing that was given before, and a connector that needs
// one that is not there takes no file.
func TestKeyThatEnds(t *testing.T) {
	google := newCloud("gcp")
	config := brokerConfig(t, google)
	key := oidctokentest.NewKey(t, "ES256")
	key.NotAfter = time.Date(2000, 1, 1, 0, 20, 0, 0, time.UTC) // 20 minutes of a bubble, before the renewal
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

// eddsa is a cloud that takes another algorithm than those of the tests' keys.
type eddsa struct{ *cloud }

func (eddsa) Profile() oidctoken.Profile { return oidctoken.Profile{Algorithms: []string{"EdDSA"}} }

// Rules that cannot admit any step are refused, and those that only a host's own
// stages can satisfy are logged.
func TestImpossibleRules(t *testing.T) {
	account := broker.Home{Account: "acme", ID: "c"}
	organization := broker.Home{Account: "acme", Organization: "payments", ID: "c"}
	project := broker.Home{Account: "acme", Organization: "payments", Project: "ledger", ID: "c"}
	long := strings.Repeat("a", 128)
	for _, tt := range []struct {
		name  string
		home  broker.Home
		rules broker.Rules
		want  string // the field; empty if they are taken
		log   string // what is logged, in part
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
			config.Connectors = broker.ConnectorMap{tt.home: {Audiences: []string{"a"}, Rules: tt.rules}}
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
				_, _ = step.PreviewConnector(t.Context(), ref) // whether they admit it is another test's
			}
			if log.Len() != before {
				t.Errorf("it is logged again: %q", log.String()[before:])
			}
		})
	}
}

// A connector that is wrong is named with its level, and of several always the same.
func TestConnectorErrorsNameTheLevel(t *testing.T) {
	for home, want := range map[broker.Home]string{
		{Account: "acme", ID: "vault"}:                                              "broker: Config.Connectors[vault of account acme]: ",
		{Account: "acme", Organization: "payments", ID: "vault"}:                    "broker: Config.Connectors[vault of organization acme/payments]: ",
		{Account: "acme", Organization: "payments", Project: "ledger", ID: "vault"}: "broker: Config.Connectors[vault of project acme/payments/ledger]: ",
	} {
		config := brokerConfig(t, newCloud("gcp"))
		config.Connectors = broker.ConnectorMap{home: {}, {Account: "zeta", ID: "vault"}: {}, {Account: "zeta", ID: "also"}: {}}
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

// A dry run asks the rules, and says which one refuses. It is no refusal that Audit
// hears of.
func TestPreviewAsksTheRules(t *testing.T) {
	told := new(audits)
	config := brokerConfig(t, newCloud("gcp"))
	config.Audit = told.add
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
			if refused, _ := told.told(broker.Refused); len(refused) != 0 {
				t.Errorf("it is audited: %v", refused)
			}
		})
	}
}
