package broker_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
)

// logged is a log that several goroutines may write.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// signatureOf returns the signature of a JWT that the step got.
func signatureOf(t *testing.T, step *broker.Step) string {
	t.Helper()
	jwt := expand(t, step, `<+secrets.getJWT("account.vault")>`)
	return jwt[strings.LastIndexByte(jwt, '.')+1:]
}

// The step's endpoint masks the step's secrets in an error response, and the broker masks them
// in its warning. D06
func TestRefusalsAreMasked(t *testing.T) {
	// answer returns the endpoint's response and the log while AWS's Exchanger fails.
	answer := func(t *testing.T, failure func(secret string) error) (got reply, secret, text string) {
		var log logged
		config := endpointConfig(t, new(audits))
		config.Logger = slog.New(slog.NewTextHandler(&log, nil))
		aws := newCloud("aws")
		config.Connectors.(broker.ConnectorMap)[broker.ConnectorKey{Account: "acme", ID: "aws_prod"}] = &broker.Connector{Exchanger: container{aws}}
		step := newStep(t, start(t, config), scope("payments", "ledger"))
		env := deliver(t, step, "account.aws_prod")
		secret = signatureOf(t, step)
		err := failure(secret)
		aws.fail.Store(&err)
		return ask(t, env, http.MethodGet, env["AWS_CONTAINER_CREDENTIALS_FULL_URI"], ""), secret, log.String()
	}
	t.Run("refusal", func(t *testing.T) {
		got, _, _ := answer(t, func(secret string) error {
			return &exchange.Error{Provider: "aws", Op: "sts", Status: 400, Code: "InvalidIdentityToken", Description: "the token " + secret + " is invalid"}
		})
		if got.Status != http.StatusBadGateway || !strings.Contains(got.Message, "the token *** is invalid") {
			t.Errorf("the refusal is %+v, want the token masked", got)
		}
	})
	t.Run("warning", func(t *testing.T) {
		got, secret, text := answer(t, func(secret string) error { return errors.New("a proxy answered " + secret) })
		if got.Status != http.StatusInternalServerError || strings.Contains(got.Message, "proxy") {
			t.Errorf("the answer is %+v, want nothing of the reason", got)
		}
		if !strings.Contains(text, "a proxy answered ***") || strings.Contains(text, secret) {
			t.Errorf("the log says %s", text)
		}
	})
}

// The warning about a failed renewal of a file masks the step's secrets. D06
func TestRenewalWarningsAreMasked(t *testing.T) {
	google := newCloud("gcp")
	config := brokerConfig(t, google)
	synctest.Test(t, func(t *testing.T) {
		var log logged
		config.Logger = slog.New(slog.NewTextHandler(&log, nil))
		step := newStep(t, start(t, config), scope("payments", "ledger"))
		if _, err := step.WriteFile(t.Context(), "token", `<+secrets.getGCPAccessToken("account.gcp_prod")>`); err != nil {
			t.Fatal(err)
		}
		secret := signatureOf(t, step)
		failure := errors.New("a proxy answered " + secret)
		google.fail.Store(&failure)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		warnings := 0
		for line := range strings.Lines(log.String()) {
			if !strings.Contains(line, "failed to renew a step's file") {
				continue
			}
			warnings++
			if !strings.Contains(line, "a proxy answered ***") || strings.Contains(line, secret) {
				t.Errorf("the log says %s", line)
			}
		}
		if warnings == 0 {
			t.Error("no warning was logged")
		}
	})
}
