package broker_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
)

// The error for a missing connector names the searched level and the nearest connector that the
// step may use.
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
		// These IDs are nearer to "zault" than the account's vault, but the step may not use
		// them.
		{Account: "acme", Organization: "risk", ID: "aault"}:                      {Audiences: audience},
		{Account: "acme", Organization: "risk", ID: "bault"}:                      {Audiences: audience},
		{Account: "acme", Organization: "risk", ID: "cault"}:                      {Audiences: audience},
		{Account: "acme", Organization: "payments", Project: "other", ID: "zaul"}: {Audiences: audience},
	}
	const inProject, inOrganization, inAccount = " in project acme/payments/ledger", " in organization acme/payments", " in account acme"
	for _, tt := range []struct {
		name, ref string
		scope     oidctoken.Scope
		want      string // the text after "no such connector"
		listed    string // the text with a ConnectorMap, if it differs
	}{
		{"the account's", "vault", scope("payments", "ledger"), inProject + "; did you mean account.vault?", ""},
		{"the organization's", "shared", scope("payments", "ledger"), inProject + "; did you mean org.shared?", ""},
		{"the project's", "account.mine", scope("payments", "ledger"), inAccount + "; did you mean mine?", ""},
		{"from the organization", "org.vault", scope("payments", "ledger"), inOrganization + "; did you mean account.vault?", ""},
		{"no project", "vault", scope("payments", ""), ": the step is in no project; did you mean account.vault?", ""},
		{"no organization", "org.vault", scope("", ""), ": the step is in no organization; did you mean account.vault?", ""},
		{"two letters swapped", "account.vualt", scope("payments", "ledger"), inAccount, inAccount + "; did you mean account.vault?"},
		{"others are nearer", "account.zault", scope("payments", "ledger"), inAccount, inAccount + "; did you mean account.vault?"},
		{"another case", "account.Vault", scope("payments", "ledger"), inAccount, inAccount + "; did you mean account.vault?"},
		{"the beginning", "org.gcp", scope("payments", "ledger"), inOrganization, inOrganization + "; did you mean org.gcp_prod?"},
		{"a letter and a level", "minne", scope("payments", "ledger"), inProject, inProject + "; did you mean mine?"},
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
					config.Connectors = lookupFunc(func(ctx context.Context, key broker.ConnectorKey) (*broker.Connector, error) {
						asked.Add(1)
						return connectors.Connector(ctx, key)
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
type lookupFunc func(context.Context, broker.ConnectorKey) (*broker.Connector, error)

func (f lookupFunc) Connector(ctx context.Context, key broker.ConnectorKey) (*broker.Connector, error) {
	return f(ctx, key)
}
