package broker_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// The rules decide which steps may use a connector, from the claims of the token.
func TestRules(t *testing.T) {
	fork := true
	ci := scope("payments", "ledger")
	prod := scope("payments", "ledger")
	prod.Stage = oidctoken.Deployment{ID: "deploy", Environment: &oidctoken.Environment{ID: "prod"}}
	above := scope("", "")
	above.Pipeline = nil
	forked := scope("payments", "ledger")
	forked.Source = &oidctoken.Source{IsFork: &fork}
	marked := scope("payments", "ledger")
	marked.Untrusted = true
	payments := []string{"payments"}
	issuer := permissive(t)
	for _, tt := range []struct {
		name  string
		scope oidctoken.Scope
		rules broker.Rules
		want  string // the rule that denies; empty if all rules admit
	}{
		{"no rules", ci, broker.Rules{}, ""},
		{"account", ci, broker.Rules{Accounts: []string{"acme"}}, ""},
		{"organization", ci, broker.Rules{Organizations: []string{"risk", "payments"}}, ""},
		{"another organization", ci, broker.Rules{Organizations: []string{"Payments", "payment"}}, "Organizations"},
		{"no organization", above, broker.Rules{Organizations: payments}, "Organizations"},
		{"project", ci, broker.Rules{Organizations: payments, Projects: []string{"ledger"}}, ""},
		{"another project", ci, broker.Rules{Organizations: payments, Projects: []string{"other"}}, "Projects"},
		{"another organization's project", scope("risk", "ledger"), broker.Rules{Organizations: payments, Projects: []string{"ledger"}}, "Organizations"},
		{"pipeline", ci, broker.Rules{Organizations: payments, Projects: []string{"ledger"}, Pipelines: []string{"release"}}, ""},
		{"another pipeline", ci, broker.Rules{Organizations: payments, Projects: []string{"ledger"}, Pipelines: []string{"nightly"}}, "Pipelines"},
		{"stage type", prod, broker.Rules{StageTypes: []string{"Deployment"}}, ""},
		{"another stage type", ci, broker.Rules{StageTypes: []string{"Deployment"}}, "StageTypes"},
		{"environment", prod, broker.Rules{Environments: []string{"prod"}}, ""},
		{"another environment", prod, broker.Rules{Environments: []string{"staging"}}, "Environments"},
		{"no environment", ci, broker.Rules{Environments: []string{"prod"}}, "Environments"},
		{"fork", forked, broker.Rules{}, "Untrusted"},
		{"untrusted", marked, broker.Rules{}, "Untrusted"},
		{"fork that is admitted", forked, broker.Rules{Untrusted: true}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := brokerConfig(t, newCloud("gcp"))
			config.Issuer = issuer
			audited := new(audits)
			config.Audit = audited.add
			config.Connectors.(broker.ConnectorMap)[broker.ConnectorKey{Account: "acme", ID: "vault"}].Rules = tt.rules
			step := newStep(t, start(t, config), tt.scope)
			_, err := step.Expand(t.Context(), `<+secrets.getJWT("account.vault")>`)
			var denied *broker.DeniedError
			got := ""
			if errors.As(err, &denied) {
				got = denied.Rule
			}
			if got != tt.want || (err != nil) != (tt.want != "") || err != nil && !errors.Is(err, oidctoken.ErrDenied) {
				t.Errorf("refused by %q, want %q: %v", got, tt.want, err)
			}
			refused, errs := audited.ofKind(broker.Refused)
			if (tt.want != "") != cmp.Equal(refused, []string{"account.vault"}) || len(errs) > 0 && !errors.As(errs[0], &denied) {
				t.Errorf("audited refusals: %q %v", refused, errs)
			}
		})
	}
}

// permissive returns an issuer whose policy allows every step, so that only the rules decide.
func permissive(t *testing.T) *oidctoken.Issuer {
	t.Helper()
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL:   "https://ci.example.com",
		Keys:  oidctoken.StaticKeys{oidctokentest.NewKey(t, "RS256"), oidctokentest.NewKey(t, "ES256")},
		Allow: func(context.Context, oidctoken.Scope) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return issuer
}

