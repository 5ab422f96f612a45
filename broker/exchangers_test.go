package broker_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/azure"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
)

// configured is an exchanger that the host makes from a database row.
type configured struct {
	*cloud
	row string
}

func (c *configured) SameConfig(other exchange.Exchanger) bool {
	o, ok := other.(*configured)
	return ok && o.row == c.row
}

// If a host makes a new Exchanger at each lookup, one exchange is enough until its row changes.
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
				config.Connectors = lookupFunc(func(_ context.Context, key broker.ConnectorKey) (*broker.Connector, error) {
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
				synctest.Wait() // waits for the check of the file
				got = append(got, use(newStep(t, b, scope("payments", "ledger")), access))
				got = append(got, use(step, `<+secrets.getGCPAccessToken("account.other")>`)) // has the same row
				row = "2"
				got = append(got, use(step, access))
				row = "1" // the credential of the first row is not used again
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

// Without a version, and with Exchangers that cannot be compared, credentials are not shared.
func TestExchangersOfNoVersion(t *testing.T) {
	google := newCloud("gcp")
	config := brokerConfig(t, google)
	config.Connectors = lookupFunc(func(context.Context, broker.ConnectorKey) (*broker.Connector, error) {
		return &broker.Connector{Exchanger: &struct{ *cloud }{google}}, nil
	})
	_, err := newStep(t, start(t, config), scope("payments", "ledger")).Expand(t.Context(), access)
	if err == nil || !strings.Contains(err.Error(), "Connector.Version") {
		t.Errorf("got %v", err)
	}
}

// The same version does not match for another type or audience.
func TestVersionsThatLie(t *testing.T) {
	google, other := newCloud("gcp"), newCloud("other")
	exchangers := []exchange.Exchanger{&configured{google, "1"}, &struct{ *cloud }{google}, &struct{ *cloud }{other}}
	config := brokerConfig(t, google)
	var at int
	config.Connectors = lookupFunc(func(context.Context, broker.ConnectorKey) (*broker.Connector, error) {
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
		if at != 2 { // the function accepts only gcp
			number = serial(expand(t, step, access))
		}
		got = append(got, use.Audience+" "+number)
	}
	if diff := cmp.Diff([]string{"https://gcp.example.com 1", "https://gcp.example.com 2", "https://other.example.com "}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// If a host changes a connector without its version, Purge drops the old Exchanger.
func TestPurgeForgetsTheVersion(t *testing.T) {
	first, second := newCloud("gcp"), newCloud("gcp")
	var changed atomic.Bool
	config := brokerConfig(t, first)
	config.Connectors = lookupFunc(func(context.Context, broker.ConnectorKey) (*broker.Connector, error) {
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

// If a version is replaced during the exchange, the step does not get the old credential.
func TestVersionChangesDuringAnExchange(t *testing.T) {
	google := newCloud("gcp")
	var version atomic.Int64
	changing := &changes{google, func() { version.CompareAndSwap(0, 1) }}
	config := brokerConfig(t, google)
	config.Connectors = lookupFunc(func(context.Context, broker.ConnectorKey) (*broker.Connector, error) {
		return &broker.Connector{Version: fmt.Sprint(version.Load()), Exchanger: changing}, nil
	})
	if got := serial(expand(t, newStep(t, start(t, config), scope("payments", "ledger")), access)); got != "2" {
		t.Errorf("the credential is of exchange %s", got)
	}
}

// changes is a cloud that calls a function during its exchanges.
type changes struct {
	*cloud
	happen func()
}

func (c *changes) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	c.happen()
	return c.cloud.Exchange(ctx, r)
}

// The broker remembers at most MaxEntries connectors. A dropped one needs another exchange.
func TestExchangersAreBounded(t *testing.T) {
	google := newCloud("gcp")
	config := brokerConfig(t, google)
	config.MaxEntries = 2
	config.Connectors = lookupFunc(func(_ context.Context, key broker.ConnectorKey) (*broker.Connector, error) {
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

// The Exchangers of the clouds are compared by their configuration.
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
