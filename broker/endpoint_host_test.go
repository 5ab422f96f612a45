package broker_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
)

// The endpoint listens only on loopback, and ends with the step.
func TestEndpointDiesWithTheStep(t *testing.T) {
	b := start(t, endpointConfig(t, new(audits)))
	step, err := b.NewStep(broker.StepConfig{Scope: scope("payments", "ledger")})
	if err != nil {
		t.Fatal(err)
	}
	env := deliver(t, step, "account.vault")
	address := strings.TrimSuffix(strings.TrimPrefix(env["OIDCTOKEN_URL"], "http://"), "/token")
	if host, _, err := net.SplitHostPort(address); err != nil || host != "127.0.0.1" {
		t.Errorf("it listens at %q", address)
	}
	if got := ask(t, env, "GET", env["OIDCTOKEN_URL"], ""); got.Status != 200 {
		t.Fatalf("got %+v", got)
	}
	if err := step.Close(); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("it listens on after the step")
	}
}

// A step does not see the text of the host's own errors.
func TestEndpointKeepsHostsErrors(t *testing.T) {
	var log bytes.Buffer
	config := endpointConfig(t, new(audits))
	connectors := &failing{Connectors: config.Connectors}
	config.Connectors, config.Logger = connectors, slog.New(slog.NewTextHandler(&log, nil))
	env := deliver(t, newStep(t, start(t, config), scope("payments", "ledger")), "account.vault")
	connectors.err.Store(errors.New("dial postgres://ci:hunter2@10.1.2.3:5432/platform: connection refused"))
	got := ask(t, env, "GET", env["OIDCTOKEN_URL"], "")
	if got.Status != 500 || strings.Contains(got.Message, "postgres") || !strings.Contains(log.String(), "connection refused") {
		t.Errorf("got %+v; the log says %q", got, log.String())
	}
}

// failing is a store of connectors that can be made to fail.
type failing struct {
	broker.Connectors
	err atomic.Value
}

func (f *failing) Connector(ctx context.Context, key broker.ConnectorKey) (*broker.Connector, error) {
	if err, ok := f.err.Load().(error); ok {
		return nil, err
	}
	return f.Connectors.Connector(ctx, key)
}

// Requests without the secret may come without limit. Audit receives the first ones one by one,
// and then their number.
func TestEndpointKnocking(t *testing.T) {
	config := endpointConfig(t, new(audits))
	audited := new(audits)
	config.Audit = audited.add
	config.Now = func() time.Time { return time.Unix(1_900_000_000, 0) }
	step := newStep(t, start(t, config), scope("payments", "ledger"))
	endpoint, err := step.Endpoint(t.Context(), "account.vault")
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		w := httptest.NewRecorder()
		endpoint.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1:1/token", nil))
		if w.Code != 401 || w.Header().Get("Connection") != "close" {
			t.Fatalf("%d, Connection %q", w.Code, w.Header().Get("Connection"))
		}
	}
	if refused, _ := audited.ofKind(broker.Refused); len(refused) != 100 {
		t.Errorf("%d audited refusals of 1,000 at once", len(refused))
	}
}

// A failed delivery leaves nothing. Of two simultaneous deliveries of one cloud, one fails.
func TestDeliverLeavesNothing(t *testing.T) {
	config := endpointConfig(t, new(audits))
	connectors := config.Connectors.(broker.ConnectorMap)
	connectors[broker.ConnectorKey{Account: "acme", ID: "broken"}] = &broker.Connector{Exchanger: broken{newCloud("gcp")}}
	connectors[broker.ConnectorKey{Account: "acme", ID: "second"}] = &broker.Connector{Exchanger: newCloud("gcp")}
	b := start(t, config)
	step := newStep(t, b, scope("payments", "ledger"))
	if err := step.Deliver(t.Context(), "account.broken"); err == nil || step.Environ() != nil {
		t.Errorf("a failed delivery: %v, and the variables %q", err, step.Environ())
	}
	dir, err := step.Dir()
	if err != nil {
		t.Fatal(err)
	}
	if files, err := filepath.Glob(filepath.Join(dir, ".oidctoken", "*.jwt")); err != nil || files != nil {
		t.Errorf("it left %q, %v", files, err)
	}
	env := deliver(t, step, "account.vault")
	if got := ask(t, env, "GET", env["OIDCTOKEN_URL"]+"?audience=https://gcp.example.com", ""); got.Status != 403 {
		t.Errorf("its connector is served: %+v", got)
	}

	var group sync.WaitGroup
	var delivered atomic.Int32
	for _, ref := range []string{"account.gcp_prod", "account.second"} {
		group.Go(func() {
			if step.Deliver(t.Context(), ref) == nil {
				delivered.Add(1)
			}
		})
	}
	group.Wait()
	if n := delivered.Load(); n != 1 {
		t.Errorf("%d connectors of one cloud were delivered", n)
	}
	if got := ask(t, env, "GET", env["OIDCTOKEN_URL"]+"?audience=https://gcp.example.com", ""); got.Status != 200 {
		t.Errorf("the one that was is not served: %+v", got)
	}
}

// A step that opens connections without end delays only itself.
func TestEndpointConnections(t *testing.T) {
	b := start(t, endpointConfig(t, new(audits)))
	env := deliver(t, newStep(t, b, scope("payments", "ledger")), "account.vault")
	address := strings.TrimSuffix(strings.TrimPrefix(env["OIDCTOKEN_URL"], "http://"), "/token")
	var answered []net.Conn
	for range 40 { // the kernel accepts them, the host only some
		conn, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		defer conn.Close()
		answered = append(answered, conn)
	}
	other := deliver(t, newStep(t, b, scope("payments", "ledger")), "account.vault")
	if got := ask(t, other, "GET", other["OIDCTOKEN_URL"], ""); got.Status != 200 {
		t.Errorf("another step's endpoint: %+v", got)
	}
	for _, conn := range answered {
		conn.Close()
	}
	if got := ask(t, env, "GET", env["OIDCTOKEN_URL"], ""); got.Status != 200 {
		t.Errorf("once they are closed: %+v", got)
	}
}

// The error text in a refusal and in a warning contains no secret of the step.
func TestEndpointMasks(t *testing.T) {
	var log bytes.Buffer
	cloud := newCloud("aws")
	config := endpointConfig(t, new(audits))
	config.Connectors.(broker.ConnectorMap)[broker.ConnectorKey{Account: "acme", ID: "aws_prod"}].Exchanger = container{cloud}
	store := &failing{Connectors: config.Connectors}
	config.Connectors, config.Logger = store, slog.New(slog.NewTextHandler(&log, nil))
	env := deliver(t, newStep(t, start(t, config), scope("payments", "ledger")), "account.aws_prod")
	secret := env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]

	refusal := error(&exchange.Error{Provider: "aws", Op: "sts", Status: 403, Code: "AccessDenied", Description: "you said " + secret})
	cloud.fail.Store(&refusal)
	got := ask(t, env, "GET", env["AWS_CONTAINER_CREDENTIALS_FULL_URI"], "")
	if got.Status != 502 || !strings.Contains(got.Message, "you said ***") || strings.Contains(got.Message, secret) {
		t.Errorf("the refusal is %+v", got)
	}

	store.err.Store(errors.New("SELECT failed, parameter " + secret))
	if got := ask(t, env, "GET", env["OIDCTOKEN_URL"], ""); got.Status != 500 {
		t.Errorf("got %+v", got)
	}
	if !strings.Contains(log.String(), "parameter ***") || strings.Contains(log.String(), secret) {
		t.Errorf("the log says %s", log.String())
	}
}
