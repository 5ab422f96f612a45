package broker_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/broker"
)

// X15: case matters in every part of a ConnectorKey.
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
		want                                string // the connector's UID; empty if there is no connector
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

// Case matters in Rules too.
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

var vaultHome = broker.ConnectorKey{Account: "acme", ID: "vault"}

const jwtText = `<+secrets.getJWT("account.vault")>`
