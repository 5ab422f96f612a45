package broker_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/oidctoken/oidctoken/broker"
)

// waiting is a store of connectors that blocks until the caller's context ends.
type waiting struct{ broker.Connectors }

func (waiting) Connector(ctx context.Context, _ broker.ConnectorKey) (*broker.Connector, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// switched is a store of connectors that can be replaced.
type switched struct{ broker.Connectors }

func (s *switched) Connector(ctx context.Context, key broker.ConnectorKey) (*broker.Connector, error) {
	return s.Connectors.Connector(ctx, key)
}

// Every call that waits when a step closes returns ErrClosed. It does not return the
// context.Canceled of an internal context. Close logs no warning and audits no refusal.
func TestCloseWhileWaiting(t *testing.T) {
	var log bytes.Buffer
	audited := new(audits)
	config := endpointConfig(t, audited)
	store := &switched{config.Connectors}
	config.Connectors, config.Logger = store, slog.New(slog.NewTextHandler(&log, nil))
	synctest.Test(t, func(t *testing.T) {
		step := newStep(t, start(t, config), scope("payments", "ledger"))
		endpoint, err := step.Endpoint(t.Context(), "account.vault", "account.aws_prod")
		if err != nil {
			t.Fatal(err)
		}
		store.Connectors = waiting{}
		const text = `<+secrets.getJWT("account.vault")>`
		calls := map[string]func() error{
			"Expand":           func() error { _, err := step.Expand(t.Context(), text); return err },
			"Preview":          func() error { _, err := step.Preview(t.Context(), text); return err },
			"PreviewConnector": func() error { _, err := step.PreviewConnector(t.Context(), "account.vault"); return err },
			"WriteFile":        func() error { _, err := step.WriteFile(t.Context(), "jwt", text); return err },
			"Deliver":          func() error { return step.Deliver(t.Context(), "account.vault") },
			"a second Deliver": func() error { return step.Deliver(t.Context(), "account.vault") },
		}
		failed := make(map[string]chan error)
		for name, call := range calls {
			result := make(chan error, 1)
			failed[name] = result
			go func() { result <- call() }()
		}
		answers := make(map[string]chan *httptest.ResponseRecorder)
		for _, target := range []string{"/token", "/token?audience=https://vault.example.com", "/credentials"} {
			answer := make(chan *httptest.ResponseRecorder, 1)
			answers[target] = answer
			go func() {
				w := httptest.NewRecorder()
				r := httptest.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1:1"+target, nil)
				r.Header.Set("Authorization", "Bearer SECRET")
				endpoint.ServeHTTP(w, r)
				answer <- w
			}()
		}
		synctest.Wait()
		if err := step.Close(); err != nil {
			t.Error(err)
		}
		for name, failed := range failed {
			if err := <-failed; !errors.Is(err, broker.ErrClosed) || errors.Is(err, context.Canceled) {
				t.Errorf("%s: got %v, want %v", name, err, broker.ErrClosed)
			}
		}
		for target, answer := range answers {
			if w := <-answer; w.Code != 503 || !bytes.Contains(w.Body.Bytes(), []byte("the step is closed")) {
				t.Errorf("%s: got %d %s", target, w.Code, w.Body)
			}
		}
	})
	if log.Len() != 0 {
		t.Errorf("the log says %s", log.String())
	}
	if refused, errs := audited.ofKind(broker.Refused); refused != nil {
		t.Errorf("audited refusals: %q %v", refused, errs)
	}
}

// If the caller's own context ends while the step is open, the caller gets the error of that
// context.
func TestLeaveWhileWaiting(t *testing.T) {
	config := endpointConfig(t, new(audits))
	config.Connectors = waiting{}
	step := newStep(t, start(t, config), scope("payments", "ledger"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := step.PreviewConnector(ctx, "account.vault"); !errors.Is(err, context.Canceled) || errors.Is(err, broker.ErrClosed) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
