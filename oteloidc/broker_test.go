package oteloidc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/expr"
)

// cloud is an Exchanger with the answers of the test.
type cloud struct {
	name string
	fail atomic.Pointer[error]
}

func (c *cloud) Cloud() string { return c.name }

func (c *cloud) Profile() oidctoken.Profile { return oidctoken.Profile{Algorithms: []string{"ES256"}} }

func (c *cloud) Audience() string { return "https://" + c.name + ".example.com" }

func (c *cloud) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	if _, err := r.Subject(ctx, c.Audience()); err != nil {
		return nil, err
	}
	if err := c.fail.Load(); err != nil {
		return nil, *err
	}
	return exchange.NewCredential(time.Now().Add(time.Hour), map[string]string{"CLOUDSDK_AUTH_ACCESS_TOKEN": "access-token-of-" + c.name}), nil
}

func (c *cloud) Bundle(dir, tokenFile string) (*exchange.Bundle, error) {
	return &exchange.Bundle{Env: map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": tokenFile}}, nil
}

// hosted is a broker whose telemetry is observed, and its issuer's.
type hosted struct {
	*observed
	*broker.Broker
	cloud *cloud
}

func newHosted(t *testing.T) *hosted {
	h := &hosted{observed: newTelemetry(), cloud: &cloud{name: "gcp"}}
	admit := func(r broker.Rules) *broker.Connector {
		return &broker.Connector{Audiences: []string{"https://vault.example.com"}, Rules: r}
	}
	none := []string{"none"}
	h.Broker = must(broker.New(broker.Config{
		Issuer: newIssuer(oidctoken.Config{Audit: h.Mint(nil)}),
		Connectors: broker.ConnectorMap{
			{Account: "acme", ID: "gcp_prod"}:      {Exchanger: h.cloud},
			{Account: "acme", ID: "vault"}:         admit(broker.Rules{}),
			{Account: "acme", ID: "Organizations"}: admit(broker.Rules{Organizations: none}),
			{Account: "acme", ID: "Projects"}:      admit(broker.Rules{Organizations: []string{"payments"}, Projects: none}),
			{Account: "acme", ID: "Pipelines"}:     admit(broker.Rules{Organizations: []string{"payments"}, Projects: []string{"ledger"}, Pipelines: none}),
			{Account: "acme", ID: "StageTypes"}:    admit(broker.Rules{StageTypes: none}),
			{Account: "acme", ID: "Environments"}:  admit(broker.Rules{Environments: none}),
		},
		Dir:   filepath.Join(t.TempDir(), "steps"),
		Audit: h.Telemetry.Broker(nil),
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hosted) step(t *testing.T, s oidctoken.Scope) *broker.Step {
	s.Audience = ""
	step := must(h.NewStep(broker.StepConfig{Scope: s}))
	t.Cleanup(func() {
		if err := step.Close(); err != nil {
			t.Error(err)
		}
	})
	return step
}

func jwtOf(connector string) string { return fmt.Sprintf("<+secrets.getJWT(%q)>", connector) }

const access = `<+secrets.getGCPAccessToken("account.gcp_prod")>`

// A step that is refused by a rule counts for that rule, and no rule is
// forgotten.
func TestRefusals(t *testing.T) {
	for rule := range reflect.TypeFor[broker.Rules]().Fields() {
		t.Run(rule.Name, func(t *testing.T) {
			h, s := newHosted(t), scope()
			connector := "account." + rule.Name
			if rule.Name == "Accounts" { // a broker refuses such a connector itself
				h.Telemetry.Broker(nil)(t.Context(), broker.Event{Kind: broker.Refused, Connector: connector, Err: &broker.DeniedError{Rule: rule.Name}})
				h.wantRefusal(t, rule.Name)
				return
			}
			if rule.Name == "Untrusted" {
				s.Untrusted, connector = true, "account.vault"
			}
			refused(t, h, h.step(t, s), jwtOf(connector), rule.Name)
		})
	}
	for _, tt := range []struct{ name, text, want string }{
		{"another audience", `<+secrets.getJWT("account.vault", "https://evil.example.com")>`, "audience"},
		{"no such connector", jwtOf("account.none"), "no_connector"},
		{"no reference", jwtOf("acme.account.none"), "reference"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHosted(t)
			refused(t, h, h.step(t, scope()), tt.text, tt.want)
		})
	}
	t.Run("another step's placeholder", func(t *testing.T) {
		h := newHosted(t)
		step, key := h.step(t, scope()), expr.NewPlanKey()
		planned := must(broker.Plan(t.Context(), broker.PlanConfig{Key: key}, jwtOf("account.vault"), "step1"))
		if _, err := step.Resolve(t.Context(), key, planned, "step2"); !errors.Is(err, expr.ErrPlaceholder) {
			t.Errorf("Resolve: %v", err)
		}
		h.wantRefusal(t, "placeholder")
	})
	t.Run("an identifier that is none", func(t *testing.T) {
		h, s := newHosted(t), scope()
		s.Organization.ID = "pay/ments"
		refused(t, h, h.step(t, s), jwtOf("account.vault"), "other")
	})
}

func refused(t *testing.T, h *hosted, step *broker.Step, text, rule string) {
	t.Helper()
	if _, err := step.Expand(t.Context(), text); err == nil {
		t.Error("it is not refused")
	}
	h.wantRefusal(t, rule)
}

func (h *hosted) wantRefusal(t *testing.T, rule string) {
	t.Helper()
	if diff := cmp.Diff(map[string]any{"broker.refusals{rule=" + rule + "}": 1}, h.series("oidctoken.broker")); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}

// A connector's environment, a file and an answer of the endpoint are
// deliveries; a request without the secret is a refusal.
func TestDeliveries(t *testing.T) {
	h := newHosted(t)
	step := h.step(t, scope())
	if err := step.Deliver(t.Context(), "account.gcp_prod"); err != nil {
		t.Fatal(err)
	}
	must(step.WriteFile(t.Context(), "token", jwtOf("account.vault")))
	environment := make(map[string]string)
	for _, variable := range step.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		environment[name] = value
	}
	ask := func(secret string) int {
		r := must(http.NewRequestWithContext(t.Context(), "GET", environment["OIDCTOKEN_URL"], nil))
		r.Header.Set("Authorization", "Bearer "+secret)
		transport := &http.Transport{DisableKeepAlives: true}
		answer := must(transport.RoundTrip(r))
		defer answer.Body.Close()
		if err := json.NewDecoder(answer.Body).Decode(new(map[string]any)); err != nil {
			t.Error(err)
		}
		return answer.StatusCode
	}
	if diff := cmp.Diff([]int{200, 401}, []int{ask(environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]), ask("a guess")}); diff != "" {
		t.Errorf("the endpoint's answers (-want +got):\n%s", diff)
	}
	want := map[string]any{
		"deliveries{cloud=gcp,delivery.form=environment}": 1,
		"mint.duration{outcome=ok}":                       2,
		"deliveries{cloud=gcp,delivery.form=endpoint}":    1,
		"deliveries{cloud=gcp,delivery.form=file}":        1, // the token for gcp's tools
		"deliveries{cloud=none,delivery.form=file}":       1, // the step's own
		"broker.refusals{rule=endpoint}":                  1,
		"mints{outcome=ok,stage.type=CI}":                 2, // the endpoint's is gcp's
	}
	if diff := cmp.Diff(want, h.counts("")); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}

// A credential's first exchange, its renewal, and renewals that fail.
func TestExchangesOfABroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosted(t)
		step := h.step(t, scope())
		use := func(after time.Duration) {
			time.Sleep(after)
			if _, err := step.Expand(t.Context(), access); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		use(0)
		use(40 * time.Minute) // it is renewed at half of its hour, give or take a tenth
		refusal := error(&exchange.Error{Provider: "gcp", Op: "sts:token", Status: 503, Retryable: true})
		h.cloud.fail.Store(&refusal)
		use(40 * time.Minute)
		use(10 * time.Second)
		want := map[string]any{
			"exchange.duration{cloud=gcp,exchange.kind=exchanged,outcome=ok}":          1,
			"exchange.duration{cloud=gcp,exchange.kind=refreshed,outcome=ok}":          1,
			"exchange.duration{cloud=gcp,exchange.kind=refreshed,outcome=unavailable}": 2,
			"mint.duration{outcome=ok}":       4,
			"refresh.lag{cloud=gcp}":          3,
			"mints{outcome=ok,stage.type=CI}": 4,
		}
		if diff := cmp.Diff(want, h.counts("")); diff != "" {
			t.Errorf("series (-want +got):\n%s", diff)
		}
		// Each was 7 to 13 minutes late, and the last 10 seconds more.
		lag := h.series("oidctoken.refresh")["refresh.lag{cloud=gcp}"].(distribution)
		if n := lag.Buckets["600"] + lag.Buckets["1200"]; n != 3 {
			t.Errorf("the lags are %v", lag)
		}
		if n := len(h.spans.Ended()); n != 4 {
			t.Errorf("there are %d spans, want 4", n)
		}
	})
}
