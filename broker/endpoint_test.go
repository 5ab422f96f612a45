package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
)

// container is a cloud whose tools get credentials from an endpoint.
type container struct{ *cloud }

func (container) EndpointBundle(dir string, e exchange.Endpoint) (*exchange.Bundle, error) {
	return &exchange.Bundle{
		Files: map[string][]byte{"authorization": []byte(e.Authorization())},
		Env:   map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": e.CredentialsURL, "TOKEN_URL": e.TokenURL, "AUTHORIZATION_FILE": dir + "/authorization"},
	}, nil
}

func (container) ContainerCredentials(c *exchange.Credential) ([]byte, error) {
	return json.Marshal(c.Env())
}

// audits collects a broker's events.
type audits struct {
	mu     sync.Mutex
	events []broker.Event
}

func (a *audits) add(_ context.Context, e broker.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, e)
}

// ofKind returns the events of a kind, as "connector audience file", and their errors.
func (a *audits) ofKind(kind broker.EventKind) (audited []string, errs []error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events {
		if e.Kind == kind {
			audited = append(audited, strings.Join(strings.Fields(e.Connector+" "+e.Audience+" "+e.File), " "))
			errs = append(errs, e.Err)
		}
	}
	return audited, errs
}

// endpointConfig returns the configuration with connectors of every kind, and one that only
// deployments may use.
func endpointConfig(t *testing.T, audited *audits) broker.Config {
	config := brokerConfig(t, newCloud("gcp"))
	config.Audit = audited.add
	connectors := config.Connectors.(broker.ConnectorMap)
	connectors[broker.ConnectorKey{Account: "acme", ID: "aws_prod"}] = &broker.Connector{Exchanger: container{newCloud("aws")}}
	connectors[broker.ConnectorKey{Account: "acme", ID: "also"}] = &broker.Connector{Audiences: []string{"https://also.example.com", "https://vault.example.com"}}
	connectors[broker.ConnectorKey{Account: "acme", ID: "deploy"}] = &broker.Connector{
		Audiences: []string{"https://deploy.example.com"},
		Rules:     broker.Rules{StageTypes: []string{"Deployment"}},
	}
	return config
}

