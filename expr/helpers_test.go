package expr_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/oidctoken/oidctoken/expr"
)

// host is a host that binds what the tests use, and records each call.
type host struct {
	calls []string
}

// env has secret functions, one whose result is no secret (path.join), and the
// variables of a stage.
func (h *host) env() expr.Env {
	secret := func(name string, least, most int, fields ...string) expr.Func {
		return expr.Func{MinArgs: least, MaxArgs: most, Fields: fields, Secret: true, Call: h.record(name)}
	}
	variables := map[string]string{
		"variables.conn":    "account.gcp_prod",
		"variables.name":    "gcp_prod",
		"variables.tier":    "prod",
		"variables.yes":     "true",
		"variables.no":      "false",
		"variables.empty":   "",
		"variables.my-conn": "hyphened",
		"variables.hostile": `<+secrets.getJWT("stolen")>`,
		"name":              "deploy",
		"":                  "the stage",
	}
	return expr.Env{
		Functions: map[string]expr.Func{
			"secrets.getJWT":            secret("getJWT", 1, 2),
			"secrets.getGCPAccessToken": secret("getGCPAccessToken", 1, 2),
			"secrets.getAWSCredentials": secret("getAWSCredentials", 1, 1, "accessKeyId", "secretAccessKey", "sessionToken"),
			"path.join":                 {MinArgs: 0, MaxArgs: 3, Call: h.record("join")},
			"path.pair":                 {MinArgs: 2, MaxArgs: 2, Call: h.record("pair")},
			"path.err":                  {Call: func(context.Context, expr.Call) (string, error) { return "true", errRefused }},
			"path.hostile": {Call: func(context.Context, expr.Call) (string, error) {
				return `<+secrets.getJWT("x")>`, nil
			}},
			"path.fail": {Secret: true, Call: func(context.Context, expr.Call) (string, error) {
				return "half a result", errRefused
			}},
		},
		Variables: map[string]func(string) (string, bool){
			"stage": func(path string) (string, bool) { v, ok := variables[path]; return v, ok },
		},
	}
}

var errRefused = errors.New("host: refused")

// record makes a function whose result shows how it was called, without the
// bytes that mean something in an expression.
func (h *host) record(name string) func(context.Context, expr.Call) (string, error) {
	return func(_ context.Context, c expr.Call) (string, error) {
		result := name + "[" + strings.Join(c.Args, "|") + "]"
		if c.Field != "" {
			result += "." + c.Field
		}
		h.calls = append(h.calls, result)
		return result, nil
	}
}

// expand expands text with the host's env.
func expand(t *testing.T, text string) (got string, calls []string, err error) {
	t.Helper()
	var h host
	got, err = expr.Expand(t.Context(), text, h.env())
	return got, h.calls, err
}

// mustFail expands text, which has to fail without a result and without a call,
// and returns the error's fields.
func mustFail(t *testing.T, text string, env expr.Env) expr.Error {
	t.Helper()
	got, err := expr.Expand(t.Context(), text, env)
	if got != "" {
		t.Errorf("Expand(%.200q) returns %.200q along with an error", text, got)
	}
	var e *expr.Error
	if !errors.As(err, &e) {
		t.Fatalf("Expand(%.200q) = %.200q, %v; want an *Error", text, got, err)
	}
	return *e
}

// wantError compares all of an error but what its reason says beyond a part.
func wantError(t *testing.T, want, got expr.Error) {
	t.Helper()
	if !strings.Contains(got.Reason, want.Reason) {
		t.Errorf("reason %q does not contain %q", got.Reason, want.Reason)
	}
	want.Reason = got.Reason
	if diff := cmp.Diff(want, got, cmpopts.EquateErrors()); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}
