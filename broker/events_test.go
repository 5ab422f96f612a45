package broker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// An event is readable in a JSON log, for every refusal.
func TestEventsInLogs(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		name  string
		event broker.Event
		want  string // the text between the scope and the end
	}{
		{"every member", broker.Event{
			Time: at, Kind: broker.Refreshed, Connector: "account.c", Cloud: "gcp", Audience: "https://a", TokenID: "jti", KeyID: "kid", File: "f",
			Expires: at, Took: 1500 * time.Millisecond, Late: time.Minute, Missed: 3, Err: errors.New("failed"),
		}, `,"Connector":"account.c","Cloud":"gcp","Audience":"https://a","TokenID":"jti","KeyID":"kid","File":"f","Expires":"2030-01-02T03:04:05Z","Took":"1.5s","Late":"1m0s","Missed":3,"Err":"failed"}`},
		{"rules", broker.Event{Time: at, Kind: broker.Refused, Err: &broker.DeniedError{Rule: "Environments"}}, `,"Err":"denied by policy: the connector's Rules.Environments does not admit the step"}`},
		{"a wrong reference", broker.Event{Time: at, Kind: broker.Refused, Err: &broker.RefError{Reason: "is bad"}}, `,"Err":"broker: the connector reference is bad"}`},
		{"no connector", broker.Event{Time: at, Kind: broker.Refused, Err: broker.ErrNoConnector}, `,"Err":"no such connector"}`},
		{"policy", broker.Event{Time: at, Kind: broker.Refused, Err: fmt.Errorf("x: %w", oidctoken.ErrDenied)}, `,"Err":"x: denied by policy"}`},
		{"delivered", broker.Event{Time: at, Kind: broker.Delivered}, `}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			scope, err := json.Marshal(tt.event.Scope)
			if err != nil {
				t.Fatal(err)
			}
			want := `{"Time":"2030-01-02T03:04:05Z","Kind":"` + string(tt.event.Kind) + `","Scope":` + string(scope) + tt.want
			got, err := json.Marshal(tt.event)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Errorf("json (-want +got):\n%s", diff)
			}
			var log bytes.Buffer
			slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "event", tt.event)
			var line struct{ Event json.RawMessage }
			if err := json.Unmarshal(log.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, string(line.Event)); diff != "" {
				t.Errorf("slog (-want +got):\n%s", diff)
			}
		})
	}
}

// Events of an exchange, a renewal, a file and an endpoint response have the jti and kid of
// their JWT.
func TestEventsLeadToTheirMints(t *testing.T) {
	var mu sync.Mutex
	minted := make(map[string]string) // kid by jti
	var last string
	google, audited := newCloud("gcp"), new(audits)
	google.lifetime = 10 * time.Minute
	config := brokerConfig(t, google)
	config.Audit = audited.add
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL: "https://ci.example.com", Keys: oidctoken.StaticKeys{oidctokentest.NewKey(t, "ES256")}, Profile: oidctoken.Profile{Algorithms: []string{"ES256"}},
		Audit: func(_ context.Context, e oidctoken.Event) {
			mu.Lock()
			defer mu.Unlock()
			minted[e.ID], last = e.KeyID, e.ID
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	config.Issuer = issuer
	refusal := error(&exchange.Error{Provider: "gcp", Op: "sts:token", Status: 400, Code: "invalid_grant"})
	config.Connectors.(broker.ConnectorMap)[broker.ConnectorKey{Account: "acme", Organization: "payments", ID: "gcp_org"}].Exchanger = refusing{google, refusal}
	synctest.Test(t, func(t *testing.T) {
		step := newStep(t, start(t, config), scope("payments", "ledger"))
		both := jwtText + " " + jwtText + " " + access
		if _, err := step.WriteFile(t.Context(), "both", both); err != nil {
			t.Fatal(err)
		}
		if _, err := step.WriteFile(t.Context(), "plain", "text"); err != nil {
			t.Fatal(err)
		}
		if _, err := step.Expand(t.Context(), `<+secrets.getGCPAccessToken("org.gcp_org")>`); !errors.Is(err, refusal) {
			t.Fatal(err)
		}
		mu.Lock()
		refused := last
		mu.Unlock()
		time.Sleep(8 * time.Minute)
		synctest.Wait()
		audited.mu.Lock()
		defer audited.mu.Unlock()
		mu.Lock()
		defer mu.Unlock()
		var got []string
		for _, e := range audited.events[:5] {
			got = append(got, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s jti=%v", e.Kind, e.Connector, e.Cloud, e.File, e.TokenID != "")), " "))
		}
		want := []string{
			"exchanged account.gcp_prod gcp jti=true",
			"delivered account.vault both jti=true",
			"delivered account.gcp_prod gcp both jti=false",
			"delivered plain jti=false",
			"exchanged org.gcp_org gcp jti=true",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		renewed := 0
		for _, e := range audited.events {
			if kid, known := minted[e.TokenID]; e.TokenID != "" && (!known || kid != e.KeyID) {
				t.Errorf("%s %s: no mint has the jti %q and the kid %q", e.Kind, e.Connector, e.TokenID, e.KeyID)
			}
			if e.Kind == broker.Refreshed && e.TokenID != "" {
				renewed++
			}
		}
		if e := audited.events[4]; e.TokenID != refused || e.Err == nil {
			t.Errorf("the refused JWT was %s, and the event says %+v", refused, e)
		}
		if renewed == 0 {
			t.Error("no renewal leads to its mint")
		}
	})
}

// refusing is a cloud that refuses the second JWT of each exchange.
type refusing struct {
	*cloud
	err error
}

func (r refusing) Exchange(ctx context.Context, request exchange.Request) (*exchange.Credential, error) {
	for range 2 {
		if _, err := request.Subject(ctx, r.Audience()); err != nil {
			return nil, err
		}
	}
	return nil, r.err
}

// The event of a token from the endpoint has its jti and kid too.
func TestEndpointEventsLeadToTheirMints(t *testing.T) {
	audited := new(audits)
	step := newStep(t, start(t, endpointConfig(t, audited)), scope("payments", "ledger"))
	env := deliver(t, step, "account.vault")
	got := ask(t, env, "GET", env["OIDCTOKEN_URL"], "")
	audited.mu.Lock()
	defer audited.mu.Unlock()
	last := audited.events[len(audited.events)-1]
	if want := payload(got.Value)["jti"]; last.Kind != broker.Delivered || last.TokenID != want || last.KeyID == "" {
		t.Errorf("got %+v, want the jti %v", last, want)
	}
}

// A closed broker makes no steps, and its open steps return ErrClosed.
func TestClosedBroker(t *testing.T) {
	b := newBroker(t, newCloud("gcp"))
	step := newStep(t, b, scope("payments", "ledger"))
	jwt := expand(t, step, jwtText)
	b.Close()
	b.Close()
	for name, call := range map[string]func() error{
		"NewStep": func() error {
			_, err := b.NewStep(broker.StepConfig{Scope: scope("payments", "ledger")})
			return err
		},
		"Expand":           func() error { _, err := step.Expand(t.Context(), jwtText); return err },
		"Expand access":    func() error { _, err := step.Expand(t.Context(), access); return err },
		"Preview":          func() error { _, err := step.Preview(t.Context(), jwtText); return err },
		"PreviewConnector": func() error { _, err := step.PreviewConnector(t.Context(), "account.vault"); return err },
		"Deliver":          func() error { return step.Deliver(t.Context(), "account.vault") },
		"WriteFile":        func() error { _, err := step.WriteFile(t.Context(), "f", "x"); return err },
		"Dir":              func() error { _, err := step.Dir(); return err },
	} {
		if err := call(); !errors.Is(err, broker.ErrClosed) || !strings.Contains(err.Error(), "the broker is closed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.Purge(gcpProd)
	if diff := cmp.Diff(0, b.Stats().Credentials.Entries+b.Stats().Tokens.Entries); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	var out strings.Builder
	w := step.Mask(&out)
	if _, err := w.Write([]byte(jwt)); err != nil || w.Close() != nil || out.String() != "***" {
		t.Errorf("Mask: %q, %v", &out, err)
	}
	if err := step.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := step.Expand(t.Context(), jwtText); !errors.Is(err, broker.ErrClosed) || !strings.Contains(err.Error(), "the step is closed") {
		t.Errorf("after Close: %v", err)
	}
}
