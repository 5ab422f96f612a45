package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
)

// A step runs for a day, with credentials and tokens of ten minutes and an unreliable cloud. It
// never reads a file or a response that is expired or incomplete. If the cloud is away for four
// minutes, every request succeeds. If it is away for twenty, a request may fail. X16
func TestLongStep(t *testing.T) {
	for _, tt := range []struct {
		outage time.Duration
		errors bool // errors are allowed
	}{
		{4 * time.Minute, false},
		{20 * time.Minute, true},
	} {
		t.Run(tt.outage.String(), func(t *testing.T) {
			config := endpointConfig(t, new(audits))
			connectors := config.Connectors.(broker.ConnectorMap)
			short := &oidctoken.Profile{Algorithms: []string{"ES256"}, Lifetime: 10 * time.Minute}
			connectors[broker.ConnectorKey{Account: "acme", ID: "vault"}].Profile = short
			synctest.Test(t, func(t *testing.T) {
				cloud := newCloud("aws")
				cloud.lifetime = 10 * time.Minute
				connectors[broker.ConnectorKey{Account: "acme", ID: "aws_prod"}] = &broker.Connector{Exchanger: expiring{container{cloud}}, Profile: short}
				longStep(t, start(t, config), cloud, tt.outage, tt.errors)
			})
		})
	}
}

// expiring is a container whose credentials contain their expiry.
type expiring struct{ container }

func (e expiring) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	c, err := e.container.Exchange(ctx, r)
	if err != nil {
		return nil, err
	}
	return exchange.NewCredential(c.Expires().Truncate(time.Second), map[string]string{
		"AWS_ACCESS_KEY_ID":     "the-access-key-id",
		"AWS_SECRET_ACCESS_KEY": "the-secret-of-" + strconv.FormatInt(c.Expires().Unix(), 10),
		"AWS_SESSION_TOKEN":     strconv.FormatInt(c.Expires().Unix(), 10) + "-whole",
	}), nil
}

func longStep(t *testing.T, b *broker.Broker, cloud *cloud, outage time.Duration, mayFail bool) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	step := newStep(t, b, scope("payments", "ledger"))
	access, err := step.WriteFile(t.Context(), "access", `<+secrets.getAWSCredentials("account.aws_prod").sessionToken>`)
	if err != nil {
		t.Fatal(err)
	}
	jwt := expand(t, step, `<+secrets.getJWTFile("account.vault")>`)
	endpoint, err := step.Endpoint(t.Context(), "account.vault", "account.aws_prod")
	if err != nil {
		t.Fatal(err)
	}
	call := func(path string) (int, []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:1"+path, nil)
		r.Header.Set("Authorization", "Bearer SECRET")
		w := httptest.NewRecorder()
		endpoint.ServeHTTP(w, r)
		return w.Code, w.Body.Bytes()
	}
	// Each function reads something and returns the last expiry in it.
	looks := map[string]func() (ends int64, err error){
		"the file of a credential": func() (int64, error) {
			text, err := os.ReadFile(access)
			if err != nil {
				return 0, err
			}
			return parseEnd(t, string(text)), nil
		},
		"the file of a token": func() (int64, error) {
			text, err := os.ReadFile(jwt)
			if err != nil {
				return 0, err
			}
			return int64(payload(string(text))["exp"].(float64)), nil
		},
		"a token of the endpoint": func() (int64, error) {
			status, body := call("/token?audience=https://vault.example.com")
			var got struct{ Value string }
			if err := json.Unmarshal(body, &got); err != nil || status != 200 {
				return 0, fmt.Errorf("%d %s %w", status, body, fs.ErrNotExist)
			}
			return int64(payload(got.Value)["exp"].(float64)), nil
		},
		"credentials of the endpoint": func() (int64, error) {
			status, body := call("/credentials")
			var got map[string]string
			if err := json.Unmarshal(body, &got); err != nil {
				return 0, err
			}
			if status != 200 {
				return 0, fmt.Errorf("%d %s %w", status, body, fs.ErrNotExist)
			}
			if ends := parseEnd(t, got["AWS_SESSION_TOKEN"]); !strings.HasSuffix(got["AWS_SECRET_ACCESS_KEY"], strconv.FormatInt(ends, 10)) {
				t.Errorf("parts of two credentials: %v", got)
			}
			return parseEnd(t, got["AWS_SESSION_TOKEN"]), nil
		},
	}
	away := error(&exchange.Error{Provider: "aws", Op: "sts", Status: 503, Retryable: true})
	var up, down time.Time // when the cloud goes away and comes back
	down = time.Now()
	failures := 0
	for begun := time.Now(); time.Since(begun) < 24*time.Hour; {
		if now := time.Now(); !now.Before(down) {
			cloud.fail.Store(nil)
			up = now.Add(outage + time.Duration(random.Int64N(int64(30*time.Minute))))
			down = up.Add(outage)
		} else if !now.Before(up) {
			cloud.fail.Store(&away)
		}
		time.Sleep(time.Duration(1 + random.Int64N(int64(40*time.Second))))
		synctest.Wait()
		for name, look := range looks {
			ends, err := look()
			switch {
			case err == nil && ends <= time.Now().Unix():
				t.Fatalf("%s expired %d s ago (seed %d)", name, time.Now().Unix()-ends, seed)
			case err != nil && !errors.Is(err, fs.ErrNotExist):
				t.Fatalf("%s: %v (seed %d)", name, err, seed)
			case err != nil && !mayFail:
				t.Fatalf("%s: %v, %v after the cloud went away (seed %d)", name, err, time.Since(up), seed)
			case err != nil:
				failures++
			}
		}
	}
	if mayFail != (failures > 0) {
		t.Errorf("%d failures (seed %d)", failures, seed)
	}
}

// parseEnd returns the expiry in the text of a credential. The text must be complete.
func parseEnd(t *testing.T, text string) int64 {
	t.Helper()
	number, whole := strings.CutSuffix(text, "-whole")
	ends, err := strconv.ParseInt(number, 10, 64)
	if err != nil || !whole {
		t.Fatalf("it is not whole: %q", text)
	}
	return ends
}
