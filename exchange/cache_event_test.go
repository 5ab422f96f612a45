package exchange_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

// An event can be read in a JSON log.
func TestCacheEventInLogs(t *testing.T) {
	scope := oidctoken.Scope{Account: oidctoken.Entity{ID: "acme"}}
	scopeText, err := json.Marshal(scope)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		event exchange.CacheEvent
		want  string // after the scope
	}{
		{"refusal", exchange.CacheEvent{
			Target:  exchange.Target{Scope: scope, SessionName: "s", Scopes: []string{"a"}},
			Renewal: true, Late: time.Minute, Took: 1500 * time.Millisecond, TokenID: "jti", KeyID: "kid",
			Err: &exchange.Error{Provider: "gcp", Op: "sts:token", Status: 400, Code: "invalid_grant"},
		}, `,"SessionName":"s","Scopes":["a"],"Renewal":true,"Late":"1m0s","Took":"1.5s","TokenID":"jti","KeyID":"kid","Err":"gcp: sts:token: invalid_grant (400)"}`},
		{"success", exchange.CacheEvent{Target: exchange.Target{Scope: scope}, Expires: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}, `,"Expires":"2030-01-02T03:04:05Z"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := `{"Scope":` + string(scopeText) + tt.want
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
