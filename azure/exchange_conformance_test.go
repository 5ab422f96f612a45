package azure_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken/azure"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// X02 X03 X04 X05 X06 X07 X09
func TestExchangerConformance(t *testing.T) {
	encode := func(status int, v map[string]any) oidctokentest.CloudAnswer {
		body, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return oidctokentest.CloudAnswer{Status: status, ContentType: "application/json; charset=utf-8", Body: string(body)}
	}
	oidctokentest.TestExchanger(t, oidctokentest.ExchangerTest{
		New: func(t *testing.T, endpoint string, transport http.RoundTripper) exchange.Exchanger {
			e, err := azure.New(azure.Config{TenantID: tenant, ClientID: client, AuthorityHost: endpoint, Transport: transport})
			if err != nil {
				t.Fatal(err)
			}
			return e
		},
		Answer: func(_ *http.Request, value string, lifetime time.Duration) oidctokentest.CloudAnswer {
			return encode(http.StatusOK, map[string]any{
				"token_type": "Bearer", "access_token": value, "expires_in": int64(lifetime / time.Second),
			})
		},
		Refusal: func(words string) oidctokentest.CloudAnswer {
			return encode(http.StatusBadRequest, map[string]any{
				"error": "unauthorized_client", "error_description": "AADSTS700016: " + words, "error_codes": []int{700016},
			})
		},
	})
}