// deliver delivers connectors to a step and returns its variables.
func deliver(t *testing.T, step *broker.Step, refs ...string) map[string]string {
	t.Helper()
	for _, ref := range refs {
		if err := step.Deliver(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
	env := make(map[string]string)
	for _, v := range step.Environ() {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	return env
}

// client returns an HTTP client whose connections end with the test.
func client(t *testing.T) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

type reply struct {
	Status  int
	Code    string
	Message string
	Value   string
	Count   int
}

// ask sends a request with the step's Authorization, unless edit sets another.
func ask(t *testing.T, env map[string]string, method, url, body string, edit ...func(*http.Request)) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
	for _, f := range edit {
		f(r)
	}
	response, err := client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got := reply{Status: response.StatusCode}
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	return got
}

// The audience selects the connector. An error names the candidates.
func TestEndpointAudiences(t *testing.T) {
	const vault, own = "https://vault.example.com", "https://gcp.example.com"
	for _, tt := range []struct {
		name      string
		connector []string
		audience  string
		want      string // the token's connector
		refusal   reply
	}{
		{"only one, no audience", []string{"account.vault"}, "", "vault", reply{}},
		{"only one, its own", []string{"account.vault"}, vault, "vault", reply{}},
		{"only one, another of its own", []string{"account.vault"}, "https://other.example.com", "vault", reply{}},
		{"a cloud's", []string{"account.vault", "account.gcp_prod"}, own, "gcp_prod", reply{}},
		{"one of two", []string{"account.vault", "account.also"}, "https://also.example.com", "also", reply{}},
		{"both", []string{"account.vault", "account.also"}, vault, "", reply{Status: 400, Code: "invalid_target",
			Message: "broker: the step's endpoint: several connectors of the step allow that audience: account.vault, account.also"}},
		{"two, no audience", []string{"account.vault", "account.gcp_prod"}, "", "", reply{Status: 400, Code: "invalid_target",
			Message: `broker: the step's endpoint: the request must name an audience: the step has account.vault ["https://vault.example.com" "https://other.example.com"], account.gcp_prod ["https://gcp.example.com"]`}},
		{"no connector allows it", []string{"account.vault"}, own, "", reply{Status: 403, Code: "invalid_target",
			Message: `broker: the step's endpoint: no connector of the step allows that audience: the step has account.vault ["https://vault.example.com" "https://other.example.com"]`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			audited := new(audits)
			step := newStep(t, start(t, endpointConfig(t, audited)), scope("payments", "ledger"))
			env := deliver(t, step, tt.connector...)
			query, body := "", ""
			if tt.audience != "" {
				query, body = "&audience="+tt.audience, `{"audience":"`+tt.audience+`"}`
			}
			for _, got := range []reply{
				ask(t, env, "GET", env["ACTIONS_ID_TOKEN_REQUEST_URL"]+query, ""),
				ask(t, env, "POST", env["OIDCTOKEN_URL"], body),
			} {
				if tt.want == "" {
					if diff := cmp.Diff(tt.refusal, got); diff != "" {
						t.Errorf("refusal (-want +got):\n%s", diff)
					}
					continue
				}
				if got.Status != 200 || got.Count != len(got.Value) {
					t.Fatalf("got %+v", got)
				}
				if id := payload(got.Value)["connector_id"]; id != tt.want {
					t.Errorf("a token of the connector %v, want %s", id, tt.want)
				}
			}
			refused, errs := audited.ofKind(broker.Refused)
			if tt.want == "" && (len(refused) != 2 || !strings.Contains(errs[0].Error(), "audience")) || tt.want != "" && refused != nil {
				t.Errorf("audited refusals: %q %v", refused, errs)
			}
		})
	}
}

// A step's endpoint serves only requests with its secret and for its own address. Every refused
// request is audited.
func TestEndpointRefuses(t *testing.T) {
	audited := new(audits)
	b := start(t, endpointConfig(t, audited))
	other := deliver(t, newStep(t, b, scope("payments", "other")), "account.vault")
	env := deliver(t, newStep(t, b, scope("payments", "ledger")), "account.vault")
	url := env["OIDCTOKEN_URL"]
	authorization := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", value) }
	}
	tests := []struct {
		name, method, url, body string
		edit                    func(*http.Request)
		status                  int
		code                    string
	}{
		{"no secret", "GET", url, "", func(r *http.Request) { r.Header.Del("Authorization") }, 401, "invalid_token"},
		{"empty secret", "GET", url, "", authorization("Bearer "), 401, "invalid_token"},
		{"another step's secret", "GET", url, "", authorization("Bearer " + other["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]), 401, "invalid_token"},
		{"its secret at another step's", "GET", other["OIDCTOKEN_URL"], "", nil, 401, "invalid_token"},
		{"secret in the URL", "GET", url + "?token=" + env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"], "", authorization(""), 401, "invalid_token"},
		{"another name", "GET", url, "", func(r *http.Request) { r.Host = "localhost" + r.URL.Host[strings.LastIndexByte(r.URL.Host, ':'):] }, 421, "misdirected_request"},
		{"another path", "GET", strings.TrimSuffix(url, "token"), "", nil, 404, "invalid_request"},
		{"up and down", "GET", strings.TrimSuffix(url, "token") + "../token", "", nil, 404, "invalid_request"},
		{"another method", "PUT", url, "", nil, 405, "invalid_request"},
		{"not understood", "GET", url + "?Audience=https://vault.example.com", "", nil, 400, "invalid_request"},
		{"credentials that there are not", "GET", strings.TrimSuffix(url, "token") + "credentials", "", nil, 403, "access_denied"},
		{"credentials posted", "POST", strings.TrimSuffix(url, "token") + "credentials", "", nil, 405, "invalid_request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			edit := tt.edit
			if edit == nil {
				edit = func(*http.Request) {}
			}
			got := ask(t, env, tt.method, tt.url, tt.body, edit)
			if got.Status != tt.status || got.Code != tt.code || got.Value != "" {
				t.Errorf("got %+v, want %d %s", got, tt.status, tt.code)
			}
		})
	}
	if refused, _ := audited.ofKind(broker.Refused); len(refused) != len(tests) {
		t.Errorf("%d audited refusals of %d", len(refused), len(tests))
	}
	if got := ask(t, env, "GET", url, ""); got.Status != 200 {
		t.Errorf("after all that: %+v", got)
	}
}

// The endpoint serves only delivered connectors. A connector in the step's texts is not enough.
func TestEndpointServesWhatWasGiven(t *testing.T) {
	audited := new(audits)
	step := newStep(t, start(t, endpointConfig(t, audited)), scope("payments", "ledger"))
	expand(t, step, `<+secrets.getJWT("account.also")>`)
	env := deliver(t, step, "account.vault")
	if got := ask(t, env, "GET", env["OIDCTOKEN_URL"]+"?audience=https://also.example.com", ""); got.Status != 403 {
		t.Errorf("got %+v", got)
	}
	if err := step.Deliver(t.Context(), "account.deploy"); !errors.Is(err, oidctoken.ErrDenied) {
		t.Errorf("a connector of deployments: %v", err)
	}
	if got := ask(t, env, "GET", env["OIDCTOKEN_URL"]+"?audience=https://deploy.example.com", ""); got.Status != 403 {
		t.Errorf("got %+v", got)
	}
}

// A cloud that has a format for it gets the credential itself.
func TestEndpointCredentials(t *testing.T) {
	audited := new(audits)
	step := newStep(t, start(t, endpointConfig(t, audited)), scope("payments", "ledger"))
	env := deliver(t, step, "account.aws_prod", "account.gcp_prod")
	secret, err := os.ReadFile(env["AUTHORIZATION_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", env["AWS_CONTAINER_CREDENTIALS_FULL_URI"], nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", string(secret))
	response, err := client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var got map[string]string
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil || response.StatusCode != 200 {
		t.Fatal(response.Status, err)
	}
	if !strings.HasPrefix(got["CLOUDSDK_AUTH_ACCESS_TOKEN"], "access-1-") {
		t.Errorf("got %v", got)
	}
	var out strings.Builder
	w := step.Mask(&out)
	io.WriteString(w, got["CLOUDSDK_AUTH_ACCESS_TOKEN"]+" "+env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
	w.Close()
	if out.String() != "*** ***" {
		t.Errorf("the step's output shows %q", out.String())
	}
	delivered, _ := audited.ofKind(broker.Delivered)
	if !slices.Contains(delivered, "account.aws_prod https://aws.example.com") {
		t.Errorf("audited deliveries: %q", delivered)
	}
}

// An unavailable cloud gives a temporary error with the time for the next try.
func TestEndpointOutage(t *testing.T) {
	cloud := newCloud("aws")
	config := endpointConfig(t, new(audits))
	config.Connectors.(broker.ConnectorMap)[broker.ConnectorKey{Account: "acme", ID: "aws_prod"}].Exchanger = container{cloud}
	outage := error(&exchange.Error{Provider: "aws", Op: "sts", Status: 503, Retryable: true, RetryAfter: 2500 * time.Millisecond})
	cloud.fail.Store(&outage)
	step := newStep(t, start(t, config), scope("payments", "ledger"))
	env := deliver(t, step, "account.aws_prod")
	r, err := http.NewRequestWithContext(t.Context(), "GET", env["AWS_CONTAINER_CREDENTIALS_FULL_URI"], nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
	response, err := client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 503 || response.Header.Get("Retry-After") != "3" {
		t.Errorf("got %s, Retry-After %q", response.Status, response.Header.Get("Retry-After"))
	}
}