// Rules that would admit a project of the same name in another organization are refused.
func TestRulesThatAdmitNamesakes(t *testing.T) {
	issuer := permissive(t)
	for _, tt := range []struct {
		name  string
		key   broker.ConnectorKey
		rules broker.Rules
		want  string
	}{
		{"projects of an account", broker.ConnectorKey{Account: "acme", ID: "c"}, broker.Rules{Projects: []string{"ledger"}}, "Rules.Projects"},
		{"projects of an organization", broker.ConnectorKey{Account: "acme", Organization: "payments", ID: "c"}, broker.Rules{Projects: []string{"ledger"}}, ""},
		{"pipelines of an organization", broker.ConnectorKey{Account: "acme", Organization: "payments", ID: "c"}, broker.Rules{Pipelines: []string{"release"}}, "Rules.Pipelines"},
		{"one organization's", broker.ConnectorKey{Account: "acme", ID: "c"}, broker.Rules{Organizations: []string{"payments"}, Projects: []string{"ledger", "other"}}, ""},
		{"several organizations'", broker.ConnectorKey{Account: "acme", ID: "c"}, broker.Rules{Organizations: []string{"payments", "risk"}, Projects: []string{"ledger"}}, "Rules.Projects"},
		{"several projects'", broker.ConnectorKey{Account: "acme", Organization: "payments", ID: "c"}, broker.Rules{Projects: []string{"ledger", "other"}, Pipelines: []string{"release"}}, "Rules.Pipelines"},
		{"pipelines of a project", broker.ConnectorKey{Account: "acme", Organization: "payments", Project: "ledger", ID: "c"}, broker.Rules{Pipelines: []string{"release"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := broker.New(broker.Config{
				Issuer:     issuer,
				Connectors: broker.ConnectorMap{tt.key: {Audiences: []string{"a"}, Rules: tt.rules}},
			})
			var refused *broker.ConnectorError
			got := ""
			if errors.As(err, &refused) {
				got = refused.Field
			}
			if got != tt.want || (err != nil) != (tt.want != "") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// Rules may name every stage type of package oidctoken without a warning, and a stage type of
// the host with one.
func TestStageTypesOfRules(t *testing.T) {
	for _, tt := range []struct {
		stage oidctoken.Stage
		known bool
	}{
		{oidctoken.CI{ID: "s"}, true},
		{oidctoken.Deployment{ID: "s"}, true},
		{oidctoken.Custom{ID: "s"}, true},
		{oidctoken.Approval{ID: "s"}, true},
		{oidctoken.IACM{ID: "s"}, true},
		{oidctoken.SecurityTests{ID: "s"}, true},
		{oidctoken.FeatureFlag{ID: "s"}, true},
		{oidctoken.PipelineStage{ID: "s"}, true},
		{oidctoken.OpenStage{Kind: "Load_Test2", ID: "s"}, false},
		{oidctoken.OpenStage{Kind: strings.Repeat("k", 64), ID: "s"}, false},
	} {
		s := scope("payments", "ledger")
		s.Audience, s.Stage = "https://vault.example.com", tt.stage
		claims, err := permissive(t).Preview(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		kind, _ := claims.Get("stage_type")
		t.Run(kind, func(t *testing.T) {
			var log strings.Builder
			config := brokerConfig(t, newCloud("gcp"))
			config.Logger = slog.New(slog.NewTextHandler(&log, nil))
			config.Connectors.(broker.ConnectorMap)[vaultHome].Rules = broker.Rules{StageTypes: []string{kind}}
			step := newStep(t, start(t, config), scopeWith(tt.stage))
			if _, err := step.PreviewConnector(t.Context(), "account.vault"); err != nil {
				t.Error(err)
			}
			if (log.Len() == 0) != tt.known {
				t.Errorf("the log says %q", log.String())
			}
		})
	}
}

func scopeWith(stage oidctoken.Stage) oidctoken.Scope {
	s := scope("payments", "ledger")
	s.Stage = stage
	return s
}
