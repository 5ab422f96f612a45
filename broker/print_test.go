package broker_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/broker"
)

// D08: no verb and no encoder shows the secrets of a step, alone or in a struct.
func TestStepDoesNotPrint(t *testing.T) {
	b := newBroker(t, newCloud("gcp"))
	step := newStep(t, b, scope("payments", "ledger"))
	const both = `<+secrets.getJWT("account.vault")> ` + access
	secrets := strings.Fields(expand(t, step, both))
	if _, err := step.WriteFile(t.Context(), "both", both); err != nil {
		t.Fatal(err)
	}
	type holder struct {
		Step *broker.Step
		step *broker.Step
		b    *broker.Broker
	}
	for name, v := range map[string]any{"step": step, "broker": b, "slice": []*broker.Step{step}, "holder": holder{step, step, b}} {
		shown := make(map[string]string)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%w"} {
			shown[verb] = fmt.Sprintf(verb, v)
		}
		var text, object, stream bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&object, nil)).Info("m", "v", v)
		encoded, err := json.Marshal(v)
		shown["json"] = fmt.Sprint(string(encoded), err)
		shown["gob"] = fmt.Sprint(gob.NewEncoder(&stream).Encode(v), stream.String())
		shown["slog text"], shown["slog json"] = text.String(), object.String()
		for how, got := range shown {
			for _, secret := range secrets {
				for _, s := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret)} {
					if strings.Contains(got, s) {
						t.Errorf("%s by %s shows a secret", name, how)
					}
				}
			}
		}
	}
}
