package expr_test

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

	"github.com/oidctoken/oidctoken/expr"
)

// ParsePlanKey restores the key from the exact result of Text, and from no other text.
func TestPlanKeyText(t *testing.T) {
	t.Parallel()
	key, other := expr.NewPlanKey(), expr.NewPlanKey()
	text := key.Text()
	if len(text) != 43 || text == other.Text() {
		t.Errorf("the keys' texts have %d bytes, and are alike: %t", len(text), text == other.Text())
	}
	read, err := expr.ParsePlanKey(text)
	if err != nil || read.Text() != text {
		t.Fatalf("ParsePlanKey: %v", err)
	}
	const source = "<+secrets.getJWT('c')>"
	planned := mustPlan(t, source, manager(), key, place...)
	var h host
	if got, err := expr.Resolve(t.Context(), planned, h.env(), read, place...); err != nil || got != "getJWT[c]" {
		t.Errorf("Resolve with the parsed key = %q, %v", got, err)
	}
	if got := (expr.PlanKey{}).Text(); got != "" {
		t.Errorf("the zero PlanKey is %q", got)
	}
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", text[42])
	loose := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last|1 : last|1+1] // the unused bits of the last character are set
	for _, bad := range []string{"", " " + text, text + "\n", text[:20] + "\n" + text[20:], text + "=", text[:42], text + "A", text[:42] + loose, "+" + text[1:], "plan key [REDACTED]"} {
		k, err := expr.ParsePlanKey(bad)
		if err == nil || k.Text() != "" {
			t.Errorf("ParsePlanKey(%q): %v", bad, err)
			continue
		}
		if strings.Contains(err.Error(), text[1:8]) || strings.Contains(err.Error(), text[21:28]) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

// No verb and no encoder shows a key, alone or in a struct.
//
// D08
func TestPlanKeyDoesNotPrint(t *testing.T) {
	t.Parallel()
	key := expr.NewPlanKey()
	raw, err := base64.RawURLEncoding.DecodeString(key.Text())
	if err != nil {
		t.Fatal(err)
	}
	decimal := strings.Trim(fmt.Sprint(raw[:8]), "[]")
	secrets := []string{key.Text()[:12], key.Text()[20:32], string(raw[:8]), hex.EncodeToString(raw[:8]), strings.ToUpper(hex.EncodeToString(raw[:8])), decimal, strings.ReplaceAll(decimal, " ", ", ")}
	type holder struct {
		Key     expr.PlanKey
		Pointer *expr.PlanKey
		key     expr.PlanKey
		pointer *expr.PlanKey
	}
	for name, v := range map[string]any{"key": key, "pointer": &key, "slice": []expr.PlanKey{key}, "map": map[string]expr.PlanKey{"k": key}, "holder": holder{key, &key, key, &key}} {
		shown := make(map[string]string)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%w", "%p"} {
			shown[verb] = fmt.Sprintf(verb, v)
		}
		var text, object, stream bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&object, nil)).Info("m", "v", v)
		inJSON, jsonErr := json.Marshal(v)
		inXML, xmlErr := xml.Marshal(v)
		shown["json"], shown["xml"] = fmt.Sprint(string(inJSON), jsonErr), fmt.Sprint(string(inXML), xmlErr)
		shown["gob"] = fmt.Sprint(gob.NewEncoder(&stream).Encode(v), stream.String())
		shown["slog text"], shown["slog json"] = text.String(), object.String()
		for how, got := range shown {
			for _, secret := range secrets {
				if strings.Contains(got, secret) {
					t.Errorf("%s by %s shows the key", name, how)
				}
			}
		}
		for _, how := range []string{"%v", "%+v", "%#v", "%s", "%q", "json", "slog text", "slog json"} {
			if !strings.Contains(shown[how], "[REDACTED]") {
				t.Errorf("%s by %s is %s", name, how, shown[how])
			}
		}
	}
	_, planErr := expr.Plan(t.Context(), "<+", expr.Env{}, key, "")
	e := mustRefuse(t, "oidctoken-placeholder.v1.AAAA.oidctoken-placeholder", key, place...)
	for _, secret := range secrets {
		if strings.Contains(planErr.Error()+e.Error(), secret) {
			t.Errorf("an error shows the key: %v, %v", planErr, &e)
		}
	}
}
