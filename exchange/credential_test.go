package exchange_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/exchange"
)

const secret = "hunter2-hunter2-hunter2"

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestCredential(t *testing.T) {
	given := map[string]string{"A": "1", "B": "2"}
	c := exchange.NewCredential(noon, given)
	given["A"] = "changed" // by the caller, later
	c.Env()["B"] = "changed"
	if diff := cmp.Diff(map[string]string{"A": "1", "B": "2"}, c.Env()); diff != "" {
		t.Errorf("Env (-want +got):\n%s", diff)
	}
	if a, none := c.Value("A"), c.Value("C"); a != "1" || none != "" {
		t.Errorf("Value = %q, %q; want 1 and nothing", a, none)
	}
	if !c.Expires().Equal(noon) {
		t.Errorf("Expires = %v, want %v", c.Expires(), noon)
	}
}

// The zero value is the safe one: it grants nothing, and has expired.
func TestZeroCredential(t *testing.T) {
	for _, c := range []*exchange.Credential{{}, exchange.NewCredential(time.Time{}, nil)} {
		if !c.Expires().Before(noon) || c.Value("A") != "" {
			t.Errorf("%v has a future or a value", c)
		}
		if diff := cmp.Diff(map[string]string{}, c.Env()); diff != "" {
			t.Errorf("Env (-want +got):\n%s", diff)
		}
	}
}

// checkHidden fails the test if text has the secret in a form that a verb or
// an encoder makes.
func checkHidden(t *testing.T, how, text string) {
	t.Helper()
	for _, form := range []string{
		secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))),
		strings.Trim(fmt.Sprint([]byte(secret)), "[]"), base64.StdEncoding.EncodeToString([]byte(secret)),
	} {
		if strings.Contains(text, form) {
			t.Errorf("%s shows the secret: %s", how, text)
		}
	}
}

// holders returns the ways in which a host's own types may hold a credential.
func holders() map[string]any {
	c := exchange.NewCredential(noon, map[string]string{"TOKEN": secret, secret: "x"})
	type exported struct{ Credential *exchange.Credential }
	type byValue struct{ Credential exchange.Credential }
	type unexported struct{ c *exchange.Credential }
	type unexportedValue struct{ c exchange.Credential }
	return map[string]any{
		"pointer": c, "value": *c, "slice": []exchange.Credential{*c}, "map": map[string]*exchange.Credential{"x": c},
		"exported": exported{c}, "by value": byValue{*c}, "unexported": unexported{c}, "unexported value": &unexportedValue{*c},
	}
}

// D08: no verb shows a credential, however it is held.
func TestCredentialFormat(t *testing.T) {
	for name, v := range holders() {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsqp" {
			for _, flags := range []string{"", "+", "#", "-30", "030", " ", "+#", ".3"} {
				format := "%" + flags + string(verb)
				checkHidden(t, name+" as "+format, fmt.Sprintf(format, v))
			}
		}
		checkHidden(t, name+" in an error", fmt.Errorf("bad: %v", v).Error())
	}
	c := exchange.NewCredential(noon.In(time.FixedZone("", 3600)), map[string]string{"TOKEN": secret})
	const want = "credential [REDACTED] until 2026-03-01T12:00:00Z"
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{c, *c} {
			if got := fmt.Sprintf(verb, v); got != want {
				t.Errorf("%s of %T = %q, want %q", verb, v, got, want)
			}
		}
	}
}

// D08: no logger and no encoder shows a credential, however it is held.
func TestCredentialEncode(t *testing.T) {
	for name, v := range holders() {
		var logged bytes.Buffer
		slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "v", v, slog.Any("w", []any{v}))
		checkHidden(t, name+" by slog", logged.String())

		text, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("json of %s: %v", name, err)
		}
		checkHidden(t, name+" by json", string(text))

		// xml and gob cannot encode every holder; the output up to the error is
		// checked, too.
		var encoded bytes.Buffer
		xmlErr := xml.NewEncoder(&encoded).Encode(v)
		gobErr := gob.NewEncoder(&encoded).Encode(v)
		checkHidden(t, name+" by xml and gob", fmt.Sprint(encoded.String(), xmlErr, gobErr))
	}
	c := exchange.NewCredential(noon, map[string]string{"TOKEN": secret})
	type holder struct{ Credential *exchange.Credential }
	text, err := json.Marshal(holder{c})
	if want := `{"Credential":"credential [REDACTED] until 2026-03-01T12:00:00Z"}`; err != nil || string(text) != want {
		t.Errorf("json = %s, %v; want %s", text, err, want)
	}
	text, err = xml.Marshal(holder{c})
	if want := `<holder><Credential>credential [REDACTED] until 2026-03-01T12:00:00Z</Credential></holder>`; err != nil || string(text) != want {
		t.Errorf("xml = %s, %v; want %s", text, err, want)
	}
	if err := gob.NewEncoder(new(bytes.Buffer)).Encode(c); err == nil {
		t.Error("gob encodes a credential, want a refusal")
	}
}
