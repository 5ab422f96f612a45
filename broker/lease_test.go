package broker_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
)

const access = `<+secrets.getGCPAccessToken("account.gcp_prod")>`

// serial returns the number of the exchange in an access token.
func serial(accessToken string) string { return strings.Split(accessToken, "-")[1] }

// gated is a cloud that responds when the test allows it.
type gated struct {
	*cloud
	open chan struct{}
}

func (g *gated) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	select {
	case <-g.open:
		return g.cloud.Exchange(ctx, r)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// gatedConfig returns a configuration whose account.gcp_prod waits for a gate and whose
// account.other does not.
func gatedConfig(t *testing.T, other *cloud) (broker.Config, *gated) {
	g := &gated{cloud: newCloud("gcp")}
	config := brokerConfig(t, other)
	connectors := config.Connectors.(broker.ConnectorMap)
	connectors[broker.ConnectorKey{Account: "acme", ID: "other"}] = connectors[broker.ConnectorKey{Account: "acme", ID: "gcp_prod"}]
	connectors[broker.ConnectorKey{Account: "acme", ID: "gcp_prod"}] = &broker.Connector{Exchanger: g}
	return config, g
}

// X16: callers share one exchange, and each may stop waiting without ending it.
func TestCallersLeaveTheFlight(t *testing.T) {
	config, g := gatedConfig(t, newCloud("gcp"))
	synctest.Test(t, func(t *testing.T) {
		b := start(t, config)
		g.open = make(chan struct{})
		step := newStep(t, b, scope("payments", "ledger"))
		type result struct {
			text string
			err  error
		}
		ctx, leave := context.WithCancel(t.Context())
		left, stayed := make(chan result, 1), make(chan result, 20)
		call := func(ctx context.Context, to chan<- result) {
			text, err := step.Expand(ctx, access)
			to <- result{text, err}
		}
		go call(ctx, left) // this caller starts the flight
		synctest.Wait()
		for range cap(stayed) {
			go call(t.Context(), stayed)
		}
		synctest.Wait()
		leave()
		if r := <-left; !errors.Is(r.err, context.Canceled) || r.text != "" {
			t.Errorf("the caller that left got %q, %v", r.text, r.err)
		}
		close(g.open)
		for range cap(stayed) {
			if r := <-stayed; r.err != nil || serial(r.text) != "1" {
				t.Errorf("the caller that stayed got %q, %v", r.text, r.err)
			}
		}
		if n := g.count.Load(); n != 1 {
			t.Errorf("%d exchanges, want 1", n)
		}
	})
}

// A caller that waits when the step ends gets ErrClosed, and not the error of a context.
func TestCloseEndsTheFlight(t *testing.T) {
	config, g := gatedConfig(t, newCloud("gcp"))
	synctest.Test(t, func(t *testing.T) {
		b := start(t, config)
		g.open = make(chan struct{}) // is never closed
		step := newStep(t, b, scope("payments", "ledger"))
		failed := make(chan error, 2)
		go func() {
			_, err := step.Expand(t.Context(), access)
			failed <- err
		}()
		go func() {
			_, err := step.WriteFile(t.Context(), "token", access)
			failed <- err
		}()
		synctest.Wait()
		if err := step.Close(); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-failed; err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "the step is closed") {
				t.Errorf("got %v", err)
			}
		}
	})
}

// While a cloud is unavailable, the last credential stays in use until it expires, and no
// longer. The log reports the failure without a secret.
func TestOutage(t *testing.T) {
	google := newCloud("gcp")
	google.lifetime = 10 * time.Minute
	var log bytes.Buffer
	config := brokerConfig(t, google)
	config.Logger = slog.New(slog.NewTextHandler(&log, nil))
	synctest.Test(t, func(t *testing.T) {
		b := start(t, config)
		step := newStep(t, b, scope("payments", "ledger"))
		first := expand(t, step, access)
		outage := error(&exchange.Error{Provider: "gcp", Op: "sts:token", Status: 503, Retryable: true, Description: "try without " + first})
		google.fail.Store(&outage)

		time.Sleep(9*time.Minute + 59*time.Second)
		if got := expand(t, step, access); got != first {
			t.Errorf("got %q while %q is valid", got, first)
		}
		synctest.Wait() // waits for the renewal in the background
		warning := log.String()
		if !strings.Contains(warning, "connector=account.gcp_prod") || !strings.Contains(warning, "error.status=503") || strings.Contains(warning, first) {
			t.Errorf("the log says %q", warning)
		}
		asked := google.count.Load()
		expand(t, step, access)
		if n := google.count.Load(); n != asked {
			t.Error("a cloud that just failed was called again at once")
		}

		time.Sleep(time.Second)
		if got, err := step.Expand(t.Context(), access); !errors.Is(err, outage) || got != "" {
			t.Errorf("after the expiry: got %q, %v", got, err)
		}
		google.fail.Store(nil)
		time.Sleep(time.Second) // the failure is remembered for that long
		if got := expand(t, step, access); got == first {
			t.Error("an expired credential is served")
		}
	})
}

