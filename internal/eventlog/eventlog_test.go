package eventlog_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/internal/eventlog"
)

// full returns a record with a member of every kind.
func full() (r eventlog.Record) {
	r.Time("Time", time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	r.Text("KeyID", `a"b`)
	r.Uint("Generation", math.MaxUint64)
	r.Bool("Shared", true)
	r.Duration("Took", 1500*time.Millisecond)
	r.JSON("Scope", map[string]string{"ID": "acme"})
	r.Err("Err", errors.New("denied by policy"))
	return r
}

const fullJSON = `{"Time":"2026-03-01T12:00:00Z","KeyID":"a\"b","Generation":18446744073709551615,` +
	`"Shared":true,"Took":"1.5s","Scope":{"ID":"acme"},"Err":"denied by policy"}`

func TestMarshalJSON(t *testing.T) {
	var empty eventlog.Record
	empty.Time("Time", time.Time{})
	empty.Text("KeyID", "")
	empty.Uint("Generation", 0)
	empty.Bool("Shared", false)
	empty.Duration("Took", 0)
	empty.Err("Err", nil)
	all := full()
	for _, tt := range []struct {
		name   string
		record *eventlog.Record
		want   string
	}{
		{"every kind", &all, fullJSON},
		{"zero values", &empty, "{}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.record.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("MarshalJSON (-want +got):\n%s", diff)
			}
		})
	}
	var bad eventlog.Record
	bad.JSON("Scope", func() {})
	if got, err := bad.MarshalJSON(); err == nil || !strings.Contains(err.Error(), "Scope: ") {
		t.Errorf("a value that JSON cannot hold: %s, %v", got, err)
	}
}

// The JSON handler writes the same members as encoding/json. The text handler shows the same
// values.
func TestLogValue(t *testing.T) {
	r := full()
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("minted", "event", r.LogValue())
	var line struct {
		Event json.RawMessage `json:"event"`
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fullJSON, string(line.Event)); diff != "" {
		t.Errorf("JSON handler (-want +got):\n%s", diff)
	}
	out.Reset()
	slog.New(slog.NewTextHandler(&out, nil)).Info("minted", "event", r.LogValue())
	for _, want := range []string{
		"event.Took=1.5s", `event.Scope="{\"ID\":\"acme\"}"`, `event.Err="denied by policy"`, "event.Time=2026-03-01T12:00:00.000Z",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text handler wrote %s, want %s in it", out.String(), want)
		}
	}
}
