package gcp_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// X01 X03 X04 X05 X06 X07 X09
func TestExchangerConformance(t *testing.T) {
	for _, tt := range []struct {
		name, account, path string
	}{
		{"direct", "", "/v1/token"},
		{"federated token of an impersonation", "deployer@acme.iam.gserviceaccount.com", "/v1/token"},
		{"impersonation", "deployer@acme.iam.gserviceaccount.com", ":generateAccessToken"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			oidctokentest.TestExchanger(t, oidctokentest.ExchangerTest{
				New: func(t *testing.T, endpoint string, transport http.RoundTripper) exchange.Exchanger {
					e, err := gcp.New(gcp.Config{
						Provider:         "projects/123/locations/global/workloadIdentityPools/ci/providers/acme",
						ServiceAccount:   tt.account,
						TokenURL:         endpoint + "/v1/token",
						ImpersonationURL: endpoint,
						Transport:        transport,
					})
					if err != nil {
						t.Fatal(err)
					}
					return e
				},
				Answer:  googleAnswer,
				Refusal: googleRefusal,
				Path:    tt.path,
			})
		})
	}
}

func googleAnswer(r *http.Request, value string, lifetime time.Duration) oidctokentest.CloudAnswer {
	answer := map[string]any{
		"access_token":      value,
		"issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
		"token_type":        "Bearer",
		"expires_in":        int64(lifetime / time.Second),
	}
	if strings.HasSuffix(r.URL.Path, ":generateAccessToken") {
		answer = map[string]any{
			"accessToken": value,
			"expireTime":  time.Now().Add(lifetime).UTC().Format(time.RFC3339),
		}
	}
	return jsonAnswer(http.StatusOK, answer)
}

// googleRefusal returns an error in the form of a Google API. The STS may
// return one, too.
func googleRefusal(words string) oidctokentest.CloudAnswer {
	return jsonAnswer(http.StatusForbidden, map[string]any{
		"error": map[string]any{"code": http.StatusForbidden, "message": words, "status": "PERMISSION_DENIED"},
	})
}

func jsonAnswer(status int, value any) oidctokentest.CloudAnswer {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // of strings and numbers
	}
	return oidctokentest.CloudAnswer{Status: status, ContentType: "application/json", Body: string(body)}
}