// A credential that has expired on arrival is not used.
func TestExpiredOnArrival(t *testing.T) {
	google := newCloud("gcp")
	google.lifetime = -time.Second
	step := newStep(t, newBroker(t, google), scope("payments", "ledger"))
	for range 2 {
		if got, err := step.Expand(t.Context(), access); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if path, err := step.WriteFile(t.Context(), "token", access); err == nil {
		t.Errorf("it is in %s", path)
	}
}

// No credential is used after its expiry, even if the clock is changed.
func TestClockJumps(t *testing.T) {
	for _, tt := range []struct {
		name string
		jump time.Duration
		want string // the expected serial
	}{
		{"a little forward", 20 * time.Minute, "1"},
		{"past the renewal", 40 * time.Minute, "1"}, // during the renewal
		{"past the expiry", 2 * time.Hour, "2"},
		{"years", 20 * 365 * 24 * time.Hour, "2"},
		{"back", -2 * time.Hour, "1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var jumped atomic.Int64
			now := func() time.Time { return time.Now().Add(time.Duration(jumped.Load())) }
			google := newCloud("gcp")
			google.now = now
			config := brokerConfig(t, google)
			config.Now = now
			b := start(t, config)
			step := newStep(t, b, scope("payments", "ledger"))
			expand(t, step, access)
			jumped.Store(int64(tt.jump))
			if got := serial(expand(t, step, access)); got != tt.want {
				t.Errorf("the credential of exchange %s, want %s", got, tt.want)
			}
		})
	}
}

// A secret that is too short to mask is refused.
func TestUnmaskable(t *testing.T) {
	config := brokerConfig(t, newCloud("gcp"))
	config.Connectors.(broker.ConnectorMap)[broker.ConnectorKey{Account: "acme", ID: "short"}] = &broker.Connector{Exchanger: short{newCloud("gcp")}}
	b := start(t, config)
	got, err := newStep(t, b, scope("", "")).Expand(t.Context(), `<+secrets.getGCPAccessToken("account.short")>`)
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %q, %v", got, err)
	}
}

type short struct{ *cloud }

func (c short) Exchange(context.Context, exchange.Request) (*exchange.Credential, error) {
	return exchange.NewCredential(time.Now().Add(time.Hour), map[string]string{"CLOUDSDK_AUTH_ACCESS_TOKEN": "s3cret"}), nil
}

// Each caller gets the refusal, but the cloud is called only every few seconds.
func TestRefusedAgain(t *testing.T) {
	google := newCloud("gcp")
	config := brokerConfig(t, google)
	refusal := error(&exchange.Error{Provider: "gcp", Op: "sts:token", Status: 400, Code: "invalid_grant"})
	google.fail.Store(&refusal)
	synctest.Test(t, func(t *testing.T) {
		step := newStep(t, start(t, config), scope("payments", "ledger"))
		for range 10 {
			_, err := step.Expand(t.Context(), access)
			var refused *exchange.Error
			if !errors.As(err, &refused) || refused.Code != "invalid_grant" {
				t.Errorf("got %v", err)
			}
		}
		if n := google.count.Load(); n != 1 {
			t.Errorf("%d exchanges at once", n)
		}
		google.fail.Store(nil)
		time.Sleep(5 * time.Second)
		if got := serial(expand(t, step, access)); got != "2" {
			t.Errorf("then the credential of exchange %s", got)
		}
	})
}
