package gcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
)

// checkOutcome requires a usable credential or an *exchange.Error.
func checkOutcome(t *testing.T, begin time.Time, c *exchange.Credential, err error, name string) {
	t.Helper()
	if err != nil {
		var xe *exchange.Error
		if !errors.As(err, &xe) || c != nil {
			t.Fatalf("%v, %v: want no credential and an *exchange.Error", c, err)
		}
		if text := err.Error(); len(text) > 1024 || strings.ContainsAny(text, "\r\n\x00\x1b") {
			t.Fatalf("error of %d bytes: %q", len(text), text)
		}
		return
	}
	token := c.Value(name)
	invisible := func(r rune) bool { return r <= ' ' || r > '~' }
	if token == "" || len(token) > 16<<10 || strings.ContainsFunc(token, invisible) {
		t.Fatalf("accepted the token %q", token)
	}
	if life := c.Expires().Sub(begin); life <= 0 || life > 24*time.Hour {
		t.Fatalf("accepted a lifetime of %s", life)
	}
}

// S03
func FuzzAnswers(f *testing.F) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Add(200, federated("ya29.federated", 899).body)
	f.Add(200, impersonated("ya29.impersonated", now.Add(time.Hour)).body)
	f.Add(200, idToken(map[string]any{"exp": now.Unix() + 3600}).body)
	f.Add(400, refused(400, "invalid_grant", "x").body)
	f.Add(403, refusedIAM(403, "PERMISSION_DENIED", "x").body)
	f.Add(200, `{"access_token":"a","issued_token_type":"","token_type":"bearer","expires_in":1e3}`)
	f.Add(400, `{"error":{"error":{"status":"`+"\\u0000\xff"+`"}}}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 || status >= 300 && status < 400 || slices.Contains([]int{408, 429, 500, 502, 503, 504}, status) {
			t.Skip("no final answer with a body, or one that is retried")
		}
		a := answer{status: status, body: body}
		m := &minter{}
		direct := gcp.Config{Now: func() time.Time { return now }}
		account := direct
		account.ServiceAccount = serviceAccount

		c, err := newExchanger(t, &google{answers: []answer{a}}, direct).Exchange(t.Context(), exchange.Request{Subject: m.subject})
		checkOutcome(t, now, c, err, "CLOUDSDK_AUTH_ACCESS_TOKEN")
		good := federated("ya29.federated", 899)
		c, err = newExchanger(t, &google{answers: []answer{good, a}}, account).Exchange(t.Context(), exchange.Request{Subject: m.subject})
		checkOutcome(t, now, c, err, "CLOUDSDK_AUTH_ACCESS_TOKEN")
		c, err = newExchanger(t, &google{answers: []answer{good, a}}, account).IDToken(t.Context(),
			gcp.IDTokenRequest{Subject: m.subject, Audience: "https://run.example.com"})
		checkOutcome(t, now, c, err, "GOOGLE_ID_TOKEN")
	})
}

// S03: a JWT that is sent is one, byte for byte.
func FuzzSubjectToken(f *testing.F) {
	jwt, _ := (&minter{}).subject(f.Context(), audience)
	f.Add(jwt)
	f.Add(jwt + "\n")
	f.Add("e30.e30.AA")
	f.Add("..")
	f.Fuzz(func(t *testing.T, jwt string) {
		g := &google{answers: []answer{federated("ya29.federated", 899)}}
		_, err := newExchanger(t, g, gcp.Config{}).Exchange(t.Context(), exchange.Request{
			Subject: func(context.Context, string) (string, error) { return jwt, nil },
		})
		var refused *oidctoken.ConfigError
		switch {
		case err == nil:
			checkSTSCall(t, g.asked()[0], stsForm(jwt, cloudPlatform))
			if strings.Count(jwt, ".") != 2 || strings.Trim(jwt, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
				t.Errorf("sent %q", jwt)
			}
		case !errors.As(err, &refused) || len(g.asked()) != 0:
			t.Errorf("error = %v after %d requests, want a *ConfigError before any", err, len(g.asked()))
		}
	})
}

// S03: what JWKSet returns holds nothing but what Google accepts, and is not
// changed by another pass.
func FuzzJWKSet(f *testing.F) {
	k := newTestKeys(f)
	f.Add(jwkSet(f, nil, k.rsa, k.p256, k.ed))
	f.Add(jwkSet(f, nil, with(k.rsa, map[string]any{"x5c": []string{"x"}})))
	f.Add(jwkSet(f, nil, with(k.p256, map[string]any{"d": "x"})))
	f.Add([]byte(`{"keys":[null,{"alg":"ES256","kid":"a"}]}`))
	f.Add([]byte(`{"KEYS":[],"keys":[{}]}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		got, err := gcp.JWKSet(document)
		if err != nil {
			var refused *oidctoken.ConfigError
			if !errors.As(err, &refused) || got != nil {
				t.Fatalf("JWKSet = %q, %v", got, err)
			}
			return
		}
		var set map[string][]map[string]string
		if err := json.Unmarshal(got, &set); err != nil || len(set) != 1 || len(set["keys"]) == 0 {
			t.Fatalf("JWKSet = %s", got)
		}
		for _, key := range set["keys"] {
			for name := range maps.Keys(key) {
				if !slices.Contains([]string{"kty", "alg", "use", "kid", "n", "e", "x", "y", "crv"}, name) {
					t.Errorf("a key has %q", name)
				}
			}
		}
		again, err := gcp.JWKSet(got)
		if diff := cmp.Diff(string(got), string(again)); diff != "" || err != nil {
			t.Errorf("a second pass: %v (-first +second):\n%s", err, diff)
		}
	})
}
