package broker_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/expr"
)

// A manager without keys plans, and the runner's step mints.
func TestPlan(t *testing.T) {
	key := expr.NewPlanKey()
	variables := map[string]func(string) (string, bool){
		"stage": func(path string) (string, bool) { return "account.vault", path == "variables.conn" },
	}
	const text = `curl -H "Authorization: Bearer <+secrets.getJWT(<+stage.variables.conn>)>" <+stage.variables.conn> <+secrets.getAWSCredentials("account.aws_prod").sessionToken>`
	planned, err := broker.Plan(t.Context(), broker.PlanConfig{Key: key, Variables: variables}, text, "run-1", "build", "deploy", "run")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(planned, "<+") || strings.Contains(planned, "vault)") || strings.Count(planned, "account.vault") != 1 {
		t.Errorf("the plan says %q", planned)
	}
	config := brokerConfig(t, newCloud("gcp"))
	cloud := new(sessions)
	config.Connectors.(broker.ConnectorMap)[broker.ConnectorKey{Account: "acme", ID: "aws_prod"}].Exchanger = cloud
	audited := new(audits)
	config.Audit = audited.add
	step := newStep(t, start(t, config), scope("payments", "ledger"))

	got, err := step.Resolve(t.Context(), key, planned, "run-1", "build", "deploy", "run")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(got)
	if claims := payload(strings.Trim(words[4], `"`)); claims["connector_id"] != "vault" || claims["project_id"] != "ledger" {
		t.Errorf("the token's claims are %v", claims)
	}
	if words[5] != "account.vault" || words[6] != "the-session-token" {
		t.Errorf("got %q", words[5:])
	}
	path, err := step.WriteResolved(t.Context(), "token", key, planned, "run-1", "build", "deploy", "run")
	if err != nil {
		t.Fatal(err)
	}
	if read(t, path) != got {
		t.Error("the file holds another text: the same token is minted anew")
	}
	if refused, _ := audited.ofKind(broker.Refused); refused != nil {
		t.Errorf("audited refusals: %q", refused)
	}
}

// Plan refuses a reference that can never be resolved.
func TestPlanRefuses(t *testing.T) {
	for _, text := range []string{
		`<+secrets.getJWT("rival.vault")>`,
		`<+secrets.getJWT("<+stage.variables.conn>")>`,
		`<+secrets.getJwt("account.vault")>`,
		`<+secrets.getJWT("account.vault") == "a" ? "b" : "c">`,
	} {
		variables := map[string]func(string) (string, bool){"stage": func(string) (string, bool) { return "not a reference", true }}
		planned, err := broker.Plan(t.Context(), broker.PlanConfig{Key: expr.NewPlanKey(), Variables: variables}, text, "run-1")
		var refused *expr.Error
		if !errors.As(err, &refused) || planned != "" {
			t.Errorf("%s: got %q, %v", text, planned, err)
		}
	}
}

// A placeholder is valid only for the step that it was planned for. If another step uses it,
// that step fails and the refusal is audited.
func TestPlaceholdersOfOthers(t *testing.T) {
	key := expr.NewPlanKey()
	planned, err := broker.Plan(t.Context(), broker.PlanConfig{Key: key}, `<+secrets.getJWT("account.vault")>`, "run-1", "build", "a", "run")
	if err != nil {
		t.Fatal(err)
	}
	audited := new(audits)
	config := brokerConfig(t, newCloud("gcp"))
	config.Audit = audited.add
	step := newStep(t, start(t, config), scope("payments", "ledger"))
	for _, tt := range []struct {
		name  string
		key   expr.PlanKey
		text  string
		place []string
	}{
		{"another step", key, planned, []string{"run-1", "build", "b", "run"}},
		{"another text of the step", key, planned, []string{"run-1", "build", "a", "env.TOKEN"}},
		{"another execution's key", expr.NewPlanKey(), planned, []string{"run-1", "build", "a", "run"}},
		{"edited", key, planned[:len(planned)-3] + "AA" + planned[len(planned)-1:], []string{"run-1", "build", "a", "run"}},
		{"twice", key, planned + planned, []string{"run-1", "build", "a", "run"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := step.Resolve(t.Context(), tt.key, tt.text, tt.place...)
			if !errors.Is(err, expr.ErrPlaceholder) || got != "" || strings.Contains(err.Error(), planned[:30]) {
				t.Errorf("got %q, %v", got, err)
			}
			if _, err := step.WriteResolved(t.Context(), "f", tt.key, tt.text, tt.place...); !errors.Is(err, expr.ErrPlaceholder) {
				t.Errorf("in a file: %v", err)
			}
		})
	}
	_, errs := audited.ofKind(broker.Refused)
	if len(errs) != 10 || slices.ContainsFunc(errs, func(err error) bool { return !errors.Is(err, expr.ErrPlaceholder) }) {
		t.Errorf("audited refusals: %v", errs)
	}
	// An expression that was added after Plan stays text.
	got, err := step.Resolve(t.Context(), key, planned+` <+secrets.getJWT("account.vault")>`, "run-1", "build", "a", "run")
	if err != nil || !strings.HasSuffix(got, ` <+secrets.getJWT("account.vault")>`) {
		t.Errorf("got %q, %v", got, err)
	}
}
